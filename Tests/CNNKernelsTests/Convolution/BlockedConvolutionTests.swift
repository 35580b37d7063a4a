import CNNCore
import CNNRuntime
import Glibc
import Testing
import X86Assembler

@testable import CNNKernels

/// Generated convolutions against the portable reference, on random awkward shapes, for every instruction set that this
/// processor has.
struct BlockedConvolutionTests {
  static let targets = [InstructionSet.avx2, .avx512].filter(Processor.host.instructionSet.isSuperset)
    .map { CodeTarget($0) }

  /// What one run gives, and whether it kept to its memory.
  struct Run {
    let y: [Float]
    let isGuardIntact: Bool
    let expected: [Double]
    let algorithm: String

    var error: Double {
      let largest = expected.map(\.magnitude).max() ?? 1
      return zip(y, expected).map { abs(Double($0) - $1) }.max().map { $0 / max(largest, 1e-30) } ?? 0
    }
  }

  static func run(
    _ request: ConvolutionRequest, _ algorithm: any ConvolutionAlgorithm, _ target: CodeTarget, seed: UInt64,
    mask: SparsityMask? = nil
  ) throws -> Run {
    let (g, epilogue, workers) = (request.geometry, request.epilogue, request.workers)
    let library = KernelLibrary(target)
    let convolution = try algorithm.plan(request, library: library)
    try library.finish()
    let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 1)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
    let bias = try ConvolutionBuffer(randomCount: convolution.biasCount, seed: seed, stream: 3)
    let scale = try ConvolutionBuffer(randomCount: g.outputChannels, seed: seed, stream: 4)
    let residual = try ConvolutionBuffer(randomCount: g.outputCount, seed: seed, stream: 5)
    let filter = try ConvolutionBuffer(count: convolution.filterCount)
    let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
    let xBlocked = try ConvolutionBuffer(byteCount: convolution.input.byteCount)
    let yBlocked = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
    let residualBlocked = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
    let y = try ConvolutionBuffer(count: g.outputCount)
    BlockedCopies.pack(x.base, into: xBlocked.base, convolution.input, workers: workers)
    BlockedCopies.pack(residual.base, into: residualBlocked.base, convolution.output, workers: workers)

    // The reference takes the filter as HWIO.
    let inputs = g.inputChannels / g.groups, taps = g.kernelHeight * g.kernelWidth
    let oihw = try ConvolutionBuffer(count: g.weightCount), scaled = try ConvolutionBuffer(count: g.weightCount)
    for o in 0..<g.outputChannels {
      for i in 0..<inputs {
        for tap in 0..<taps {
          let value = weight[(tap * inputs + i) * g.outputChannels + o]
          oihw.base[(o * inputs + i) * taps + tap] = value
          let isKept = mask?[(o * inputs + i) * taps + tap] ?? true
          scaled.base[(tap * inputs + i) * g.outputChannels + o] = isKept ? value * scale[o] : 0
        }
      }
    }
    convolution.pack(oihw.base, scale: scale.base, into: filter.base, workers: workers)
    convolution.run(
      request.input == .blocked ? xBlocked.base : x.base, filter: filter.base, bias: epilogue.hasBias ? bias.base : nil,
      residual: epilogue.addsResidual ? UnsafeRawPointer(residualBlocked.base) : nil, into: yBlocked.base,
      mean: nil, workspace: workspace.base, workers: workers)
    BlockedCopies.unpack(yBlocked.base, convolution.output, into: y.base, workers: workers)

    var expected = [Double](repeating: .nan, count: g.outputCount)
    ConvolutionReference.forward(
      x: x.base, weight: scaled.base, bias: epilogue.hasBias ? UnsafePointer(bias.base) : nil, y: &expected,
      geometry: g)
    for index in expected.indices {
      if epilogue.addsResidual { expected[index] += Double(residual[index]) }
      if let activation = epilogue.activation { expected[index] = reference(activation.function, expected[index]) }
    }
    return Run(
      y: (0..<g.outputCount).map { y[$0] },
      isGuardIntact: [filter, workspace, xBlocked, yBlocked, y].allSatisfy(\.isGuardIntact), expected: expected,
      algorithm: convolution.algorithm)
  }

  static func reference(_ function: ActivationFunction, _ x: Double) -> Double {
    switch function {
    case .relu: max(x, 0)
    case .relu6: min(max(x, 0), 6)
    case .silu: x / (1 + exp(-x))
    case .sigmoid: 1 / (1 + exp(-x))
    case .hardSigmoid: min(max(x + 3, 0), 6) / 6
    case .hardSwish: x * min(max(x + 3, 0), 6) / 6
    case .gelu: x * erfc(-x / 2.0.squareRoot()) / 2
    default: .nan
    }
  }

  /// What `randomGeometry` makes.
  enum Kind: CaseIterable {
    case pointwise, threeByThree, any, depthwise, grouped
    /// Over the few channels of an image as NHWC.
    case picture
  }

  /// A random convolution: one pixel, one channel, 3, 17, odd sizes, uneven borders, all occur.
  static func randomGeometry(_ generator: inout PhiloxGenerator, kind: Kind) throws -> ConvolutionGeometry {
    func pick(_ values: [Int]) -> Int { values[Int(generator.unit() * Float(values.count)) % values.count] }
    let sizes = [1, 2, 3, 5, 7, 8, 13, 14, 17, 28, 31]
    while true {
      let channels = kind == .picture ? pick([1, 2, 3, 4, 5]) : pick([1, 3, 8, 16, 17, 24, 32, 40, 48, 64, 80])
      let kernel =
        switch kind {
        case .pointwise: 1
        case .threeByThree: 3
        case .picture: pick([3, 5, 6, 7, 8])
        default: pick([1, 2, 3, 5, 7])
        }
      let stride = kind == .threeByThree ? 1 : kind == .picture ? pick([1, 2, 2, 2]) : pick([1, 1, 2, 3])
      let dilation = kind == .any || kind == .depthwise ? pick([1, 1, 2]) : 1
      let pads = (0..<4).map { _ in kernel == 1 ? 0 : pick(Array(0...(kernel / 2))) }
      let isDepthwise = kind == .depthwise
      if kind == .grouped {
        let groups = pick([2, 3, 4, 5, 7, 8, 16]), inputs = groups * pick([1, 2, 3, 4, 8, 16, 24, 32])
        if let geometry = try? ConvolutionGeometry(
          batch: pick([1, 2]), inputHeight: pick(sizes), inputWidth: pick(sizes), inputChannels: inputs,
          outputChannels: groups * pick([1, 2, 3, 4, 8, 16, 24, 32]), kernelHeight: kernel, kernelWidth: kernel,
          strideHeight: stride, strideWidth: stride, padTop: pads[0], padLeft: pads[1], padBottom: pads[2],
          padRight: pads[3], groups: groups), !geometry.isChannelwise
        {
          return geometry
        }
        continue
      }
      if let geometry = try? ConvolutionGeometry(
        batch: pick([1, 1, 2, 3]), inputHeight: pick(sizes), inputWidth: pick(sizes), inputChannels: channels,
        outputChannels: isDepthwise ? channels : pick([1, 7, 8, 16, 17, 24, 40, 64, 96, 112]), kernelHeight: kernel,
        kernelWidth: kernel, strideHeight: stride, strideWidth: stride, dilationHeight: dilation,
        dilationWidth: dilation, padTop: pads[0], padLeft: pads[1], padBottom: pads[2], padRight: pads[3],
        groups: isDepthwise ? channels : 1), isPossible(geometry)
      {
        return geometry
      }
    }
  }

  /// Whether some algorithm computes a convolution.
  static func isPossible(_ geometry: ConvolutionGeometry) -> Bool {
    ConvolutionAlgorithms.best(ConvolutionRequest(geometry, workers: Workers(count: 1)), CodeTarget(.avx2)) != nil
  }

  @Test(arguments: targets, Kind.allCases)
  func generatedConvolutionsEqualTheReference(_ target: CodeTarget, _ kind: Kind) throws {
    var generator = PhiloxGenerator(seed: 7, stream: UInt64(Kind.allCases.firstIndex(of: kind) ?? 0))
    let functions: [ActivationFunction?] = [nil, .relu, .relu6, .silu, .sigmoid, .hardSigmoid, .hardSwish, .gelu]
    for index in 0..<80 {
      let g = try Self.randomGeometry(&generator, kind: kind)
      let epilogue = Epilogue(
        hasBias: index % 3 != 0, addsResidual: kind != .depthwise && index % 4 == 1,
        activation: functions[index % functions.count].flatMap { VectorActivation($0, constants: []) })
      let request = ConvolutionRequest(
        g, input: kind == .picture ? .picture(.number) : .blocked, epilogue: epilogue,
        workers: Workers(count: 1 + index % 3))
      let algorithms = ConvolutionAlgorithms.all.filter { $0.refusal(request, target) == nil }
      #expect(!algorithms.isEmpty, "\(g)")
      for algorithm in algorithms {
        let run = try Self.run(request, algorithm, target, seed: UInt64(index))
        // Rounding grows with the number of terms; Winograd's larger transforms multiply it.
        let terms = Double(g.inputChannels / g.groups * g.kernelHeight * g.kernelWidth)
        let factor = ["direct", "depthwise", "winograd_f2"].contains(run.algorithm) ? 2.0 : 10
        let bound = (2e-7 * terms.squareRoot() + 1e-6) * factor
        #expect(run.error < bound, "\(g), \(run.algorithm), \(epilogue), \(target.instructionSet)")
        #expect(run.isGuardIntact, "\(g), \(run.algorithm)")
        if !(run.error < bound) { return }
      }
    }
  }

  /// The first layer gives the same bits of pixels as of the numbers that they become.
  @Test(arguments: targets, [(3, 2, 0), (3, 2, 1), (4, 4, 0), (5, 2, 2), (7, 2, 3)])
  func pixelsAreNormalisedOnTheWay(_ target: CodeTarget, _ window: (kernel: Int, stride: Int, padding: Int)) throws {
    for channels in [1, 3, 4] {
      let (kernel, stride, padding) = window
      let g = try ConvolutionGeometry(
        batch: 2, inputHeight: 21, inputWidth: 19, inputChannels: channels, outputChannels: 24, kernelHeight: kernel,
        kernelWidth: kernel, strideHeight: stride, strideWidth: stride, padTop: padding, padLeft: padding,
        padBottom: padding, padRight: padding)
      let mean = (0..<channels).map { 100 + Float($0) }, deviation = (0..<channels).map { 50 + Float($0) }
      let workers = Workers(count: 2), library = KernelLibrary(target)
      let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: 3, stream: 1)
      let pixels = (0..<g.inputCount).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 7) }
      let numbers = pixels.indices.map { (Float(pixels[$0]) - mean[$0 % channels]) / deviation[$0 % channels] }
      func result(_ element: ImageInput.Element, _ x: UnsafeRawPointer) throws -> [Float] {
        let convolution = try ConvolutionAlgorithms.plan(
          ConvolutionRequest(g, input: .picture(element), workers: workers), library: library)
        try library.finish()
        let filter = try ConvolutionBuffer(count: convolution.filterCount)
        let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
        let blocked = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
        let y = try ConvolutionBuffer(count: g.outputCount)
        convolution.pack(weight.base, scale: nil, into: filter.base, workers: workers)
        convolution.run(
          x, filter: filter.base, bias: nil, residual: nil, into: blocked.base, mean: nil,
          workspace: workspace.base, workers: workers)
        BlockedCopies.unpack(blocked.base, convolution.output, into: y.base, workers: workers)
        let isIntact = [filter, workspace, blocked, y].allSatisfy(\.isGuardIntact)
        #expect(isIntact)
        return (0..<g.outputCount).map { y[$0] }
      }
      let ofNumbers = try numbers.withUnsafeBytes { try result(.number, #require($0.baseAddress)) }
      let ofPixels = try pixels.withUnsafeBytes {
        try result(.pixel(mean: mean, deviation: deviation), #require($0.baseAddress))
      }
      #expect(ofPixels == ofNumbers && ofNumbers.contains { $0 != 0 }, "\(g)")
    }
  }
}
