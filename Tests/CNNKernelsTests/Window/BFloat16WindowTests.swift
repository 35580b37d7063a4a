import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Depthwise convolutions and poolings of images that are stored as bfloat16: they give what float32 gives of the same
/// numbers, rounded.
@Suite struct BFloat16WindowTests {
  static let target = CodeTarget(.avx512BF16)
  static let hasVectors = BFloat16ProductTests.hasVectors

  /// Which of image and result are bfloat16.
  static let types: [(input: ElementType, output: ElementType)] = [
    (.bfloat16, .bfloat16), (.bfloat16, .float32), (.float32, .bfloat16),
  ]

  /// Numbers in blocks; lanes behind the last channel are NaN where they may be, and else some other numbers.
  private static func image(_ x: [Float], _ layout: BlockedTensor) throws -> ConvolutionBuffer {
    if layout.element == .bfloat16 {
      return try BFloat16ConvolutionCheck.blocked({ BFloat16(x[$0]) }, layout, channels: layout.channels)
    }
    let buffer = try ConvolutionBuffer(byteCount: layout.byteCount)
    for (index, number) in x.enumerated() {
      let channel = index % layout.channels, pixel = index / layout.channels
      buffer.base[channel / 16 * layout.blockByteCount / 4 + pixel * 16 + channel % 16] = number
    }
    return buffer
  }

  /// The numbers of a result.
  private static func numbers(_ y: ConvolutionBuffer, _ layout: BlockedTensor) -> [Float] {
    (0..<layout.images * layout.height * layout.width * layout.channels).map {
      BFloat16ConvolutionCheck.result(
        y, layout, isRounded: layout.element == .bfloat16, pixel: $0 / layout.channels, channel: $0 % layout.channels)
    }
  }

  /// Whether what tiles read beside the channels is zero.
  private static func hasZerosBehindChannels(_ y: ConvolutionBuffer, _ layout: BlockedTensor) -> Bool {
    guard layout.element == .bfloat16 else { return true }
    return (0..<layout.images * layout.height * layout.width).allSatisfy { pixel in
      (layout.channels..<layout.blocks * 32).allSatisfy {
        BFloat16ConvolutionCheck.result(y, layout, isRounded: true, pixel: pixel, channel: $0) == 0
      }
    }
  }

  /// Some awkward depthwise convolution.
  private static func geometry(_ generator: inout PhiloxGenerator) throws -> ConvolutionGeometry {
    func pick(_ values: [Int]) -> Int { values[Int(generator.next() % UInt64(values.count))] }
    let sizes = [1, 2, 3, 5, 7, 8, 14, 17, 29]
    while true {
      let channels = pick([2, 16, 17, 31, 32, 33, 40, 64, 80]), kernel = pick([1, 2, 3, 3, 5, 7])
      let pads = (0..<4).map { _ in pick(Array(0...kernel)) }
      let attempt = try? ConvolutionGeometry(
        batch: pick([1, 1, 2, 3]), inputHeight: pick(sizes), inputWidth: pick(sizes), inputChannels: channels,
        outputChannels: channels, kernelHeight: kernel, kernelWidth: pick([kernel, kernel, 3, 9]),
        strideHeight: pick([1, 1, 2, 3]), strideWidth: pick([1, 1, 2, 3]), dilationHeight: pick([1, 1, 2]),
        dilationWidth: pick([1, 1, 2]), padTop: pads[0], padLeft: pads[1], padBottom: pads[2], padRight: pads[3],
        groups: channels)
      if let attempt, WindowSchedule.refusal(attempt) == nil { return attempt }
    }
  }

  /// The result and the mean of a depthwise convolution of these types.
  private static func run(
    _ request: ConvolutionRequest, _ x: [Float], seed: UInt64
  ) throws -> (y: [Float], mean: [Float]) {
    let g = request.geometry, workers = request.workers, library = KernelLibrary(target)
    let convolution = try DepthwiseAlgorithm().plan(request, library: library)
    try library.finish()
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
    let bias = try ConvolutionBuffer(randomCount: convolution.biasCount, seed: seed, stream: 3)
    let scale = try ConvolutionBuffer(randomCount: g.outputChannels, seed: seed, stream: 4)
    let filter = try ConvolutionBuffer(count: convolution.filterCount)
    let input = try image(x, convolution.input), output = convolution.output
    let y = try ConvolutionBuffer(byteCount: output.byteCount)
    let mean = try ConvolutionBuffer(byteCount: convolution.mean.byteCount)
    let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
    convolution.pack(weight.base, scale: scale.base, into: filter.base, workers: workers)
    convolution.run(
      input.base, filter: filter.base, bias: request.epilogue.hasBias ? bias.base : nil, residual: nil, into: y.base,
      mean: request.accumulatesSum ? mean.base : nil, workspace: workspace.base, workers: workers)
    let isIntact = [filter, input, y, mean, workspace].allSatisfy(\.isGuardIntact)
    #expect(isIntact, "\(g)")
    #expect(hasZerosBehindChannels(y, output), "\(g)")
    return (numbers(y, output), request.accumulatesSum ? numbers(mean, convolution.mean) : [])
  }

  /// The means over the pixels of a result.
  private static func means(_ y: [Float], _ g: ConvolutionGeometry) -> [Float] {
    let pixels = g.outputHeight * g.outputWidth, channels = g.outputChannels
    return (0..<g.batch * channels).map { index in
      let start = index / channels * pixels * channels + index % channels
      return Float((0..<pixels).reduce(0.0) { $0 + Double(y[start + $1 * channels]) } / Double(pixels))
    }
  }

  private static func areNear(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= 2e-6 * (1 + $1.magnitude) }
  }

  @Test(.enabled(if: hasVectors), arguments: types)
  func depthwiseConvolutionsAreThoseOfFloat32Rounded(_ types: (input: ElementType, output: ElementType)) throws {
    var generator = PhiloxGenerator(seed: 21, stream: types.input == types.output ? 1 : 2)
    let activations = ActivationFunction.allCases.compactMap { function in
      VectorActivation(function, constants: function.constants.map(\.usual))
    }
    for index in 0..<60 {
      let g = try Self.geometry(&generator)
      let random = try ConvolutionBuffer(randomCount: g.inputCount, seed: UInt64(index), stream: 1)
      let x = (0..<g.inputCount).map { types.input == .bfloat16 ? Float(BFloat16(random[$0])) : random[$0] }
      var request = ConvolutionRequest(
        g,
        epilogue: Epilogue(
          hasBias: index % 3 != 0, activation: index % 4 == 0 ? nil : activations[index % activations.count]),
        accumulatesSum: index % 2 == 1, workers: Workers(count: 1 + index % 3))
      let expected = try Self.run(request, x, seed: UInt64(index))
      (request.inputElement, request.outputElement) = types
      let found = try Self.run(request, x, seed: UInt64(index))
      let function = request.epilogue.activation.map { ActivationTable[$0.function] }
      if types.output == .bfloat16, function?.code?.roundedValue != nil {
        // Of which fewer bits were computed: half a unit in the last place, and what the table allows.
        let bound: Float = 0x1p-8 + 2e-4
        let agrees = zip(found.y + found.mean, expected.y + expected.mean).allSatisfy {
          abs($0 - $1) <= bound * $1.magnitude + 1e-5
        }
        #expect(agrees, "\(g), \(request.epilogue)")
        continue
      }
      let rounded = expected.y.map { types.output == .bfloat16 ? Float(BFloat16Product.rounded($0)) : $0 }
      #expect(found.y == rounded, "\(g), \(request.epilogue)")
      // Whose sums may be of other bands of rows.
      #expect(Self.areNear(found.mean, expected.mean), "\(g), \(request.epilogue)")
      if request.accumulatesSum {
        #expect(Self.areNear(found.mean, Self.means(expected.y, g)), "\(g), \(request.epilogue)")
      }
      if found.y != rounded { return }
    }
  }

  @Test(.enabled(if: hasVectors), arguments: types)
  func poolingsAreThoseOfFloat32Rounded(_ types: (input: ElementType, output: ElementType)) throws {
    var generator = PhiloxGenerator(seed: 22, stream: 2)
    func pick(_ values: [Int]) -> Int { values[Int(generator.next() % UInt64(values.count))] }
    let workers = Workers(count: 2)
    for index in 0..<60 {
      let kernel = pick([1, 2, 3, 5]), stride = pick([1, 2, 3]), isMaximum = index % 2 == 0
      let height = pick([5, 7, 14]), width = pick([5, 8, 17, 30]), padding = pick(Array(0...kernel / 2))
      let g = Pooling.Geometry(
        images: pick([1, 2]), channels: pick([1, 17, 24, 32, 33, 40]), input: .init(height, width),
        output: .init((height + 2 * padding - kernel) / stride + 1, (width + 2 * padding - kernel) / stride + 1),
        window: .init(kernel, kernel), stride: .init(stride, stride), paddingBefore: .init(padding, padding),
        paddingAfter: .init(padding, padding))
      let countsPadding = index % 4 == 1, library = KernelLibrary(Self.target)
      let isFramed = types.output == .bfloat16 && index % 3 > 0
      let pooling = try BlockedPooling(
        g, isMaximum: isMaximum, countsPadding: countsPadding, input: types.input, output: types.output,
        border: isFramed ? .init(top: index % 2, left: 1, bottom: 2, right: index % 4) : .none, library: library)
      try library.finish()
      let x = try ConvolutionBuffer(
        randomCount: g.images * height * width * g.channels, seed: UInt64(index), stream: 1)
      if types.input == .bfloat16 { for index in 0..<x.count { x.base[index] = Float(BFloat16(x[index])) } }
      if index % 6 == 0 { x.base[x.count / 2] = .nan }
      let expected = try ConvolutionBuffer(count: g.images * g.output.height * g.output.width * g.channels)
      if isMaximum {
        Pooling.maximum(x.base, into: expected.base, g, workers: workers)
      } else {
        Pooling.average(x.base, into: expected.base, countsPadding: countsPadding, g, workers: workers)
      }
      let input = try Self.image((0..<x.count).map { x[$0] }, pooling.input)
      let y = try ConvolutionBuffer(byteCount: pooling.output.byteCount)
      pooling.run(input.base, into: y.base, workers: workers)
      let isIntact = [input, y].allSatisfy(\.isGuardIntact)
      #expect(isIntact && Self.hasZerosBehindChannels(y, pooling.output), "\(g)")
      BFloat16ConvolutionCheck.checkBorder(y, pooling.output)
      for (position, a) in Self.numbers(y, pooling.output).enumerated() {
        let b = expected[position], rounded = types.output == .bfloat16 ? Float(BFloat16Product.rounded(b)) : b
        // Half a unit in the last place, where the sum was another one in its last bits.
        let bound: Float = isMaximum ? 0 : 1e-6 + (types.output == .bfloat16 ? b.magnitude * 0x1p-8 : 0)
        let agrees = a.isNaN || b.isNaN ? a.isNaN && b.isNaN : abs(a - (isMaximum ? rounded : b)) <= bound
        #expect(agrees, "\(g) \(isMaximum) \(countsPadding): \(a) at \(position), expected \(b)")
        if !agrees { return }
      }
    }
  }

  /// Code is made for any processor; one without the instructions is refused with a reason.
  @Test func aTargetWithoutTheInstructionsIsRefused() throws {
    let g = try ConvolutionCase("h5 w5 ic17 oc17 kh3 kw3 pt1 pl1 pb1 pr1 g17").geometry
    let target = CodeTarget(.avx512), reason = "\(target.instructionSet) has no instructions on bfloat16"
    for types in Self.types {
      var request = ConvolutionRequest(g, workers: Workers(count: 1))
      (request.inputElement, request.outputElement) = types
      #expect(DepthwiseAlgorithm().refusal(request, target) == reason)
      #expect(DepthwiseAlgorithm().refusal(request, Self.target) == nil)
      for algorithm in ConvolutionAlgorithms.all where !algorithm.readsBFloat16 {
        #expect(algorithm.refusal(request, Self.target) != nil)
      }
      let pooling = Pooling.Geometry(
        images: 1, channels: 17, input: .init(5, 5), output: .init(5, 5), window: .init(3, 3), stride: .init(1, 1),
        paddingBefore: .init(1, 1), paddingAfter: .init(1, 1))
      #expect(BlockedPooling.refusal(pooling, input: types.input, output: types.output, target) == reason)
      let error = CNNError(.invalidArgument, "a pooling cannot be computed by windows: \(reason)")
      #expect(throws: error) {
        try BlockedPooling(
          pooling, isMaximum: true, countsPadding: false, input: types.input, output: types.output,
          library: KernelLibrary(target))
      }
    }
  }
}
