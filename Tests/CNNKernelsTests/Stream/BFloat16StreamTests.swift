import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Passes over images of float32 and of bfloat16 against their definition, rounded once: arithmetic is in float32.
@Suite(.enabled(if: BFloat16ProductTests.hasVectors)) struct BFloat16StreamTests {
  static let target = CodeTarget(.avx512BF16)
  static let tensors =
    StreamTests.tensors + [
      BlockedTensor(images: 2, height: 5, width: 7, channels: 40),
      BlockedTensor(images: 1, height: 9, width: 11, channels: 48),
      BlockedTensor(images: 3, height: 4, width: 4, channels: 64),
    ]
  static let smallTensors = tensors.filter { $0.pixels < 1000 }
  static let elements: [ElementType] = [.float32, .bfloat16]
  static let pairs = elements.flatMap { first in elements.map { [first, $0] } }

  /// A tensor row-major and blocked. Behind the last channel and between blocks there is NaN in float32, and in bfloat16
  /// numbers other than zero, as there they are finite.
  struct Image {
    let values: [Float]
    let blocked: ConvolutionBuffer
    let tensor: BlockedTensor

    init(_ tensor: BlockedTensor, seed: UInt64, factor: Float = 1) throws {
      let count = tensor.pixels * tensor.channels
      let random = try ConvolutionBuffer(randomCount: count, seed: seed, stream: 1)
      let isRounded = tensor.element == .bfloat16
      try self.init(tensor, (0..<count).map { isRounded ? Float(BFloat16(random[$0] * factor)) : random[$0] * factor })
    }

    init(_ tensor: BlockedTensor, _ values: [Float]) throws {
      (self.tensor, self.values) = (tensor, values)
      blocked = try ConvolutionBuffer(byteCount: tensor.byteCount)
      for block in 0..<tensor.blocks {
        for pixel in 0..<tensor.blockPixels {
          for lane in 0..<tensor.channelsPerBlock {
            let channel = block * tensor.channelsPerBlock + lane, isRounded = tensor.element == .bfloat16
            let isNumber = pixel < tensor.pixels && channel < tensor.channels
            let value = isNumber ? values[pixel * tensor.channels + channel] : isRounded ? 7 : .nan
            let place = UnsafeMutableRawPointer(blocked.base) + block * tensor.blockByteCount + pixel * 64
            if isRounded {
              place.storeBytes(of: BFloat16(value), toByteOffset: 2 * lane, as: BFloat16.self)
            } else {
              place.storeBytes(of: value, toByteOffset: 4 * lane, as: Float.self)
            }
          }
        }
      }
    }

    init(emptyLike tensor: BlockedTensor) throws {
      (self.tensor, values) = (tensor, [])
      blocked = try ConvolutionBuffer(byteCount: tensor.byteCount)
    }

    /// The number of a lane.
    private func lane(_ lane: Int, pixel: Int, block: Int) -> Float {
      let place = UnsafeRawPointer(blocked.base) + block * tensor.blockByteCount + pixel * 64
      return tensor.element == .bfloat16
        ? Float(place.load(fromByteOffset: 2 * lane, as: BFloat16.self))
        : place.load(fromByteOffset: 4 * lane, as: Float.self)
    }

    /// The blocked numbers, row-major.
    var unpacked: [Float] {
      (0..<tensor.pixels).flatMap { pixel in
        (0..<tensor.channels).map { channel in
          let (block, lane) = channel.quotientAndRemainder(dividingBy: tensor.channelsPerBlock)
          return self.lane(lane, pixel: pixel, block: block)
        }
      }
    }

    /// Whether all lanes behind the last channel are zero, as whoever multiplies tiles of bfloat16 expects.
    var isZeroBehindTheLastChannel: Bool {
      let last = tensor.blocks - 1, lanes = tensor.channels - last * tensor.channelsPerBlock
      return (0..<tensor.pixels).allSatisfy { pixel in
        (lanes..<tensor.channelsPerBlock).allSatisfy { lane($0, pixel: pixel, block: last) == 0 }
      }
    }
  }

  private func expect(_ y: Image, _ values: [Float], _ what: String, sourceLocation: SourceLocation = #_sourceLocation)
  {
    let expected = y.tensor.element == .bfloat16 ? values.map { Float(BFloat16($0)) } : values
    let found = y.unpacked
    let wrong = found.indices.first { found[$0] != expected[$0] }
    #expect(
      wrong == nil, "\(what) at \(wrong ?? 0): \(found[wrong ?? 0]), not \(expected[wrong ?? 0])",
      sourceLocation: sourceLocation)
    #expect(y.blocked.isGuardIntact, "\(what)", sourceLocation: sourceLocation)
    if y.tensor.element == .bfloat16 {
      #expect(y.isZeroBehindTheLastChannel, "\(what)", sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: tensors, pairs)
  func scalingMultipliesEveryChannelOfEveryImage(_ tensor: BlockedTensor, _ elements: [ElementType]) throws {
    let library = KernelLibrary(Self.target)
    let x = try Image(tensor.with(element: elements[0]), seed: 1)
    let s = try Image(tensor.onePixel, seed: 2), y = try Image(emptyLike: tensor.with(element: elements[1]))
    let scaling = StreamStepKernels(
      .scaling(tensor).with(elements: [elements[0], .float32, elements[1]]), library: library)
    try library.finish()
    let imageCount = tensor.height * tensor.width * tensor.channels
    let expected = x.values.indices.map {
      x.values[$0] * s.values[$0 / imageCount * tensor.channels + $0 % tensor.channels]
    }
    for workers in 1...3 {
      try scaling.run([x.blocked, s.blocked, y.blocked], workers: Workers(count: workers))
      expect(y, expected, "\(tensor) \(elements)")
    }
    if elements[0] == elements[1] {
      try scaling.run([x.blocked, s.blocked, x.blocked], workers: Workers(count: 2))
      expect(x, expected, "\(tensor) \(elements) in place")
    }
  }

  @Test(arguments: smallTensors, pairs.flatMap { pair in elements.map { pair + [$0] } })
  func additionTakesAnyTypes(_ tensor: BlockedTensor, _ elements: [ElementType]) throws {
    let library = KernelLibrary(Self.target)
    let images = try elements.enumerated().map {
      try Image(tensor.with(element: $0.element), seed: UInt64($0.offset + 1))
    }
    let addition = StreamStepKernels(.addition(tensor).with(elements: elements), library: library)
    try library.finish()
    try addition.run(images.map(\.blocked), workers: Workers(count: 2))
    expect(images[2], zip(images[0].values, images[1].values).map(+), "\(tensor) \(elements)")
  }

  @Test(arguments: tensors)
  func meansAndSumsOfBFloat16AreFloat32(_ tensor: BlockedTensor) throws {
    let tensor = tensor.with(element: .bfloat16), library = KernelLibrary(Self.target)
    let x = try Image(tensor, seed: 1), pixels = tensor.height * tensor.width, channels = tensor.channels
    let means = StreamStepKernels(.sum(.means, of: tensor).with(elements: [.bfloat16]), library: library)
    let products = StreamStepKernels(
      .sum(.all, of: tensor, ofProducts: true).with(elements: [.bfloat16, .bfloat16]), library: library)
    try library.finish()
    let y = try Image(emptyLike: tensor.onePixel.with(element: .float32)), total = try GuardedFloats(channels)
    var expected = [Double](repeating: 0, count: tensor.images * channels)
    var squares = [Double](repeating: 0, count: channels)
    for (index, value) in x.values.enumerated() {
      expected[index / channels / pixels * channels + index % channels] += Double(value) / Double(pixels)
      squares[index % channels] += Double(value * value)
    }
    for workers in 1...3 {
      let team = Workers(count: workers)
      try means.run([x.blocked, y.blocked], workers: team)
      try products.run([x.blocked, x.blocked, total], workers: team)
      StreamTests.expectClose(y.unpacked.map(Double.init), expected, 1e-5, "\(tensor)")
      StreamTests.expectClose(total.values.map(Double.init), squares, 1e-5, "\(tensor)")
      #expect(y.blocked.isGuardIntact && total.isIntact)
    }
  }

  /// Gradients of functions are shorter where they are made of numbers of 8 bits.
  @Test(arguments: smallTensors, pairs.dropFirst())
  func gradientsOfActivationsAreThePortableOnesRounded(_ tensor: BlockedTensor, _ elements: [ElementType]) throws {
    for activation in StreamTests.functions {
      let library = KernelLibrary(Self.target)
      let x = try Image(tensor.with(element: elements[0]), seed: 3, factor: 4)
      let dy = try Image(tensor.with(element: elements[1]), seed: 4), dx = try Image(emptyLike: dy.tensor)
      let kernels = StreamStepKernels(
        .activationGradient(activation, tensor).with(elements: elements + [elements[1]]), library: library)
      try library.finish()
      try kernels.run([x.blocked, dy.blocked, dx.blocked], workers: Workers(count: 2))
      var constants = SIMD4<Float>(), expected = [Float](repeating: 0, count: x.values.count)
      for (lane, constant) in activation.constants.enumerated() { constants[lane] = constant }
      ActivationKernels.backward(
        activation.function, constants: constants, x.values, dy.values, into: &expected, count: expected.count,
        workers: Workers(count: 1))
      // Where a derivative jumps it may be either side's.
      let found = dx.unpacked
      let isRight = found.indices.allSatisfy { index in
        let limit: Float = abs(expected[index]) * 0x1p-8 + abs(dy.values[index]) * 0x1p-10
        return abs(found[index] - expected[index]) <= limit
      }
      #expect(isRight && dx.blocked.isGuardIntact, "\(activation) \(tensor) \(elements)")
    }
  }

  /// A normalisation and its gradient, of any mix of types, against the same in float32 of the same numbers.
  /// Of few pixels a gradient is the small difference of large numbers.
  @Test(arguments: tensors.filter { $0.pixels > 2 }, 0..<12)
  func normalizationsAreThoseInFloat32Rounded(_ tensor: BlockedTensor, _ kind: Int) throws {
    let library = KernelLibrary(Self.target), channels = tensor.channels, team = Workers(count: kind % 3 + 1)
    let functions: [VectorActivation?] = [
      nil, VectorActivation(.relu, constants: []), VectorActivation(.silu, constants: []),
    ]
    let activation = functions[kind % 3], addsResidual = kind % 2 == 1
    let source: NormalizationGradientSource =
      addsResidual && activation != nil ? .result : activation.map { .activation($0) } ?? .gradient
    let element = { Self.elements[(kind / 3 + $0) % 4 == 0 ? 0 : 1] }
    let (xType, yType, dyType, dxType) = (element(0), element(1), element(2), element(3))
    let normalization = BlockedNormalization(epsilon: 1e-3, addsResidual: addsResidual, activation: activation)
    let forward = StreamStep.normalization(tensor, normalization)
    let again = StreamStep.normalizationByStatistics(tensor, normalization)
    let backward = StreamStep.normalizationGradient(tensor, source)
    let small = [ElementType](repeating: .float32, count: 4)
    let added = addsResidual ? [xType] : []
    let givenType: [ElementType] = source == .result ? [yType] : activation != nil ? [.float32] : []
    let last: [ElementType] = source == .result ? [dyType] : []
    let two = Array(small[..<2]), three = Array(small[..<3])
    let forwardTypes: [ElementType] = [xType] + small + added + [yType]
    let againTypes: [ElementType] = [xType] + two + added + two + [yType]
    let backwardTypes: [ElementType] = [xType, dyType] + three + givenType + [dxType] + two + last
    let typed = [
      forward.with(elements: forwardTypes), again.with(elements: againTypes), backward.with(elements: backwardTypes),
    ]
    let kernels = ([forward, again, backward] + typed).map { StreamStepKernels($0, library: library) }
    try library.finish()
    let vectors = try (0..<3).map { try StreamTests.floats(channels, 1, UInt64(4 + $0), shift: 1) }
    let values = try (0..<3).map { try Image(tensor.with(element: .bfloat16), seed: UInt64($0)).values }

    /// All that is computed, of float32 or of the types.
    func run(_ kernels: ArraySlice<StreamStepKernels>, _ types: [ElementType]) throws -> (
      images: [Image], [GuardedFloats]
    ) {
      func image(_ type: Int, _ values: [Float]? = nil) throws -> Image {
        let tensor = tensor.with(element: types[type])
        return try values.map { try Image(tensor, $0) } ?? Image(emptyLike: tensor)
      }
      let x = try image(0, values[0]), residual = try image(0, values[1]), dy = try image(2, values[2])
      let (y, y2, dx, dResidual) = (try image(1), try image(1), try image(3), try image(2))
      let numbers = try (0..<6).map { _ in try GuardedFloats(channels) }
      let (first, steps) = (kernels.startIndex, kernels)
      let added: [any PortMemory] = addsResidual ? [residual.blocked] : []
      try steps[first].run(
        [x.blocked, vectors[0], vectors[1], vectors[2], vectors[2]] + added
          + [y.blocked, numbers[0], numbers[1], numbers[2], numbers[3]], workers: team)
      try steps[first + 1].run(
        [x.blocked, vectors[0], vectors[1]] + added + [numbers[0], numbers[1], y2.blocked], workers: team)
      let given: [any PortMemory] = source == .result ? [y.blocked] : activation != nil ? [vectors[1]] : []
      try steps[first + 2].run(
        [x.blocked, dy.blocked, vectors[0], numbers[0], numbers[1]] + given
          + [dx.blocked, numbers[4], numbers[5]] + (source == .result ? [dResidual.blocked] : []), workers: team)
      return ([y, y2, dx] + (source == .result ? [dResidual] : []), numbers)
    }
    let (expected, expectedNumbers) = try run(kernels[..<3], [.float32, .float32, .float32, .float32])
    let (found, numbers) = try run(kernels[3...], [xType, yType, dyType, dxType])
    let what = "\(tensor) \(kind)"
    for (index, (a, b)) in zip(numbers, expectedNumbers).enumerated() {
      StreamTests.expectClose(a.values.map(Double.init), b.values.map(Double.init), 1e-3, "\(what), numbers \(index)")
    }
    for (index, (a, b)) in zip(found, expected).enumerated() {
      StreamTests.expectClose(a.unpacked.map(Double.init), b.unpacked.map(Double.init), 0.02, "\(what), image \(index)")
      #expect(a.blocked.isGuardIntact && (a.tensor.element == .float32 || a.isZeroBehindTheLastChannel), "\(what)")
    }
    #expect(found[0].unpacked == found[1].unpacked, "\(what)")
  }

  /// Between all types but in float32 alone; the functions that are shorter where the result is rounded by their bound.
  @Test(arguments: smallTensors, pairs.dropFirst())
  func activationsAreThePortableOnesRounded(_ tensor: BlockedTensor, _ elements: [ElementType]) throws {
    for activation in StreamTests.functions {
      let library = KernelLibrary(Self.target)
      let x = try Image(tensor.with(element: elements[0]), seed: 3, factor: 4)
      let y = try Image(emptyLike: tensor.with(element: elements[1]))
      let kernel = StreamStepKernels(
        .activation(activation, tensor).with(elements: elements), library: library)
      try library.finish()
      try kernel.run([x.blocked, y.blocked], workers: Workers(count: 2))
      var constants = SIMD4<Float>()
      for (lane, constant) in activation.constants.enumerated() { constants[lane] = constant }
      let expected = try ConvolutionBuffer(count: x.values.count)
      ActivationKernels.forward(
        activation.function, constants: constants, x.values, into: expected.base, count: expected.count,
        workers: Workers(count: 1))
      let half = elements[1] == .bfloat16 ? 0x1p-8 : 0
      let relative = ActivationTable[activation.function].roundedBound.relative + 1e-6 + half
      let found = y.unpacked
      let wrong = found.indices.first { abs(found[$0] - expected[$0]) > Float(relative) * abs(expected[$0]) + 1e-9 }
      #expect(wrong == nil, "\(activation) \(tensor) \(elements) of \(x.values[wrong ?? 0]): \(found[wrong ?? 0])")
      #expect(y.blocked.isGuardIntact)
      if elements[1] == .bfloat16 { #expect(y.isZeroBehindTheLastChannel, "\(activation) \(tensor)") }
    }
  }
}
