import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Generated gradients of a convolution's input against the portable reference, on random awkward shapes.
struct BlockedInputGradientTests {
  /// Checks one shape; false where there are no kernels for it.
  static func check(_ g: ConvolutionGeometry, _ target: CodeTarget, workers count: Int, seed: UInt64) throws -> Bool {
    let library = KernelLibrary(target), workers = Workers(count: count)
    guard let gradient = try BlockedInputGradient(g, workers: workers, library: library) else { return false }
    try library.finish()
    let dy = try ConvolutionBuffer(randomCount: g.outputCount, seed: seed, stream: 1)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
    let oihw = try ConvolutionBuffer(count: g.weightCount)
    let inputs = g.groupInputChannels, taps = g.kernelHeight * g.kernelWidth
    for index in 0..<g.weightCount {
      let tap = index % taps, input = index / taps % inputs, output = index / taps / inputs
      oihw.base[index] = weight[(tap * inputs + input) * g.outputChannels + output]
    }
    let dyBlocked = try ConvolutionBuffer(byteCount: gradient.gradient.byteCount)
    let dxBlocked = try ConvolutionBuffer(byteCount: gradient.result.byteCount)
    let filter = try ConvolutionBuffer(count: gradient.filterCount)
    let packing = try ConvolutionBuffer(byteCount: gradient.packingByteCount)
    let workspace = try ConvolutionBuffer(byteCount: gradient.workspaceByteCount)
    let dx = try ConvolutionBuffer(count: g.inputCount)
    BlockedCopies.pack(dy.base, into: dyBlocked.base, gradient.gradient, workers: workers)
    gradient.pack(oihw.base, into: filter.base, workspace: packing.base, workers: workers)
    gradient.run(
      dyBlocked.base, filter: filter.base, into: dxBlocked.base, workspace: workspace.base, workers: workers)
    BlockedCopies.unpack(dxBlocked.base, gradient.result, into: dx.base, workers: workers)
    var expected = [Double](repeating: .nan, count: g.inputCount)
    ConvolutionReference.inputGradient(dy: dy.base, weight: weight.base, dx: &expected, geometry: g)
    let scale = max(expected.map(\.magnitude).max() ?? 0, 1e-30)
    let error = expected.indices.map { abs(Double(dx[$0]) - expected[$0]) / scale }.max { !($0 >= $1) } ?? 0
    #expect(error < 2e-5, "\(g), \(target.instructionSet), \(count) workers: \(error)")
    let isIntact = [dyBlocked, dxBlocked, filter, packing, workspace, dx].allSatisfy(\.isGuardIntact)
    #expect(isIntact, "\(g)")
    if BlockedInputGradient.canAdd(g) {
      try checkSum(g, dyBlocked, oihw, of: dxBlocked, tolerance: scale * 2e-5, workers, library, seed: seed)
    }
    return true
  }

  /// Checks the sum with another gradient, which is written beside it or in its place.
  private static func checkSum(
    _ g: ConvolutionGeometry, _ dy: ConvolutionBuffer, _ weight: ConvolutionBuffer, of alone: ConvolutionBuffer,
    tolerance: Double, _ workers: Workers, _ library: KernelLibrary, seed: UInt64
  ) throws {
    let gradient = try #require(
      try BlockedInputGradient(g, addsResidual: true, workers: workers, library: library), "\(g)")
    try library.finish()
    let other = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 3)
    let residual = try ConvolutionBuffer(byteCount: gradient.result.byteCount)
    BlockedCopies.pack(other.base, into: residual.base, gradient.result, workers: workers)
    let filter = try ConvolutionBuffer(count: gradient.filterCount)
    let workspace = try ConvolutionBuffer(byteCount: gradient.workspaceByteCount)
    gradient.pack(weight.base, into: filter.base, workspace: workspace.base, workers: workers)
    func rowMajor(_ blocked: ConvolutionBuffer) throws -> [Double] {
      let result = try ConvolutionBuffer(count: g.inputCount)
      BlockedCopies.unpack(blocked.base, gradient.result, into: result.base, workers: workers)
      return (0..<g.inputCount).map { Double(result[$0]) }
    }
    let expected = zip(try rowMajor(alone), try rowMajor(residual)).map(+)
    for target in [try ConvolutionBuffer(byteCount: gradient.result.byteCount), residual] {
      gradient.run(
        dy.base, filter: filter.base, residual: residual.base, into: target.base, workspace: workspace.base,
        workers: workers)
      let error = zip(try rowMajor(target), expected).map { abs($0 - $1) }.max { !($0 >= $1) } ?? 0
      #expect(error < tolerance + 1e-6, "\(g), \(target === residual ? "in place" : "beside")")
      #expect(target.isGuardIntact && residual.isGuardIntact, "\(g)")
    }
  }

  @Test(arguments: BlockedConvolutionTests.targets, BlockedConvolutionTests.Kind.allCases)
  func generatedGradientsEqualTheReference(_ target: CodeTarget, _ kind: BlockedConvolutionTests.Kind) throws {
    var generator = PhiloxGenerator(
      seed: 12, stream: UInt64(BlockedConvolutionTests.Kind.allCases.firstIndex(of: kind) ?? 0))
    var checked = 0
    for index in 0..<70 {
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: kind)
      if try Self.check(g, target, workers: 1 + index % 3, seed: UInt64(index)) { checked += 1 }
    }
    #expect(checked > 30, "\(kind): only \(checked) of 70 shapes have kernels")
  }

  /// The strides of the families, on odd and even sizes: all have kernels.
  static let shapes = [
    "n2 h9 w7 ic17 oc33 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1",
    "n1 h8 w8 ic16 oc40 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1",
    "n2 h8 w9 ic24 oc8 kh3 kw3 sh2 sw2 pt0 pl0 pb1 pr1",
    "n2 h7 w8 ic20 oc16 kh1 kw1 sh2 sw2",
    "n1 h9 w9 ic3 oc8 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3",
    "n1 h12 w10 ic5 oc7 kh3 kw2 sh3 sw2",
    "n1 h12 w12 ic5 oc7 kh3 kw3 sh2 sw2 dh2 dw3 pt2 pl3 pb2 pr3",
    "n3 h9 w8 ic33 oc33 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1 g33",
    "n2 h10 w9 ic40 oc40 kh5 kw5 sh2 sw2 pt2 pl2 pb2 pr2 g40",
    "n2 h7 w7 ic40 oc40 kh5 kw5 pt2 pl2 pb2 pr2 g40",
    "n1 h6 w6 ic64 oc128 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1 g2",
    "n2 h6 w6 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1 g16",
    "n3 h1 w1 ic17 oc10",
    "n2 h14 w14 ic32 oc48 kh3 kw3 pt1 pl1 pb1 pr1",
  ]

  @Test(arguments: BlockedConvolutionTests.targets, shapes)
  func namedShapesEqualTheReference(_ target: CodeTarget, _ shape: String) throws {
    let g = try ConvolutionCase(shape).geometry
    for workers in 1...3 {
      let hasKernels = try Self.check(g, target, workers: workers, seed: 6)
      #expect(hasKernels, "\(g)")
    }
  }

  @Test func paddingBeyondTheFilterHasNoKernel() throws {
    guard let target = BlockedConvolutionTests.targets.first else { return }
    let g = try ConvolutionCase("n1 h4 w4 ic16 oc16 kh1 kw1 pt1 pl1 pb1 pr1").geometry
    let gradient = try BlockedInputGradient(g, workers: Workers(count: 1), library: KernelLibrary(target))
    #expect(gradient == nil)
  }
}
