import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Convolutions by Winograd's transforms of images that are stored as bfloat16: bit for bit what the same numbers of float32
/// give, rounded, as all in between is float32.
@Suite(.enabled(if: BFloat16ProductTests.hasVectors)) struct BFloat16WinogradTests {
  typealias Image = BFloat16StreamTests.Image
  private static let target = CodeTarget(.avx512BF16, bfloat16Rate: 1)
  private static let algorithms: [any ConvolutionAlgorithm] = [
    WinogradAlgorithm(transform: .f2), WinogradAlgorithm(transform: .f4), PhasedWinogradAlgorithm(transform: .f4),
    PhasedWinogradAlgorithm(transform: .f3WithFourTaps),
  ]
  private static let types: [(input: ElementType, output: ElementType)] = [
    (.bfloat16, .bfloat16), (.float32, .bfloat16), (.bfloat16, .float32),
  ]

  /// The result of numbers that bfloat16 holds.
  private static func result(
    _ request: ConvolutionRequest, _ algorithm: any ConvolutionAlgorithm, seed: UInt64
  ) throws -> Image {
    let library = KernelLibrary(target), g = request.geometry, workers = request.workers
    let convolution = try algorithm.plan(request, library: library)
    try library.finish()
    func numbers(_ count: Int, stream: UInt64) throws -> [Float] {
      let random = try ConvolutionBuffer(randomCount: count, seed: seed, stream: stream)
      return (0..<count).map { Float(BFloat16(random[$0])) }
    }
    let picture = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 4)
    let x = try Image(convolution.input, numbers(g.inputCount, stream: 1))
    let residual = try Image(convolution.output, numbers(g.outputCount, stream: 2))
    let y = try Image(emptyLike: convolution.output)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 3)
    let bias = try ConvolutionBuffer(randomCount: convolution.biasCount, seed: seed, stream: 5)
    let filter = try ConvolutionBuffer(count: convolution.filterCount)
    let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
    convolution.pack(weight.base, scale: nil, into: filter.base, workers: workers)
    convolution.run(
      request.input == .blocked ? x.blocked.base : picture.base, filter: filter.base,
      bias: request.epilogue.hasBias ? bias.base : nil,
      residual: request.epilogue.addsResidual ? UnsafeRawPointer(residual.blocked.base) : nil, into: y.blocked.base,
      mean: nil, workspace: workspace.base, workers: workers)
    let isIntact = [y.blocked, filter, workspace].allSatisfy(\.isGuardIntact)
    #expect(isIntact, "\(g), \(algorithm.name)")
    return y
  }

  private static func check(_ request: ConvolutionRequest, seed: UInt64) throws {
    for algorithm in algorithms where algorithm.refusal(request, target) == nil {
      let expected = try result(request, algorithm, seed: seed).unpacked
      for (input, output) in types where request.input == .blocked || input == .float32 {
        var request = request
        (request.inputElement, request.outputElement) = (input, output)
        let found = try result(request, algorithm, seed: seed)
        let rounded = output == .bfloat16 ? expected.map { Float(BFloat16($0)) } : expected
        let description = "\(request.geometry), \(algorithm.name), \(request.epilogue), \(input) to \(output)"
        #expect(found.unpacked == rounded, "\(description)")
        let isPlain = !request.epilogue.hasBias && !request.epilogue.addsResidual
        #expect(!isPlain || output == .float32 || found.isZeroBehindTheLastChannel, "\(description)")
      }
    }
  }

  @Test(arguments: [BlockedConvolutionTests.Kind.threeByThree, .picture])
  func resultsAreThoseOfFloat32Rounded(_ kind: BlockedConvolutionTests.Kind) throws {
    var generator = PhiloxGenerator(seed: 17, stream: kind == .picture ? 1 : 0)
    for index in 0..<60 {
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: kind)
      let relu = VectorActivation(.relu, constants: [])
      let epilogue = Epilogue(
        hasBias: index % 3 == 0, addsResidual: index % 4 == 1, activation: index % 5 == 0 ? relu : nil)
      let request = ConvolutionRequest(
        g, input: kind == .picture ? .picture(.number) : .blocked, epilogue: epilogue,
        workers: Workers(count: 1 + index % 3))
      try Self.check(request, seed: UInt64(index))
    }
  }

  /// Few tiles of many channels, whose filter is transformed on the way; blocks that end halfway.
  @Test(
    arguments: [
      "h4 w4 ic48 oc80 kh3 kw3 pt1 pl1 pb1 pr1", "h7 w7 ic128 oc144 kh3 kw3 pt1 pl1 pb1 pr1",
      "n3 h14 w14 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1",
    ])
  func shapesOfNetworksAreThoseOfFloat32Rounded(_ line: String) throws {
    for workers in 1...3 {
      try Self.check(
        ConvolutionRequest(try ConvolutionCase(line).geometry, workers: Workers(count: workers)), seed: 8)
    }
  }
}
