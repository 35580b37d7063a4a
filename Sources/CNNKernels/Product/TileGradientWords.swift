import CNNCore
import CNNRuntime
import Glibc

/// How the words of a chunk of pixels lie for products of tiles of them.
///
/// A tile of pixels is 16 neighbours in one long line, whichever rows they are of. So the rows of the gradient follow each other
/// with zeros between them, and the image's rows with its border between them: then every tap is a distance in this line,
/// and what it reads beside the image is zero. Where the result leaves rows of the image out, those that one tap meets follow
/// each other, in as many planes as there are such rows.
struct TileGradientWords: Sendable {
  /// Words from a row of the gradient to the next.
  let pitch: Int
  /// The words of the image between two neighbours of the gradient.
  let stride: Int
  private let g: ConvolutionGeometry
  private let image, gradient: PixelPairs
  private let imageTensor, gradientTensor: BlockedTensor
  /// Images of words, and the rows and columns of the result.
  let images, height, width: Int
  /// Rows of a plane beyond those of the gradient, which taps further down meet.
  private let reach: Int
  /// Which of as many neighbouring rows of the image as the stride goes on by are in each plane: those that taps meet.
  private let planes: [Int]

  private static let line = BlockedTensor.pixelByteCount

  init(_ g: ConvolutionGeometry, input: BlockedTensor, output: BlockedTensor, library: KernelLibrary) {
    self.g = g
    // The halves of one long column are paired, or the images of the halves of a batch.
    let isFlat = g.isPointwise && g.outputPixels % 2 == 0
    (imageTensor, gradientTensor) = isFlat ? (input.halves, output.halves) : (input, output)
    image = PixelPairs(imageTensor, library: library)
    gradient = PixelPairs(gradientTensor, library: library)
    images = PixelPairs.images(gradientTensor.images)
    (height, width) = (gradientTensor.height, gradientTensor.width)
    reach = (g.kernelHeight - 1) * g.dilationHeight / g.strideHeight
    planes = Set((0..<g.kernelHeight).map { $0 * g.dilationHeight % g.strideHeight }).sorted()
    stride = g.strideWidth
    pitch = Self.pitch(g, width: width)
  }

  /// The columns that the taps of a row meet, less those of zeros that two rows share.
  private static func pitch(_ g: ConvolutionGeometry, width: Int) -> Int {
    if g.isPointwise { return width }
    let columns = (width - 1) * g.strideWidth + (g.kernelWidth - 1) * g.dilationWidth + 1
    let shared = min(g.padLeft, max(0, columns - g.padLeft - g.inputWidth))
    return max(width, (columns - shared + g.strideWidth - 1) / g.strideWidth)
  }

  /// The words of an image of so many rows of the gradient, rounded up to whole tiles; for all groups alike.
  static func lineCount(_ g: ConvolutionGeometry) -> Int {
    let isFlat = g.isPointwise && g.outputPixels % 2 == 0
    let (images, height, width) =
      isFlat ? (1, g.outputPixels / 2, 1) : (PixelPairs.images(g.batch), g.outputHeight, g.outputWidth)
    return images * tiles(height * pitch(g, width: width)) * TileGradientKernel.pixels
  }

  private static func tiles(_ words: Int) -> Int {
    (words + TileGradientKernel.pixels - 1) / TileGradientKernel.pixels
  }

  /// Tiles of pixels of an image of a chunk.
  func tiles(_ chunk: GradientChunks.Chunk) -> Int { Self.tiles(chunk.rows.count * pitch) }

  // MARK: - The gradient

  /// Bytes from the words of one channel to those of the next; an odd number of lines, so that those of 16 channels are in
  /// different sets of the first cache.
  func channelByteCount(_ chunk: GradientChunks.Chunk) -> Int { (chunk.images.count * tiles(chunk) | 1) * Self.line }

  /// Bytes of the words of a block of the tensor before they are transposed.
  func gradientByteCount(_ chunk: GradientChunks.Chunk) -> Int { 2 * halfByteCount(chunk) }
  private func halfByteCount(_ chunk: GradientChunks.Chunk) -> Int {
    chunk.images.count * tiles(chunk) * TileGradientKernel.pixels * Self.line
  }

  /// Writes the words of a block of the tensor, and says where each half of it begins.
  func writeGradient(
    _ block: Int, _ chunk: GradientChunks.Chunk, _ dy: UnsafeRawPointer, into place: UnsafeMutableRawPointer
  ) -> (UnsafeRawPointer, UnsafeRawPointer) {
    let half = halfByteCount(chunk), words = tiles(chunk) * TileGradientKernel.pixels
    for (index, image) in chunk.images.enumerated() {
      let start = place + index * words * Self.line
      write(
        gradient, gradientTensor, block, image, firstRow: chunk.rows.lowerBound, rows: chunk.rows.count, left: 0,
        pitch: pitch, dy, into: start, half: half)
      let written = chunk.rows.count * pitch
      clear(start + written * Self.line, words - written, half)
    }
    return (UnsafeRawPointer(place), UnsafeRawPointer(place + half))
  }

  // MARK: - The image

  /// Bytes from an image of a plane to the next one.
  func imageByteCount(_ chunk: GradientChunks.Chunk) -> Int {
    (chunk.rows.count + reach) * pitch * stride * Self.line
  }

  /// Words behind the last image that are multiplied by zeros.
  private var slack: Int { (TileGradientKernel.pixels + pitch) * stride + (g.kernelWidth - 1) * g.dilationWidth }

  /// Bytes of 16 channels.
  func inputByteCount(_ chunk: GradientChunks.Chunk) -> Int {
    planes.count * chunk.images.count * imageByteCount(chunk) + slack * Self.line
  }

  /// Where the first word is that a tap meets, in bytes.
  func byteOffset(tap: Int, _ chunk: GradientChunks.Chunk) -> Int {
    let row = tap / g.kernelWidth * g.dilationHeight, column = tap % g.kernelWidth * g.dilationWidth
    let plane = planes.firstIndex(of: row % g.strideHeight) ?? 0
    return plane * chunk.images.count * imageByteCount(chunk)
      + (row / g.strideHeight * pitch * stride + column) * Self.line
  }

  /// Writes the words of a block of the tensor: 16 channels, and behind those the others.
  func writeInput(
    _ block: Int, _ chunk: GradientChunks.Chunk, _ x: UnsafeRawPointer, into place: UnsafeMutableRawPointer
  ) {
    let half = inputByteCount(chunk), pitch = pitch * stride
    var target = place
    for plane in planes {
      for image in chunk.images {
        write(
          self.image, imageTensor, block, image, firstRow: chunk.rows.lowerBound * g.strideHeight + plane - g.padTop,
          rowStep: g.strideHeight, rows: chunk.rows.count + reach, left: min(g.padLeft, pitch), pitch: pitch, x,
          into: target, half: half)
        target += imageByteCount(chunk)
      }
    }
    clear(target, slack, half)
  }

  // MARK: - Lines

  /// Writes some rows of an image, each of `pitch` words of which the first ones are zeros; whole ones where there is no row.
  private func write(
    _ pairs: PixelPairs, _ tensor: BlockedTensor, _ block: Int, _ image: Int, firstRow: Int, rowStep: Int = 1,
    rows: Int, left: Int, pitch: Int, _ x: UnsafeRawPointer, into place: UnsafeMutableRawPointer, half: Int
  ) {
    let count = max(0, min(tensor.width, pitch - left))
    // Rows that follow each other there and here are one.
    if count == pitch, count == tensor.width, rowStep == 1, firstRow >= 0, firstRow + rows <= tensor.height {
      let region = PixelRegion(images: image..<image + 1, rows: firstRow..<firstRow + rows, columns: 0..<count)
      return pairs.write(block, of: region, x, into: place, blockStride: half)
    }
    for index in 0..<rows {
      let row = firstRow + index * rowStep, start = place + index * pitch * Self.line
      guard (0..<tensor.height).contains(row) else {
        clear(start, pitch, half)
        continue
      }
      clear(start, left, half)
      let region = PixelRegion(images: image..<image + 1, rows: row..<row + 1, columns: 0..<count)
      pairs.write(block, of: region, x, into: start + left * Self.line, blockStride: half)
      clear(start + (left + count) * Self.line, pitch - left - count, half)
    }
  }

  /// Writes zeros in both halves.
  private func clear(_ place: UnsafeMutableRawPointer, _ words: Int, _ half: Int) {
    if words <= 0 { return }
    memset(place, 0, words * Self.line)
    memset(place + half, 0, words * Self.line)
  }
}
