import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Convolutions of bfloat16 by the products of vectors of pairs, against the oracle of these, bit for bit.
@Suite struct BFloat16ConvolutionTests {
  private static let hasVectors = BFloat16ProductTests.hasVectors
  private static let fast = CodeTarget(.avx512BF16, bfloat16Rate: 1)

  private static func request(_ c: BFloat16ConvolutionCheck) -> ConvolutionRequest {
    var request = ConvolutionRequest(c.geometry, input: c.input, epilogue: c.epilogue, workers: c.workers)
    (request.inputElement, request.outputElement) = (.bfloat16, c.isRounded ? .bfloat16 : .float32)
    return request
  }

  /// Compares.
  private static func check(_ c: BFloat16ConvolutionCheck) throws {
    let library = KernelLibrary(CodeTarget(.avx512BF16, secondCacheByteCount: 1 << (14 + c.seed % 7)))
    let workers = c.workers
    let convolution = try DirectAlgorithm().plan(request(c), library: library)
    try library.finish()
    try c.check(
      .init(
        input: convolution.input.with(border: c.border ?? .none), output: convolution.output,
        filterByteCount: convolution.filterCount * 4, biasCount: convolution.biasCount,
        workspaceByteCount: convolution.workspaceByteCount,
        pack: { convolution.pack($0, scale: $1, into: $2.assumingMemoryBound(to: Float.self), workers: workers) },
        run: { x, filter, bias, residual, y, workspace in
          convolution.run(
            x, filter: filter.assumingMemoryBound(to: Float.self), bias: bias, residual: residual, into: y, mean: nil,
            workspace: workspace, workers: workers)
        },
        sum: { bias, a, b in
          zip(a.joined().pairs, b.joined().pairs).reduce(bias) {
            BFloat16Product.addingPair(to: $0, $1.0, $1.1)
          }
        }))
  }

  @Test(.enabled(if: hasVectors), arguments: 0..<6)
  func convolutionsAreTheOraclesBitForBit(_ part: Int) throws {
    try BFloat16ConvolutionCheck.random(part: part, count: 12, outputBorders: false, Self.check)
  }

  /// What networks are made of, of which random shapes hit little; panels that end within a block and go on in the next.
  @Test(
    .enabled(if: hasVectors),
    arguments: [
      "h7 w7 ic64 oc48 kh3 kw3 pt1 pl1 pb1 pr1", "h14 w14 ic64 oc16 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", "n3 ic96 oc100",
      "h28 w28 ic32 oc32 sh2 sw2", "n2 h14 w14 ic32 oc144", "h56 w56 ic8 oc8 kh3 kw3 pt1 pl1 pb1 pr1 g2",
      "h8 w40 ic32 oc16 kh1 kw1 sh1 sw2", "h3 w3 ic33 oc208", "n5 ic31 oc1000",
    ])
  func shapesOfNetworksAreTheOraclesBitForBit(_ line: String) throws {
    let g = try ConvolutionCase(line).geometry
    for workers in 1...2 {
      try Self.check(
        .init(
          geometry: g, isRounded: workers == 1 || g.inputChannels % 2 == 0,
          epilogue: Epilogue(hasBias: true, addsResidual: true, activation: VectorActivation(.relu, constants: [])),
          workers: Workers(count: workers)))
    }
  }

  /// A picture comes as float32, and so its products are; the result is rounded where that is wanted.
  @Test(.enabled(if: hasVectors)) func picturesAreProductsOfFloat32Rounded() throws {
    for (line, activation) in [
      ("n2 h9 w17 ic3 oc24 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", ActivationFunction.relu), ("h8 w8 ic1 oc40 kh5 kw5", nil),
    ] as [(String, ActivationFunction?)] {
      let g = try ConvolutionCase(line).geometry, workers = Workers(count: 2)
      var request = ConvolutionRequest(
        g, input: .picture(.number),
        epilogue: Epilogue(activation: activation.flatMap { VectorActivation($0, constants: []) }), workers: workers)
      let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: 3, stream: 1)
      let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: 3, stream: 2)
      func numbers(_ output: ElementType) throws -> [Float] {
        request.outputElement = output
        let library = KernelLibrary(Self.fast), convolution = try DirectAlgorithm().plan(request, library: library)
        try library.finish()
        let filter = try ConvolutionBuffer(count: convolution.filterCount)
        let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
        let y = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
        convolution.pack(weight.base, scale: nil, into: filter.base, workers: workers)
        convolution.run(
          x.base, filter: filter.base, bias: nil, residual: nil, into: y.base, mean: nil, workspace: workspace.base,
          workers: workers)
        let isIntact = [filter, workspace, y].allSatisfy(\.isGuardIntact)
        #expect(isIntact)
        return (0..<g.outputCount).map {
          BFloat16ConvolutionCheck.result(
            y, convolution.output, isRounded: output == .bfloat16, pixel: $0 / g.outputChannels,
            channel: $0 % g.outputChannels)
        }
      }
      let exact = try numbers(.float32)
      #expect(try numbers(.bfloat16) == exact.map { Float(BFloat16Product.rounded($0)) })
    }
  }

  /// The cost is that of half as many products at the processor's rate; a filter of half as many bytes.
  @Test func itIsCheaperWhereTheRateIsHigh() throws {
    let slow = CodeTarget(.avx512BF16), g = try ConvolutionCase("h28 w28 ic256 oc128").geometry
    let one = try ConvolutionCase("ic512 oc1000").geometry, workers = Workers(count: 2)
    func cycles(_ g: ConvolutionGeometry, _ element: ElementType, _ target: CodeTarget) -> Double {
      var request = ConvolutionRequest(g, workers: workers)
      (request.inputElement, request.outputElement) = (element, element)
      return DirectAlgorithm().cycles(request, target)
    }
    #expect(cycles(g, .bfloat16, Self.fast) == cycles(g, .float32, Self.fast) / 2)
    #expect(cycles(g, .bfloat16, slow) == cycles(g, .float32, slow) * 2)
    for target in [Self.fast, slow] { #expect(cycles(one, .bfloat16, target) == cycles(one, .float32, target) / 2) }
  }

  @Test func whatItCannotComputeIsRefusedWithAReason() throws {
    let g = try ConvolutionCase("h5 w5 ic17 oc17").geometry
    for (target, reason) in [
      (CodeTarget(.avx2), "avx2 has no instructions on bfloat16" as String?),
      (CodeTarget(.avx512VNNI), "avx512_vnni has no instructions on bfloat16"), (Self.fast, nil),
    ] {
      for isRounded in [true, false] {
        #expect(DirectAlgorithm().refusal(Self.request(.init(geometry: g, isRounded: isRounded)), target) == reason)
      }
    }
    var request = Self.request(.init(geometry: g))
    request.inputElement = .int8
    #expect(DirectAlgorithm().refusal(request, Self.fast) == "there are no products of int8")
  }
}

extension Sequence {
  /// Neighbours, two by two.
  fileprivate var pairs: [(even: Element, odd: Element)] {
    let all = Array(self)
    return stride(from: 0, to: all.count - 1, by: 2).map { (all[$0], all[$0 + 1]) }
  }
}
