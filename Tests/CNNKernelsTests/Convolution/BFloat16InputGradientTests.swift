import CNNCore
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNKernels

/// Gradients of a convolution's input whose products are of bfloat16, on vectors and by tiles, against the portable reference on
/// the rounded numbers; those of depthwise ones and by Winograd's transforms only read and write it.
@Suite(.enabled(if: BFloat16ProductTests.hasVectors)) struct BFloat16InputGradientTests {
  typealias Image = BFloat16StreamTests.Image

  static let kinds: [(options: BlockedInputGradient.Options, target: CodeTarget)] =
    [ElementType.float32, .bfloat16].flatMap { result in
      [.float32, .bfloat16].map {
        (.init(gradient: .bfloat16, result: result, arithmetic: $0), CodeTarget(.avx512BF16, bfloat16Rate: 1))
      }
        + (Tiles.instructionSet.map {
          [(.init(gradient: .bfloat16, result: result, arithmetic: .tiles), CodeTarget($0))]
        } ?? [])
    }

  /// Whether there are kernels for a shape: tiles and products multiply matrices, which depthwise convolutions are none, and
  /// those with products of float32 that read bfloat16 are Winograd's.
  private func isPossible(_ g: ConvolutionGeometry, _ kind: Int) -> Bool {
    switch Self.kinds[kind].options.arithmetic {
    case .bfloat16, .tiles: !g.isChannelwise
    case .float32: g.isChannelwise || WinogradTransform.refusal(g) == nil
    }
  }

  /// Checks one shape, with and without another gradient that is added; false where there are no kernels for it.
  private func check(_ g: ConvolutionGeometry, _ kind: Int, workers count: Int, seed: UInt64) throws -> Bool {
    let (options, target) = Self.kinds[kind]
    let library = KernelLibrary(target), workers = Workers(count: count)
    for addsResidual in BlockedInputGradient.canAdd(g) ? [false, true] : [false] {
      guard
        let gradient = try BlockedInputGradient(
          g, options, addsResidual: addsResidual, workers: workers, library: library)
      else { return false }
      try library.finish()
      let dy = try Image(gradient.gradient, seed: seed)
      let random = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
      let hwio = try ConvolutionBuffer(count: g.weightCount), oihw = try ConvolutionBuffer(count: g.weightCount)
      let inputs = g.groupInputChannels, taps = g.kernelHeight * g.kernelWidth
      for index in 0..<g.weightCount {
        hwio.base[index] = g.isChannelwise ? random[index] : Float(BFloat16(random[index]))
      }
      for index in 0..<g.weightCount {
        let tap = index % taps, input = index / taps % inputs, output = index / taps / inputs
        oihw.base[index] = hwio[(tap * inputs + input) * g.outputChannels + output]
      }
      let residual = try Image(gradient.result, seed: seed + 1)
      let filter = try ConvolutionBuffer(count: gradient.filterCount)
      let packing = try ConvolutionBuffer(byteCount: gradient.packingByteCount)
      let workspace = try ConvolutionBuffer(byteCount: gradient.workspaceByteCount)
      gradient.pack(oihw.base, into: filter.base, workspace: packing.base, workers: workers)
      var expected = [Double](repeating: .nan, count: g.inputCount)
      dy.values.withUnsafeBufferPointer { values in
        guard let base = values.baseAddress else { return }
        ConvolutionReference.inputGradient(dy: base, weight: hwio.base, dx: &expected, geometry: g)
      }
      if addsResidual { for index in expected.indices { expected[index] += Double(residual.values[index]) } }
      let scale = max(expected.map(\.magnitude).max() ?? 0, 1e-30)
      // Half of a last digit, beside what sums of float32 lose.
      let tolerance = options.result == .bfloat16 ? 0x1p-8 + 2e-5 : 2e-5
      for isInPlace in addsResidual ? [false, true] : [false] {
        let dx = isInPlace ? residual : try Image(emptyLike: gradient.result)
        gradient.run(
          dy.blocked.base, filter: filter.base, residual: addsResidual ? UnsafeRawPointer(residual.blocked.base) : nil,
          into: dx.blocked.base, workspace: workspace.base, workers: workers)
        let error = zip(dx.unpacked, expected).map { abs(Double($0) - $1) / scale }.max { !($0 >= $1) } ?? 0
        #expect(
          error < tolerance, "\(g), \(options), \(target.instructionSet), \(count) workers, in place: \(isInPlace)")
        // What is added there is any number.
        #expect(options.result == .float32 || addsResidual || dx.isZeroBehindTheLastChannel, "\(g)")
        let isIntact = [dy.blocked, dx.blocked, filter, packing, workspace].allSatisfy(\.isGuardIntact)
        #expect(isIntact, "\(g)")
      }
    }
    return true
  }

  @Test(arguments: kinds.indices, BlockedConvolutionTests.Kind.allCases)
  func gradientsEqualTheReference(_ kind: Int, _ shape: BlockedConvolutionTests.Kind) throws {
    var generator = PhiloxGenerator(
      seed: 13, stream: UInt64(BlockedConvolutionTests.Kind.allCases.firstIndex(of: shape) ?? 0))
    var checked = 0, possible = 0
    for index in 0..<10 {
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: shape)
      if isPossible(g, kind) { possible += 1 }
      if try check(g, kind, workers: 1 + index % 3, seed: UInt64(index)) { checked += 1 }
    }
    #expect(checked > min(2, possible - 1), "\(shape): \(checked) of \(possible)")
  }

  @Test(arguments: kinds.indices, BlockedInputGradientTests.shapes)
  func namedShapesEqualTheReference(_ kind: Int, _ shape: String) throws {
    let g = try ConvolutionCase(shape).geometry
    for workers in 1...2 {
      let hasKernels = try check(g, kind, workers: workers, seed: 6)
      #expect(hasKernels == isPossible(g, kind), "\(g)")
    }
  }
}
