import CNNCore
import CNNRuntime
import Glibc
import Testing
import X86Assembler

@testable import CNNKernels

/// Generated gradients of filters against the portable reference, on random awkward shapes, for every instruction set
/// that this processor has.
struct BlockedWeightGradientTests {
  /// What one run gives, and whether it kept to its memory.
  struct Run {
    let dWeight: [Float]
    let isGuardIntact: Bool
    /// The same bits again, from memory that held other numbers.
    let isRepeatable: Bool
    let expected: [Double]
    /// The sums of the magnitudes of all products.
    let scale: [Double]
    let algorithm: String

    /// The largest error, as a part of the sum of the products' magnitudes; Winograd's transforms mix the products of all
    /// taps.
    var error: Double {
      let all = scale.max() ?? 0
      let isMixed = !["direct", "tiles", "direct_picture", "depthwise"].contains(algorithm)
      var largest = 0.0
      for index in expected.indices {
        let error = abs(Double(dWeight[index]) - expected[index]) / max(isMixed ? all : scale[index], 1e-30)
        if !(error <= largest) { largest = error.isNaN ? .infinity : error }
      }
      return largest
    }
  }

  /// Fills the lanes behind the last channel, and the pixels between blocks, with NaN.
  static func poison(_ buffer: ConvolutionBuffer, _ tensor: BlockedTensor) {
    let lanes = tensor.channelsPerBlock
    for block in 0..<tensor.blocks {
      for pixel in 0..<tensor.blockPixels {
        let isPixel = pixel < tensor.pixels
        for lane in 0..<lanes where !isPixel || block * lanes + lane >= tensor.channels {
          let place = (block * tensor.blockPixels + pixel) * lanes + lane
          if tensor.element == .bfloat16 {
            UnsafeMutableRawPointer(buffer.base).assumingMemoryBound(to: BFloat16.self)[place] = BFloat16(.nan)
          } else {
            buffer.base[place] = .nan
          }
        }
      }
    }
  }

  /// Numbers in blocks, poisoned beside them, after they have been rounded to the tensor's type.
  private static func blocked(_ x: ConvolutionBuffer, _ tensor: BlockedTensor) throws -> ConvolutionBuffer {
    let result: ConvolutionBuffer
    if tensor.element == .bfloat16 {
      for index in 0..<x.count { x.base[index] = Float(BFloat16(x[index])) }
      result = try BFloat16ConvolutionCheck.blocked({ BFloat16(x[$0]) }, tensor, channels: tensor.channels)
    } else {
      result = try ConvolutionBuffer(byteCount: tensor.byteCount)
      BlockedCopies.pack(x.base, into: result.base, tensor, workers: Workers(count: 1))
    }
    poison(result, tensor)
    return result
  }

  static func run(
    _ request: WeightGradientRequest, _ algorithm: any WeightGradientAlgorithm, _ target: CodeTarget, seed: UInt64
  ) throws -> Run {
    let library = KernelLibrary(target), g = request.geometry, workers = request.workers
    let gradient = try algorithm.plan(request, library: library)
    try library.finish()
    let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 1)
    let dy = try ConvolutionBuffer(randomCount: g.outputCount, seed: seed, stream: 2)
    let xBlocked = try blocked(x, gradient.input), dyBlocked = try blocked(dy, gradient.output)
    let workspace = try ConvolutionBuffer(byteCount: gradient.workspaceByteCount)
    let dWeight = try GuardedFloats(g.weightCount), again = try GuardedFloats(g.weightCount)
    for result in [dWeight, again] {
      gradient.run(
        request.input == .blocked ? xBlocked.base : x.base, gradient: dyBlocked.base, into: result.pointer,
        workspace: workspace.base, workers: workers)
    }

    // The reference gives the filter as HWIO.
    func oihw(_ values: [Double]) -> [Double] {
      let inputs = g.groupInputChannels, taps = g.kernelHeight * g.kernelWidth
      return (0..<g.weightCount).map { index in
        let tap = index % taps, input = index / taps % inputs, output = index / taps / inputs
        return values[(tap * inputs + input) * g.outputChannels + output]
      }
    }
    var expected = [Double](repeating: .nan, count: g.weightCount), scale = expected
    ConvolutionReference.weightGradient(x: x.base, dy: dy.base, dWeight: &expected, geometry: g)
    for index in 0..<g.inputCount { x.base[index] = abs(x[index]) }
    for index in 0..<g.outputCount { dy.base[index] = abs(dy[index]) }
    ConvolutionReference.weightGradient(x: x.base, dy: dy.base, dWeight: &scale, geometry: g)
    return Run(
      dWeight: dWeight.values,
      isGuardIntact: [workspace, xBlocked, dyBlocked].allSatisfy(\.isGuardIntact) && dWeight.isIntact && again.isIntact,
      isRepeatable: dWeight.bits == again.bits, expected: oihw(expected), scale: oihw(scale),
      algorithm: gradient.algorithm)
  }

  /// Checks every algorithm that accepts a request.
  static func check(_ request: WeightGradientRequest, _ target: CodeTarget, seed: UInt64) throws -> Bool {
    let algorithms = (WeightGradientAlgorithms.all + WeightGradientAlgorithms.ofBFloat16.filter(\.usesTiles))
      .filter { $0.refusal(request, target) == nil }
    #expect(!algorithms.isEmpty, "\(request)")
    var isRight = true
    for algorithm in algorithms {
      let run = try run(request, algorithm, target, seed: seed)
      let description =
        "\(request), \(run.algorithm), \(target.instructionSet), \(request.workers.count) workers: \(run.error)"
      #expect(run.error < 1e-5, "\(description)")
      #expect(run.isGuardIntact, "\(description)")
      #expect(run.isRepeatable, "\(description)")
      isRight = isRight && run.error < 1e-5 && run.isGuardIntact && run.isRepeatable
    }
    return isRight
  }

  @Test(arguments: BlockedConvolutionTests.targets, BlockedConvolutionTests.Kind.allCases)
  func generatedGradientsEqualTheReference(_ target: CodeTarget, _ kind: BlockedConvolutionTests.Kind) throws {
    var generator = PhiloxGenerator(
      seed: 11, stream: UInt64(BlockedConvolutionTests.Kind.allCases.firstIndex(of: kind) ?? 0))
    for index in 0..<70 {
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: kind)
      let request = WeightGradientRequest(
        g, input: kind == .picture ? .picture(.number) : .blocked, workers: Workers(count: 1 + index % 3))
      if try !Self.check(request, target, seed: UInt64(index)) { return }
    }
  }

  /// Shapes that `randomGeometry` does not make.
  static let shapes = [
    "n1",
    "n3 h1 w1 ic17 oc33",
    "n5 h1 w1 ic40 oc10",
    "n1 h1 w1 ic1 oc1 kh3 kw3 pt1 pl1 pb1 pr1",
    "n2 h2 w3 ic2 oc3 kh5 kw7 pt4 pl6 pb0 pr1",
    "n1 h3 w1 ic17 oc3 kh2 kw3 pt0 pl9 pb3 pr9",
    "n1 h5 w5 ic16 oc16 pt2 pl1 pb3 pr2",
    "n3 h9 w11 ic33 oc17 kh3 kw3 sh2 sw2 pt0 pl0 pb1 pr1",
    "n2 h9 w9 ic24 oc40 kh3 kw3 sh3 sw1 dh2 dw2 pt2 pl1 pb0 pr3",
    "n1 h3 w700 ic3 oc20 kh3 kw3 pt1 pl1 pb1 pr1",
    "n2 h28 w28 ic16 oc144 kh1 kw1 sh2 sw2",
    "n9 h14 w14 ic80 oc48 kh3 kw3 pt1 pl1 pb1 pr1",
    "n1 h56 w56 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1",
    "n1 h57 w56 ic24 oc40 kh3 kw3 pt1 pl1 pb1 pr1",
    "n2 h7 w7 ic528 oc96",
    "n1 h8 w8 ic33 oc33 kh3 kw3 sh2 sw2 pt0 pl0 pb1 pr1 g33",
    "n5 h8 w9 ic40 oc40 kh7 kw7 pt3 pl3 pb3 pr3 g40",
    "n2 h6 w6 ic64 oc128 kh3 kw3 pt1 pl1 pb1 pr1 g2",
    "n2 h6 w6 ic64 oc64 g2",
  ]

  @Test(arguments: BlockedConvolutionTests.targets, shapes)
  func namedShapesEqualTheReference(_ target: CodeTarget, _ shape: String) throws {
    let g = try ConvolutionCase(shape).geometry
    for workers in 1...3 {
      _ = try Self.check(WeightGradientRequest(g, workers: Workers(count: workers)), target, seed: 5)
    }
  }

  /// The first layer gives the same bits of pixels as of the numbers that they become.
  @Test(arguments: BlockedConvolutionTests.targets, [(3, 1, 1), (3, 2, 1), (7, 2, 3)])
  func pixelsAreNormalisedOnTheWay(_ target: CodeTarget, _ window: (kernel: Int, stride: Int, padding: Int)) throws {
    let (kernel, stride, padding) = window, channels = 3
    let g = try ConvolutionGeometry(
      batch: 2, inputHeight: 21, inputWidth: 19, inputChannels: channels, outputChannels: 24, kernelHeight: kernel,
      kernelWidth: kernel, strideHeight: stride, strideWidth: stride, padTop: padding, padLeft: padding,
      padBottom: padding, padRight: padding)
    let mean: [Float] = [100, 101, 102], deviation: [Float] = [50, 51, 52]
    let pixels = (0..<g.inputCount).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 7) }
    let numbers = pixels.indices.map { (Float(pixels[$0]) - mean[$0 % channels]) / deviation[$0 % channels] }
    func result(_ element: ImageInput.Element, _ x: UnsafeRawPointer) throws -> [Float] {
      let workers = Workers(count: 2), library = KernelLibrary(target)
      let request = WeightGradientRequest(g, input: .picture(element), workers: workers)
      let gradient = try WeightGradientAlgorithms.plan(request, library: library)
      try library.finish()
      let dy = try ConvolutionBuffer(randomCount: gradient.output.byteCount / 4, seed: 3, stream: 1)
      let workspace = try ConvolutionBuffer(byteCount: gradient.workspaceByteCount)
      let dWeight = try GuardedFloats(g.weightCount)
      gradient.run(x, gradient: dy.base, into: dWeight.pointer, workspace: workspace.base, workers: workers)
      let isIntact = workspace.isGuardIntact && dWeight.isIntact
      #expect(isIntact)
      return dWeight.values
    }
    let ofNumbers = try numbers.withUnsafeBytes { try result(.number, #require($0.baseAddress)) }
    let ofPixels = try pixels.withUnsafeBytes {
      try result(.pixel(mean: mean, deviation: deviation), #require($0.baseAddress))
    }
    #expect(ofPixels == ofNumbers && ofNumbers.contains { $0 != 0 }, "\(g)")
  }
}
