import CNNCore
import CNNRuntime

extension StreamStep {
  /// What is summed.
  public enum Sum: Sendable {
    /// All images together, for every channel: `[channels]`.
    case all
    /// Each image by itself: images of one pixel.
    case images
    /// The same, of which the means are given.
    case means
  }

  /// Sums over the pixels, or of the products of two tensors, for every channel. Sums are float32, whatever is summed. Ports:
  /// `a`, of products `b`, the sums.
  public static func sum(_ sum: Sum, of tensor: BlockedTensor, ofProducts: Bool = false) -> StreamStep {
    var program = StreamProgram(ofProducts ? "sum_of_products" : "sum")
    let a = program.load(0)
    if ofProducts { program.sumProduct(a, program.load(1), into: 0) } else { program.sum(a, into: 0) }
    let streams = ofProducts ? [0, 1] : [0], result = streams.count
    var pass = Pass(program: program, streams: streams, isPerImage: sum != .all)
    switch sum {
    case .all:
      pass.after = [
        { blocks, environment in
          for block in blocks {
            let total = environment.total(0, block: block), place = environment.floats(result) + block * 16
            for lane in 0..<min(16, tensor.channels - block * 16) { place[lane] = Float(total[lane]) }
          }
        }
      ]
    case .images, .means:
      let factor = sum == .means ? 1 / Double(max(1, tensor.height * tensor.width)) : 1
      let small = tensor.onePixel.with(element: .float32)
      pass.after = [
        { blocks, environment in
          let images = max(1, small.images)
          environment.workers.forEachRange(of: blocks.count * images, grain: 64) { range, _ in
            for unit in range {
              let block = blocks.lowerBound + unit / images, image = unit % images
              let total = environment.total(0, block: block, image: image)
              let place = environment.floats(result) + small.byteOffset(image: image, block: block) / 4
              for lane in 0..<16 { place[lane] = Float(total[lane] * factor) }
            }
          }
        }
      ]
    }
    return StreamStep(tensor, [pass])
  }
}
