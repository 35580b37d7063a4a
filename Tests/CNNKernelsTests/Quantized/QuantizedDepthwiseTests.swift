import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Depthwise convolutions of bytes on every instruction set, bit for bit beside the plain loops that define them.
@Suite struct QuantizedDepthwiseTests {
  /// Compares on all targets.
  private static func check(
    _ g: ConvolutionGeometry, _ function: ExactActivation?, seed: UInt64, result levels: ByteLevels? = nil,
    workers count: Int = 2
  ) throws {
    var random = RandomNumbers(seed: seed)
    let input = try random.levels(), result = try levels ?? random.levels(), workers = Workers(count: count)
    let x = random.bytes(g.inputCount), weight = random.floats(g.weightCount), bias = random.floats(g.outputChannels)
    let scales = (0..<g.outputChannels).map { _ in random.float(0.005...0.01) }
    let weightLevels = WeightLevels(scales: scales)
    // One level around the image, or one for each channel.
    let zeroPoints = seed % 3 == 1 ? random.bytes(g.inputChannels) : [input.zeroPoint]
    // Behind a function one scale and zero point, or one for each channel of one of them or both.
    let hasInverses = function != nil && seed / 6 % 3 > 0
    let inverses = hasInverses ? (0..<g.outputChannels).map { _ in random.float(0.5...9) } : []
    let resultZeroPoints = !inverses.isEmpty && seed / 6 % 3 == 2 ? random.bytes(g.outputChannels) : []
    // With limits before the rounding, and after it.
    let requantization = Requantization(
      input: input.scale, residual: nil, function: function, levels: result,
      largestWeightScale: seed % 2 == 0 ? 0.01 : .infinity, inverses: inverses, zeroPoints: resultZeroPoints)
    let taps = g.kernelHeight * g.kernelWidth, lanes = (g.outputChannels + 63) / 64 * 64
    var filter = [Int8](repeating: 0, count: g.weightCount), sums = [Int32](repeating: 0, count: lanes)
    weight.withUnsafeBufferPointer { weight in
      filter.withUnsafeMutableBufferPointer { weightLevels.round(weight, outputs: g.outputChannels, into: $0) }
    }
    QuantizedFilter.sums(
      weight, bias: bias, weightLevels, inputScale: input.scale, zeroPoints: zeroPoints, taps: taps,
      outputs: g.outputChannels, depth: taps, into: &sums, lanes: lanes,
      workers: workers)
    let multipliers = requantization.multipliers(weightLevels, outputs: g.outputChannels, lanes: lanes, vector: 1)
    var expected = [UInt8](repeating: 0, count: g.outputCount)
    QuantizedConvolution.forward(
      x, zeroPoints: zeroPoints, filter: filter, sums: sums, multipliers: multipliers, residual: nil,
      into: &expected,
      requantization, geometry: g, workers: workers)
    for target in CodeTarget.tried {
      let library = KernelLibrary(target)
      let depthwise = try QuantizedDepthwise(g, zeroPoints: zeroPoints, requantization, library: library)
      try library.finish()
      let images = try ByteImages(x, depthwise.input), y = try ByteImages(depthwise.output)
      var packed = [Int8](repeating: 0x55, count: depthwise.filterCount)
      depthwise.pack(weight, weightLevels, into: &packed, workers: workers)
      let ordered = depthwise.order(sums)
      let workspace = try Memory(count: depthwise.workspaceByteCount(workers), of: .uint8, for: "test")
      withExtendedLifetime((images, workspace)) {
        depthwise.run(
          images.base, filter: packed, sums: ordered, multipliers: depthwise.multipliers(weightLevels), into: y.base,
          workspace: workspace.base, workers: workers)
      }
      let numbers = y.numbers
      let wrong = numbers.indices.first { numbers[$0] != expected[$0] }
      #expect(
        wrong == nil,
        "\(target.instructionSet): \(g) \(result), number \(wrong ?? 0) is \(numbers[wrong ?? 0]), not \(expected[wrong ?? 0])"
      )
      #expect(y.isGuardIntact)
    }
  }

  private static func geometry(
    _ images: Int, _ height: Int, _ width: Int, _ channels: Int, kernel: [Int], stride: [Int] = [1, 1],
    dilation: [Int] = [1, 1], padding: [Int]
  ) throws -> ConvolutionGeometry {
    try ConvolutionGeometry(
      batch: images, inputHeight: height, inputWidth: width, inputChannels: channels, outputChannels: channels,
      kernelHeight: kernel[0], kernelWidth: kernel[1], strideHeight: stride[0], strideWidth: stride[1],
      dilationHeight: dilation[0], dilationWidth: dilation[1], padTop: padding[0], padLeft: padding[1],
      padBottom: padding[2], padRight: padding[3], groups: channels)
  }

  @Test func networksShapesGiveTheDefinitionsIntegers() throws {
    let shapes = [[14, 3, 1], [15, 3, 2], [14, 5, 1], [14, 5, 2], [7, 5, 1], [7, 3, 1]]
    for (index, shape) in shapes.enumerated() {
      let (size, kernel, stride) = (shape[0], shape[1], shape[2]), near = (kernel - 1) / 2
      let g = try Self.geometry(
        1, size, size, 96, kernel: [kernel, kernel], stride: [stride, stride], padding: [near, near, near, near])
      // By pieces, and where levels have limits of their own by floats.
      let byPieces = try #require(ByteLevels(scale: 0.02, zeroPoint: UInt8(14 + index)))
      #expect(ActivationPieces(siluTo: byPieces) != nil)
      try Self.check(g, .silu, seed: UInt64(index), result: byPieces)
      try Self.check(g, .silu, seed: UInt64(index), result: ByteLevels(scale: 0.02, zeroPoint: 14, minimum: 3))
    }
  }

  @Test func wideImagesAreComputedInParts() throws {
    try Self.check(Self.geometry(1, 3, 150, 40, kernel: [3, 3], padding: [1, 1, 1, 1]), nil, seed: 1)
    try Self.check(Self.geometry(1, 7, 131, 40, kernel: [5, 5], stride: [2, 2], padding: [2, 1, 2, 2]), nil, seed: 2)
  }

  @Test func awkwardShapesGiveTheDefinitionsIntegers() throws {
    var random = RandomNumbers(seed: 17)
    let functions: [ExactActivation?] = [nil, .silu, .sigmoid, .hardSwish, .hardSigmoid, .leakyRelu(alpha: 0.1)]
    for seed in 0..<24 {
      let kernel = [random.int(1...7), random.int(1...9)], dilation = [random.int(1...3), random.int(1...3)]
      let padding = (0..<4).map { _ in random.int(0...5) }
      var sizes: [Int] = []
      for axis in 0..<2 {
        let extent = (kernel[axis] - 1) * dilation[axis] + 1 - padding[axis] - padding[axis + 2]
        sizes.append(max(1, extent) + random.int(0...16))
      }
      let images = random.int(1...2), channels = random.int(2...130)
      let stride = [random.int(1...3), random.int(1...3)]
      let g = try Self.geometry(
        images, sizes[0], sizes[1], channels, kernel: kernel, stride: stride, dilation: dilation, padding: padding)
      try Self.check(g, functions[seed % functions.count], seed: UInt64(seed), workers: random.int(1...3))
    }
  }
}
