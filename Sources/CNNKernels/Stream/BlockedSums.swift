import CNNCore
import CNNRuntime

/// Sums over the pixels of a blocked tensor, or of the products of two, for every channel.
public struct BlockedSums: Sendable {
  private let pass: StreamPass
  private let tensor: BlockedTensor

  /// - Parameters:
  ///   - ofProducts: whether two tensors are multiplied first.
  ///   - perImage: whether there is a sum for each image, or one for all.
  public init(_ tensor: BlockedTensor, ofProducts: Bool = false, perImage: Bool, library: KernelLibrary) {
    var program = StreamProgram(ofProducts ? "sum_of_products" : "sum")
    let a = program.load(0)
    if ofProducts { program.sumProduct(a, program.load(1), into: 0) } else { program.sum(a, into: 0) }
    pass = StreamPass(program, tensor, perImage: perImage, library: library)
    self.tensor = tensor
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int { pass.sumByteCount }

  /// The sums for each image, as images of one pixel.
  public var result: BlockedTensor { tensor.onePixel }

  /// Sums each image: `result` is blocked.
  public func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, perImage sums: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(a).stream(1, b ?? a).sums(workspace), workers: workers)
    workers.forEachRange(of: tensor.blocks * tensor.images, grain: 64) { range, _ in
      for unit in range {
        let block = unit / tensor.images, image = unit % tensor.images
        let total = pass.total(0, block: block, run: image, workspace)
        let place = sums + (block * result.blockByteCount + image * result.imageByteCount) / 4
        for lane in 0..<16 { place[lane] = Float(total[lane]) }
      }
    }
  }

  /// Sums over all images: `[channels]`.
  public func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer?, into sums: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(a).stream(1, b ?? a).sums(workspace), workers: workers)
    for block in 0..<tensor.blocks {
      let total = pass.total(0, block: block, workspace)
      for lane in 0..<min(16, tensor.channels - block * 16) { sums[block * 16 + lane] = Float(total[lane]) }
    }
  }
}
