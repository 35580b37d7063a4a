import CNNCore

/// Where the left side of products of tiles lies, in bytes, with its border in place: an image in blocks of channels, or a
/// picture of bytes as NHWC, of which a row of a window is the depth.
struct TileInput: Hashable, Sendable {
  let pixelByteCount, rowByteCount, imageByteCount, blockByteCount, byteCount: Int

  /// An image in blocks.
  init(_ tensor: BlockedTensor) {
    pixelByteCount = BlockedTensor.pixelByteCount
    (rowByteCount, imageByteCount) = (tensor.rowByteCount, tensor.imageByteCount)
    (blockByteCount, byteCount) = (tensor.blockByteCount, tensor.byteCount)
  }

  /// A picture of bytes.
  init(_ picture: BytePicture) {
    (pixelByteCount, rowByteCount) = (picture.channels, picture.rowByteCount)
    imageByteCount = picture.imageByteCount
    (blockByteCount, byteCount) = (picture.byteCount, picture.byteCount)
  }
}
