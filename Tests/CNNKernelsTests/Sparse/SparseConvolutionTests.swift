import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Generated convolutions with sparse filters against the dense definition of the masked weights, on random awkward shapes and
/// patterns.
@Suite struct SparseConvolutionTests {
  enum Pattern: CaseIterable {
    case unstructured, blocks, fewOfFour, nothing, everything, emptyRows
  }

  /// A random mask of a weight `[outputs, inputs, taps]`.
  static func mask(_ pattern: Pattern, _ g: ConvolutionGeometry, _ generator: inout PhiloxGenerator) -> SparsityMask {
    let size = g.inputChannels * g.taps, share = [0.01, 0.05, 0.1, 0.3][Int(generator.unit() * 4) % 4]
    let numbers = (0..<g.weightCount).map { _ in Double(generator.unit()) }
    return SparsityMask(count: g.weightCount) { position in
      let output = position / size, rest = position % size
      return switch pattern {
      case .unstructured: numbers[position] < share
      case .blocks: numbers[output / 16 * size + rest] < share
      case .fewOfFour: (output + rest / g.taps) % 4 < 2
      case .nothing: false
      case .everything: true
      case .emptyRows: output % 3 == 1 && numbers[position] < 0.4
      }
    }
  }

  @Test(arguments: BlockedConvolutionTests.targets, Pattern.allCases)
  func agreesWithTheDenseDefinition(_ target: CodeTarget, _ pattern: Pattern) throws {
    let epilogues = [
      Epilogue(), Epilogue(hasBias: true),
      Epilogue(hasBias: true, addsResidual: true, activation: VectorActivation(.relu, constants: [])),
      Epilogue(activation: VectorActivation(.silu, constants: [])),
      Epilogue(addsResidual: true, activation: VectorActivation(.gelu, constants: [])),
    ]
    for seed in 0..<40 as Range<UInt64> {
      var generator = PhiloxGenerator(seed: seed, stream: 77)
      let kind: BlockedConvolutionTests.Kind = [.pointwise, .threeByThree, .any][Int(seed) % 3]
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: kind)
      let mask = Self.mask(pattern, g, &generator)
      let filter = try #require(
        SparseFilter(mask, outputs: g.outputChannels, inputs: g.inputChannels, taps: g.taps, target))
      var request = ConvolutionRequest(
        g, epilogue: epilogues[Int(seed) % epilogues.count], workers: Workers(count: 1 + Int(seed) % 3))
      request.sparseFilter = filter
      let run = try BlockedConvolutionTests.run(request, SparseAlgorithm(), target, seed: seed, mask: mask)
      #expect(run.isGuardIntact && run.algorithm == "sparse")
      #expect(run.error < 3e-6, "seed \(seed), \(g)")
      #expect(SparseAlgorithm().cycles(request, target) > 0)
    }
  }

  /// Which products are made: of blocks none is in vain, of single weights as many as the fullest lane has.
  @Test(arguments: BlockedConvolutionTests.targets) func productsAreFew(_ target: CodeTarget) throws {
    let g = try ConvolutionGeometry(
      batch: 1, inputHeight: 8, inputWidth: 8, inputChannels: 128, outputChannels: 64, kernelHeight: 1, kernelWidth: 1)
    let blocks = SparsityMask(count: g.weightCount) { ($0 % 128 + $0 / 128 / 16 * 3) % 10 == 0 }
    let filter = try #require(SparseFilter(blocks, outputs: 64, inputs: 128, taps: 1, target))
    #expect(filter.count == blocks.keptCount && filter.panels.allSatisfy { $0.permuted.isEmpty })
    // A weight in each row of every unit, each of another channel.
    let diagonal = SparsityMask(count: g.weightCount) { $0 % target.lanes == $0 / 128 % target.lanes }
    let permuted = try #require(SparseFilter(diagonal, outputs: 64, inputs: 128, taps: 1, target))
    #expect(permuted.count == diagonal.keptCount && permuted.panels.allSatisfy { $0.repeated.isEmpty })
    let direct = ConvolutionRequest(g, workers: Workers(count: 2))
    var sparse = direct
    sparse.sparseFilter = filter
    #expect(2 * SparseAlgorithm().cycles(sparse, target) < DirectAlgorithm().cycles(direct, target))
  }

  @Test func otherRequestsAreRefused() throws {
    let target = try #require(BlockedConvolutionTests.targets.last)
    func geometry(outputs: Int = 32, groups: Int = 1) throws -> ConvolutionGeometry {
      try ConvolutionGeometry(
        batch: 1, inputHeight: 4, inputWidth: 4, inputChannels: 32, outputChannels: outputs, kernelHeight: 1,
        kernelWidth: 1, groups: groups)
    }
    let mask = SparsityMask(count: 1024) { $0 % 20 == 0 }
    let filter = SparseFilter(mask, outputs: 32, inputs: 32, taps: 1, target)
    #expect(SparseFilter(mask, outputs: 32, inputs: 31, taps: 1, target) == nil)
    func refusal(_ change: (inout ConvolutionRequest) throws -> Void) throws -> String {
      var request = ConvolutionRequest(try geometry(), workers: Workers(count: 1))
      request.sparseFilter = filter
      try change(&request)
      return SparseAlgorithm().refusal(request, target) ?? ""
    }
    #expect(try refusal { _ in } == "")
    #expect(try refusal { $0.sparseFilter = nil }.contains("no mask"))
    #expect(try refusal { $0.geometry = try geometry(outputs: 48) }.contains("another weight"))
    #expect(try refusal { $0.geometry = try geometry(groups: 2) }.contains("groups"))
    #expect(try refusal { $0.outputElement = .bfloat16 }.contains("float32"))
    #expect(try refusal { $0.accumulatesSum = true }.contains("sum"))
    #expect(try refusal { $0.input = .padded(.none) }.contains("border"))
  }

  /// What a mask leaves out has no part in the result, whatever the image has there, in the lanes behind its last channel too.
  @Test(arguments: BlockedConvolutionTests.targets) func leftOutChannelsAreNotRead(_ target: CodeTarget) throws {
    let g = try ConvolutionGeometry(
      batch: 1, inputHeight: 5, inputWidth: 5, inputChannels: 21, outputChannels: 19, kernelHeight: 1, kernelWidth: 1)
    // Channels 3 and 20 are read by some outputs, by others not.
    let mask = SparsityMask(count: g.weightCount) { [3, 20].contains($0 % 21) && $0 / 21 % 2 == 0 }
    var request = ConvolutionRequest(g, workers: Workers(count: 1))
    request.sparseFilter = try #require(SparseFilter(mask, outputs: 19, inputs: 21, taps: 1, target))
    let library = KernelLibrary(target)
    let convolution = try SparseAlgorithm().plan(request, library: library)
    try library.finish()
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: 1, stream: 1)
    let filter = try ConvolutionBuffer(count: convolution.filterCount)
    let x = try ConvolutionBuffer(byteCount: convolution.input.byteCount)
    let y = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
    let pixels = convolution.input.blockByteCount / 64
    for block in 0..<2 {
      for index in 0..<pixels * 16 {
        let channel = block * 16 + index % 16
        x.base[block * pixels * 16 + index] = [3, 20].contains(channel) ? 1 : .nan
      }
    }
    convolution.pack(weight.base, scale: nil, into: filter.base, workers: Workers(count: 1))
    convolution.run(
      x.base, filter: filter.base, bias: nil, residual: nil, into: y.base, mean: nil, workspace: x.base,
      workers: Workers(count: 1))
    for output in 0..<19 {
      let expected = output % 2 == 0 ? weight[output * 21 + 3] + weight[output * 21 + 20] : 0
      let found = y.base[output / 16 * convolution.output.blockByteCount / 4 + output % 16]
      #expect(abs(found - expected) < 1e-6)
    }
  }
}
