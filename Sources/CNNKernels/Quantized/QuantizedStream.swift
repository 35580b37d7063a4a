import CNNCore
import CNNRuntime

/// A pass over images of levels in blocks of 64 channels by generated code; its integers are those of `QuantizedElementwise`
/// and `QuantizedMean`.
public struct QuantizedStream: Sendable {
  private let kernel: GeneratedKernel
  private let operation: ByteStreamKernel.Operation
  private let tensor: BlockedTensor
  private let numbers: [Float]
  private let minimum: UInt8
  private let mean: QuantizedMean?

  private init(
    _ operation: ByteStreamKernel.Operation, _ tensor: BlockedTensor, numbers: [Float] = [0],
    levels: ByteLevels? = nil, largest: Float = 0, mean: QuantizedMean? = nil, library: KernelLibrary
  ) {
    (self.operation, self.tensor, self.minimum, self.mean) = (operation, tensor, levels?.minimum ?? 0, mean)
    self.numbers = RepeatedNumbers.list(numbers)
    // What fits into 32 bits ends at 255 by being packed.
    let key = ByteStreamKernel(
      target: library.target, operation: operation, limitsAbove: levels?.maximum != 255 || !(largest < 0x1p30))
    kernel = library.kernel(key, name: key.name) { key.code() }
  }

  /// Sums of two images.
  public init(_ sum: QuantizedSum, _ tensor: BlockedTensor, library: KernelLibrary) {
    self.init(
      .add, tensor, numbers: [sum.multiplierA, sum.multiplierB, sum.offset, Float(sum.levels.maximum)],
      levels: sum.levels, largest: 256 * (sum.multiplierA + sum.multiplierB) + sum.offset.magnitude, library: library)
  }

  /// Products of images and of others of the same size, or of one pixel each.
  public init(_ product: QuantizedProduct, byPixel: Bool, _ tensor: BlockedTensor, library: KernelLibrary) {
    self.init(
      byPixel ? .scale : .multiply, tensor,
      numbers: [
        Float(product.zeroA), Float(product.zeroB), product.multiplier, Float(product.levels.zeroPoint),
        Float(product.levels.maximum),
      ], levels: product.levels, largest: 0x1p16 * product.multiplier, library: library)
  }

  /// Means over the pixels of each image.
  public init(_ mean: QuantizedMean, _ tensor: BlockedTensor, library: KernelLibrary) {
    self.init(.sum, tensor, mean: mean, library: library)
  }

  /// How many cycles each of the workers will take, measured.
  public static func cycles(_ tensor: BlockedTensor, workers: Workers) -> Double {
    Double(tensor.blocks * tensor.pixels) * 20 / Double(workers.count)
  }

  /// In how many parts the pixels of an image are divided: so many that each worker has those that it has in other steps too,
  /// or of small images as many as make equal parts.
  private func bands(_ workers: Workers) -> Int {
    let pixels = tensor.height * tensor.width, units = tensor.blocks * tensor.images
    if workers.count > 1 && pixels >= 512 {
      return min(pixels, (4 * workers.count + tensor.images - 1) / tensor.images)
    }
    return units % workers.count == 0 || units >= 8 * workers.count ? 1 : min(workers.count, pixels)
  }

  private static let sumByteCount = 64 * 4

  /// The bytes it works in: the sums of the bands.
  public func workspaceByteCount(_ workers: Workers) -> Int {
    mean == nil ? 0 : tensor.blocks * tensor.images * bands(workers) * Self.sumByteCount
  }

  /// Computes `y`, which may be `a` where it is not a mean.
  /// - Parameters:
  ///   - b: of a mean, nil.
  ///   - workspace: `workspaceByteCount` bytes.
  public func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, into y: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let bands = bands(workers), factors = tensor.onePixel
    numbers.withUnsafeBytes { numbers in
      guard let numbers = numbers.baseAddress else { return }
      workers.forEachRange(ofLines: tensor.images * bands, inEachOf: tensor.blocks) { block, lines, _ in
        for line in lines {
          let band = line % bands, image = line / bands, unit = block * tensor.images * bands + line
          let pixels = tensor.height * tensor.width, first = pixels * band / bands
          let place = tensor.byteOffset(image: image, block: block) + first * BlockedTensor.pixelByteCount
          var arguments = ByteStreamArguments(
            a: a + place, b: b ?? a, y: y + place, numbers: numbers, pixels: pixels * (band + 1) / bands - first,
            minima: UInt32(minimum) * 0x0101_0101)
          switch operation {
          case .add, .multiply: arguments.b += place
          case .scale: arguments.b += factors.byteOffset(image: image, block: block)
          case .sum:
            arguments.y = workspace + unit * Self.sumByteCount
            arguments.y.initializeMemory(as: UInt8.self, repeating: 0, count: Self.sumByteCount)
          }
          kernel(&arguments)
        }
      }
    }
    if let mean { finish(mean, bands, workspace.assumingMemoryBound(to: Int32.self), into: y) }
  }

  /// The levels, or the floats, of the sums.
  private func finish(
    _ mean: QuantizedMean, _ bands: Int, _ sums: UnsafePointer<Int32>, into y: UnsafeMutableRawPointer
  ) {
    let pixels = tensor.height * tensor.width, inverseArea = 1 / Float(pixels)
    let means = tensor.onePixel.with(element: mean.levels == nil ? .float32 : .uint8), lanes = means.channelsPerBlock
    for unit in 0..<tensor.blocks * tensor.images {
      let image = unit % tensor.images, block = unit / tensor.images
      for first in stride(from: 0, to: 64, by: lanes) where (block * 64 + first) / lanes < means.blocks {
        let target = y + means.byteOffset(image: image, block: (block * 64 + first) / lanes)
        for lane in 0..<lanes {
          let sum = (0..<bands).reduce(Int32(0)) { $0 &+ sums[(unit * bands + $1) * 64 + first + lane] }
          mean.store(sum, terms: pixels, inverseArea: inverseArea, into: target, at: lane)
        }
      }
    }
  }
}
