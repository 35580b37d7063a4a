import CNNCore
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNKernels

/// Convolutions of bytes by tiles and in vector registers, with every set of instructions there is, against their definition,
/// integer by integer, on random awkward shapes.
@Suite struct ByteConvolutionTests {
  /// What computes a convolution, and for which instructions code is made.
  struct Form: CustomTestStringConvertible, Sendable {
    let products: any ByteConvolution.Type
    let instructionSet: InstructionSet

    var testDescription: String { "\(products.name) \(instructionSet)" }
  }

  /// What this processor runs, or is made to run.
  static let forms: [Form] = {
    let own = Processor.host.instructionSet
    let vectors = [InstructionSet.avx2, .avxVNNI, .avx512, .avx512VNNI].filter { own.isSuperset(of: $0) }.map {
      Form(products: ByteProductConvolution.self, instructionSet: $0)
    }
    return vectors + (Tiles.instructionSet.map { [Form(products: TileConvolution.self, instructionSet: $0)] } ?? [])
  }()

  /// What transforms levels, with the instructions that it is for.
  static let transforms = [InstructionSet.avx2, .avx512].filter { Processor.host.instructionSet.isSuperset(of: $0) }
    .map { Form(products: ByteWinogradConvolution.self, instructionSet: $0) }

  private struct Case {
    var geometry: ConvolutionGeometry
    var isPicture = false
    var zeroPoints: [UInt8] = [7]
    var residual: ByteLevels?
    var function: ExactActivation?
    var result: ByteLevels?
    var workers = 1
    var seed: UInt64 = 1
  }

  private func check(_ c: Case, _ form: Form) throws {
    let g = c.geometry, workers = Workers(count: c.workers)
    var data = RandomData(seed: c.seed)
    let x = data.bytes(g.inputCount), weight = data.floats(g.weightCount)
    let bias = data.floats(g.outputChannels, in: -20...20)
    let residual = data.bytes(g.outputCount)
    let levels = WeightLevels(scales: data.floats(g.outputChannels, in: 0.01...0.03))
    let scale: Float = 0.02, depth = g.weightCount / g.outputChannels
    // Each channel with a scale of its own behind the function, of every other one, and some with a zero point.
    let inverses = c.function != nil && c.seed % 2 == 1 ? data.floats(g.outputChannels, in: 0.5...9) : []
    let resultZeroPoints = !inverses.isEmpty && c.seed % 3 > 0 ? data.bytes(g.outputChannels) : []
    // With limits before the rounding, and after it.
    let requantization = Requantization(
      input: scale, residual: c.residual, function: c.function, levels: c.result,
      largestWeightScale: c.seed % 4 < 2 ? levels.scales.max() ?? 0 : .infinity, inverses: inverses,
      zeroPoints: resultZeroPoints)
    let library = KernelLibrary(CodeTarget(form.instructionSet, secondCacheByteCount: 1 << (14 + c.seed % 7)))
    let convolution = try form.products.init(
      ofBytes: g, isPicture: c.isPicture, zeroPoints: c.zeroPoints, addsResidual: c.residual != nil, requantization,
      workers: workers, library: library)
    try library.finish()
    let lanes = convolution.biasCount
    var filter = [Int8](repeating: 0, count: convolution.filterCount),
      plain = [Int8](repeating: 0, count: g.weightCount)
    var sums = [Int32](repeating: 0, count: lanes)
    func multipliers(vector: Int) -> [Float] {
      requantization.multipliers(levels, outputs: g.outputChannels, lanes: lanes, vector: vector)
    }
    convolution.pack(weight, levels, into: &filter, workers: workers)
    weight.withUnsafeBufferPointer { weight in
      plain.withUnsafeMutableBufferPointer { levels.round(weight, outputs: g.outputChannels, into: $0) }
    }
    QuantizedFilter.sums(
      weight, bias: bias, levels, inputScale: scale, zeroPoints: c.zeroPoints, taps: g.taps,
      outputs: g.outputChannels, depth: depth, into: &sums, lanes: lanes, workers: workers)

    let plane = g.outputCount * (c.result == nil ? 4 : 1)
    var expected = [UInt8](repeating: 0, count: plane)
    expected.withUnsafeMutableBytes {
      QuantizedConvolution.forward(
        x, zeroPoints: c.zeroPoints, filter: plain, sums: sums, multipliers: multipliers(vector: 1),
        residual: c.residual == nil ? nil : UnsafePointer(residual),
        into: $0.baseAddress ?? UnsafeMutableRawPointer(mutating: x), requantization, geometry: g,
        workers: workers)
    }

    let input = g.blockedInput.with(element: .uint8), output = convolution.output
    let given = try ConvolutionBuffer(byteCount: c.isPicture ? (x.count + 3) / 4 * 4 : input.byteCount)
    if c.isPicture {
      UnsafeMutableRawPointer(given.base).copyMemory(from: x, byteCount: x.count)
    } else {
      // What lies behind the last channel is anything.
      for index in 0..<input.byteCount {
        UnsafeMutableRawPointer(given.base).storeBytes(of: UInt8(index % 251), toByteOffset: index, as: UInt8.self)
      }
      packKeepingLanes(x, into: given.base, input)
    }
    let others = try ConvolutionBuffer(byteCount: output.byteCount)
    if c.residual != nil { packKeepingLanes(residual, into: others.base, output) }
    let workspace = try ConvolutionBuffer(byteCount: (convolution.workspaceByteCount + 3) / 4 * 4)
    let y = try ConvolutionBuffer(byteCount: output.byteCount)
    convolution.run(
      given.base, filter: filter, bias: sums, multipliers: multipliers(vector: library.target.lanes),
      residual: c.residual == nil ? nil : UnsafeRawPointer(others.base), into: y.base, workspace: workspace.base,
      workers: workers)
    let isIntact = [given, workspace, y].allSatisfy(\.isGuardIntact)
    #expect(isIntact, "\(g)")
    if c.result == nil {
      var floats = [Float](repeating: 0, count: g.outputCount)
      BlockedCopies.unpack(y.base, output, into: &floats, workers: workers)
      let bits = KernelChecks.bits(floats)
      #expect(bits == expected, "\(c)")
    } else {
      var bytes = [UInt8](repeating: 0, count: g.outputCount)
      BlockedCopies.unpackBytes(y.base, output, into: &bytes, workers: workers)
      #expect(bytes == expected, "\(c)")
    }
  }

  private func packKeepingLanes(_ x: [UInt8], into y: UnsafeMutableRawPointer, _ tensor: BlockedTensor) {
    for pixel in 0..<tensor.images * tensor.height * tensor.width {
      for channel in 0..<tensor.channels {
        y.storeBytes(
          of: x[pixel * tensor.channels + channel],
          toByteOffset: channel / 64 * tensor.blockByteCount + pixel * 64 + channel % 64, as: UInt8.self)
      }
    }
  }

  private static let functions: [ExactActivation?] = [
    nil, .silu, .sigmoid, .hardSwish, .hardSigmoid, .leakyRelu(alpha: 0.1), .leakyRelu(alpha: 1.5), nil,
  ]

  /// The levels of a result: those that SiLU reaches by pieces, or those given.
  private static func levels(byPieces: Bool, zeroPoint: UInt8, else other: ByteLevels?) throws -> ByteLevels? {
    guard byPieces else { return other }
    let levels = try #require(ByteLevels(scale: 0.06, zeroPoint: zeroPoint))
    #expect(ActivationPieces(siluTo: levels) != nil)
    return levels
  }

  @Test(arguments: forms, 0..<32) func integersAreThoseOfTheDefinition(_ form: Form, _ seed: Int) throws {
    var data = RandomData(seed: UInt64(seed) + 100)
    func number(_ range: ClosedRange<Int>) -> Int {
      range.lowerBound + Int(data.floats(1, in: 0...0.999)[0] * Float(range.count))
    }
    let kernel = [number(1...5), number(1...5)], stride = [number(1...3), number(1...3)]
    let dilation = [number(1...2), number(1...2)], groups = seed % 5 == 0 ? number(1...3) : 1
    let geometry = try ConvolutionGeometry(
      batch: number(1...3), inputHeight: number(9...20), inputWidth: number(9...24),
      inputChannels: groups * number(1...(seed % 2 == 0 ? 40 : 150)), outputChannels: groups * number(1...130),
      kernelHeight: kernel[0], kernelWidth: kernel[1], strideHeight: stride[0], strideWidth: stride[1],
      dilationHeight: dilation[0], dilationWidth: dilation[1], padTop: number(0...2), padLeft: number(0...2),
      padBottom: number(0...2), padRight: number(0...2), groups: groups)
    guard !geometry.isChannelwise else { return }
    let levels = ByteLevels(
      scale: 0.3, zeroPoint: UInt8(number(0...120)), minimum: UInt8(number(0...20)), maximum: UInt8(number(150...255)))
    let givesFloats = seed % 7 == 3, function = givesFloats ? nil : Self.functions[seed % Self.functions.count]
    let result = try Self.levels(byPieces: function == .silu && seed < 16, zeroPoint: 9, else: levels)
    try check(
      Case(
        geometry: geometry, zeroPoints: [UInt8(number(0...255))],
        residual: seed % 3 == 1 && !givesFloats ? ByteLevels(scale: 0.11, zeroPoint: UInt8(number(0...255))) : nil,
        function: function, result: givesFloats ? nil : result, workers: number(1...3), seed: UInt64(seed)), form)
  }

  @Test(arguments: transforms, 0..<26) func transformsGiveTheSameIntegers(_ form: Form, _ seed: Int) throws {
    var data = RandomData(seed: UInt64(seed) + 500)
    func number(_ range: ClosedRange<Int>) -> Int {
      range.lowerBound + Int(data.floats(1, in: 0...0.999)[0] * Float(range.count))
    }
    // The last ones have sums as large as there may be, and channels that are divided among threads.
    let inputs = seed == 22 ? ByteWinogradConvolution.largestDepth : number(1...(seed % 2 == 0 ? 70 : 300))
    let geometry = try ConvolutionGeometry(
      batch: number(1...3), inputHeight: number(1...15), inputWidth: number(1...15), inputChannels: inputs,
      outputChannels: seed == 23 ? 900 : number(1...150), kernelHeight: 3, kernelWidth: 3,
      padTop: number(1...2), padLeft: number(1...2), padBottom: number(1...2), padRight: number(1...2))
    let givesFloats = seed % 7 == 3, function = givesFloats ? nil : Self.functions[seed % Self.functions.count]
    let levels = ByteLevels(scale: 0.3, zeroPoint: UInt8(number(0...120)))
    let result = try Self.levels(byPieces: function == .silu && seed < 16, zeroPoint: 0, else: levels)
    try check(
      Case(
        geometry: geometry, zeroPoints: [UInt8(number(0...255))],
        residual: seed % 3 == 1 && !givesFloats ? ByteLevels(scale: 0.11, zeroPoint: UInt8(number(0...255))) : nil,
        function: function, result: givesFloats ? nil : result, workers: number(1...3), seed: UInt64(seed)), form)
  }

  @Test(arguments: forms, [1, 8, 9, 17, 24, 31, 40, 56, 64, 72, 100])
  func piecesGiveTheSameIntegersForEveryNumberOfChannels(_ form: Form, _ channels: Int) throws {
    for (seed, size) in [1, 2, 7].enumerated() {
      let geometry = try ConvolutionGeometry(
        batch: 1, inputHeight: size, inputWidth: size + 2 * seed, inputChannels: 8 + 16 * seed,
        outputChannels: channels, kernelHeight: 1, kernelWidth: 1)
      try check(
        Case(
          geometry: geometry, residual: seed == 1 ? ByteLevels(scale: 0.02, zeroPoint: 100) : nil, function: .silu,
          result: Self.levels(byPieces: true, zeroPoint: 20, else: nil), seed: UInt64(seed + 1)), form)
    }
  }

  @Test(arguments: [ByteProductConvolution.self, ByteWinogradConvolution.self] as [any ByteConvolution.Type], 0..<8)
  func productsOfSumsGiveTheSameIntegers(_ products: any ByteConvolution.Type, _ seed: Int) throws {
    guard Processor.host.instructionSet.isSuperset(of: .avx2) else { return }
    var data = RandomData(seed: UInt64(seed) + 900)
    func number(_ range: ClosedRange<Int>) -> Int {
      range.lowerBound + Int(data.floats(1, in: 0...0.999)[0] * Float(range.count))
    }
    // Runs of an odd number of words, last ones of one word, windows, and the rows of a picture's.
    let isTransform = products == ByteWinogradConvolution.self, isPicture = !isTransform && seed % 4 == 3
    let kernel = isTransform ? 3 : isPicture ? 7 : [1, 3, 1][seed % 3], stride = isTransform ? 1 : number(1...2)
    let geometry = try ConvolutionGeometry(
      batch: number(1...2), inputHeight: number(12...20), inputWidth: number(12...20),
      inputChannels: isPicture ? 3 : [33, 66, number(33...200)][seed % 3], outputChannels: number(48...140),
      kernelHeight: kernel, kernelWidth: kernel, strideHeight: stride, strideWidth: stride, padTop: kernel / 2,
      padLeft: kernel / 2, padBottom: kernel / 2, padRight: kernel / 2)
    let rows = geometry.outputPixels / (isTransform ? 4 : 1)
    #expect(
      ProductOfSums.pays(
        .int16, rows: rows, columns: geometry.outputChannels, depth: geometry.inputChannels * geometry.taps / 2,
        CodeTarget(.avx2)))
    try check(
      Case(
        geometry: geometry, isPicture: isPicture, zeroPoints: [UInt8(number(0...255))],
        residual: seed % 2 == 1 ? ByteLevels(scale: 0.11, zeroPoint: 9) : nil,
        result: ByteLevels(scale: 0.3, zeroPoint: 100), workers: number(1...3), seed: UInt64(seed)),
      Form(products: products, instructionSet: .avx2))
  }

  @Test func transformsSaySizesTheyDoNotTake() throws {
    let target = CodeTarget(.avx2)
    func refusal(_ channels: Int, kernel: Int = 3, stride: Int = 1, target: CodeTarget = target) throws -> String? {
      let geometry = try ConvolutionGeometry(
        batch: 1, inputHeight: 9, inputWidth: 9, inputChannels: channels, outputChannels: 8, kernelHeight: kernel,
        kernelWidth: kernel, strideHeight: stride, strideWidth: stride)
      return ByteWinogradConvolution.refusal(ofBytes: geometry, isPicture: false, target)
    }
    #expect(try refusal(ByteWinogradConvolution.largestDepth) == nil)
    #expect(try refusal(ByteWinogradConvolution.largestDepth + 1)?.contains("sums of 32 bits hold 1827") == true)
    #expect(try refusal(8, kernel: 5) == "the filter is 5x5; Winograd's transforms need 3x3")
    #expect(try refusal(8, stride: 2) == "the stride is 2x2; Winograd's transforms need 1x1")
    for set in [InstructionSet.avx512VNNI, .avxVNNI] {
      #expect(try refusal(8, target: CodeTarget(set))?.hasPrefix("slower") == true)
    }
  }

  @Test(arguments: forms, 0..<12) func picturesAreReadAsTheyCome(_ form: Form, _ seed: Int) throws {
    var data = RandomData(seed: UInt64(seed) + 900)
    func number(_ range: ClosedRange<Int>) -> Int {
      range.lowerBound + Int(data.floats(1, in: 0...0.999)[0] * Float(range.count))
    }
    let channels = number(2...4)
    let geometry = try ConvolutionGeometry(
      batch: number(1...3), inputHeight: number(9...40), inputWidth: number(9...40), inputChannels: channels,
      outputChannels: number(1...70), kernelHeight: number(1...7), kernelWidth: number(1...7),
      strideHeight: number(1...3), strideWidth: number(1...3), dilationHeight: number(1...2), padTop: number(0...3),
      padLeft: number(0...3), padBottom: number(0...3), padRight: number(0...3))
    let function = Self.functions[seed % Self.functions.count]
    let result = try Self.levels(
      byPieces: function == .silu && seed < 8, zeroPoint: 5, else: ByteLevels(scale: 0.4, zeroPoint: 30))
    try check(
      Case(
        geometry: geometry, isPicture: true, zeroPoints: data.bytes(channels), function: function, result: result,
        workers: number(1...3), seed: UInt64(seed)), form)
  }
}
