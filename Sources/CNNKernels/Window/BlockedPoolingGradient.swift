import CNNCore
import CNNRuntime

/// The gradient of a pooling of blocked tensors.
///
/// Windows overlap, so the gradient of one block of one image is gathered by one thread.
public struct BlockedPoolingGradient: Sendable {
  /// The pooling's input and result.
  public let input, output: BlockedTensor
  private let geometry: Pooling.Geometry
  private let isMaximum, countsPadding: Bool

  /// The gradient of this pooling.
  public init(_ geometry: Pooling.Geometry, isMaximum: Bool, countsPadding: Bool) {
    (self.geometry, self.isMaximum, self.countsPadding) = (geometry, isMaximum, countsPadding)
    (input, output) = (geometry.blockedInput, geometry.blockedOutput)
  }

  /// The same for one block of channels of so many images.
  public func ofOneBlock(images: Int) -> BlockedPoolingGradient {
    var geometry = geometry
    (geometry.images, geometry.channels) = (images, BlockedTensor.blockChannels)
    return BlockedPoolingGradient(geometry, isMaximum: isMaximum, countsPadding: countsPadding)
  }

  /// Computes the gradient of the input.
  /// - Parameters:
  ///   - x: the input, and `y` the result, of a maximum: `dy` goes to the first element of a window that attains it.
  public func run(
    _ dy: UnsafePointer<Float>, input x: UnsafePointer<Float>?, result y: UnsafePointer<Float>?,
    into dx: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    // One block of one image is an image of 16 channels.
    var plane = geometry
    (plane.images, plane.channels) = (1, BlockedTensor.blockChannels)
    let one = Workers(count: 1)
    input.forEachImage(workers) { image, block in
      let inner = input.byteOffset(image: image, block: block) / 4
      let outer = output.byteOffset(image: image, block: block) / 4
      if isMaximum, let x, let y {
        Pooling.maximumBackward(x + inner, y + outer, dy + outer, into: dx + inner, plane, workers: one)
      } else {
        Pooling.averageBackward(dy + outer, into: dx + inner, countsPadding: countsPadding, plane, workers: one)
      }
    }
  }
}
