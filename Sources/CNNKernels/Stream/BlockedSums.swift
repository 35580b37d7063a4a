import CNNCore
import CNNRuntime

/// Sums or means over the pixels of a blocked tensor, or of the products of two, for every channel. Sums are float32,
/// whatever is summed.
public struct BlockedSums: Sendable {
  private let pass: StreamPass
  private let tensor: BlockedTensor
  /// What each sum is multiplied by.
  private let factor: Double

  /// - Parameters:
  ///   - ofProducts: whether two tensors are multiplied first.
  ///   - perImage: whether there is a sum for each image, or one for all.
  ///   - averages: whether means are given and not sums.
  public init(
    _ tensor: BlockedTensor, ofProducts: Bool = false, perImage: Bool, averages: Bool = false, library: KernelLibrary
  ) {
    var program = StreamProgram(
      ofProducts ? "sum_of_products" : "sum", elements: [tensor.element, tensor.element])
    let a = program.load(0)
    if ofProducts { program.sumProduct(a, program.load(1), into: 0) } else { program.sum(a, into: 0) }
    pass = StreamPass(program, tensor, perImage: perImage, library: library)
    self.tensor = tensor
    factor = averages ? 1 / Double(max(1, tensor.pixels / (perImage ? max(1, tensor.images) : 1))) : 1
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int { pass.sumByteCount }

  /// The sums for each image, as images of one pixel.
  public var result: BlockedTensor { tensor.onePixel.with(element: .float32) }

  /// Sums each image: `result` is blocked.
  public func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, perImage sums: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let result = result
    pass.run(StreamPass.Operands(a).stream(1, b ?? a).sums(workspace), workers: workers)
    workers.forEachRange(of: result.blocks * result.images, grain: 64) { range, _ in
      for unit in range {
        let block = unit / result.images, image = unit % result.images
        let total = pass.total(0, block: block, run: image, workspace)
        let place = sums + result.byteOffset(image: image, block: block) / 4
        for lane in 0..<16 { place[lane] = Float(total[lane] * factor) }
      }
    }
  }

  /// Sums over all images: `[channels]`.
  public func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, into sums: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(a).stream(1, b ?? a).sums(workspace), workers: workers)
    for block in 0..<result.blocks {
      let total = pass.total(0, block: block, workspace)
      for lane in 0..<min(16, tensor.channels - block * 16) { sums[block * 16 + lane] = Float(total[lane] * factor) }
    }
  }
}
