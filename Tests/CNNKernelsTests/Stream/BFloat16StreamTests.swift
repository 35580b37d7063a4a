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
    let scaling = StreamStepKernels(.scaling(x.tensor, result: elements[1]), library: library)
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
    let addition = StreamStepKernels(.addition(tensor, elements), library: library)
    try library.finish()
    try addition.run(images.map(\.blocked), workers: Workers(count: 2))
    expect(images[2], zip(images[0].values, images[1].values).map(+), "\(tensor) \(elements)")
  }

  @Test(arguments: tensors)
  func meansAndSumsOfBFloat16AreFloat32(_ tensor: BlockedTensor) throws {
    let tensor = tensor.with(element: .bfloat16), library = KernelLibrary(Self.target)
    let x = try Image(tensor, seed: 1), pixels = tensor.height * tensor.width, channels = tensor.channels
    let means = StreamStepKernels(.sum(.means, of: tensor), library: library)
    let products = StreamStepKernels(.sum(.all, of: tensor, ofProducts: true), library: library)
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

  /// Between all types but in float32 alone; the functions that are shorter where the result is rounded by their bound.
  @Test(arguments: smallTensors, pairs.dropFirst())
  func activationsAreThePortableOnesRounded(_ tensor: BlockedTensor, _ elements: [ElementType]) throws {
    for activation in StreamTests.functions {
      let library = KernelLibrary(Self.target)
      let x = try Image(tensor.with(element: elements[0]), seed: 3, factor: 4)
      let y = try Image(emptyLike: tensor.with(element: elements[1]))
      let kernel = StreamStepKernels(
        .activation(activation, x.tensor, result: elements[1]), library: library)
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
