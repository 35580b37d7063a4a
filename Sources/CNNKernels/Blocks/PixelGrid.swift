import CNNCore

/// Pixels of a blocked tensor at equal distances, to which results are written: all of them, or every so-many-th.
public struct PixelGrid: Hashable, Sendable {
  var tensor: BlockedTensor
  /// How many rows and columns there are.
  let height, width: Int
  /// Bytes from the tensor's first one to the first pixel, from a pixel to the next, and from a row to the next.
  let originByteOffset, pixelByteCount, rowByteCount: Int

  /// Whether these are all pixels.
  var isWhole: Bool { height == tensor.height && width == tensor.width }

  /// All pixels.
  init(_ tensor: BlockedTensor) {
    self.tensor = tensor
    (height, width) = (tensor.height, tensor.width)
    (originByteOffset, pixelByteCount) = (tensor.originByteOffset, BlockedTensor.pixelByteCount)
    rowByteCount = tensor.rowByteCount
  }

  /// Those of one phase of the strides along both axes.
  init(_ tensor: BlockedTensor, rows: InputGradientPhase, columns: InputGradientPhase) {
    self.tensor = tensor
    (height, width) = (rows.count, columns.count)
    originByteOffset =
      tensor.originByteOffset + rows.phase * tensor.rowByteCount + columns.phase * BlockedTensor.pixelByteCount
    (pixelByteCount, rowByteCount) = (
      columns.stride * BlockedTensor.pixelByteCount, rows.stride * tensor.rowByteCount
    )
  }
}
