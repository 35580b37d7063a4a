/// The pixels of a convolution's result, cut into parts over which the gradient of its filter is summed one after the
/// other: some whole images, or some rows of one.
struct GradientChunks: Sendable {
  /// Some images, rows and columns of the result.
  struct Chunk: Sendable {
    let images, rows, columns: Range<Int>
  }

  let chunks: [Chunk]

  /// Parts of at most `limit` pixels, unless a single row has more than twice as many. Their number suits so many shares.
  init(images: Int, height: Int, width: Int, limit: Int, shares: Int) {
    func cut(_ size: Int, _ limit: Int, times others: Int) -> [Range<Int>] {
      var count = (size + limit - 1) / limit
      if others % shares != 0 { count = min(size, (count + shares - 1) / shares * shares) }
      return (0..<count).map { size * $0 / count..<size * ($0 + 1) / count }
    }
    var result: [Chunk] = []
    if height * width <= limit {
      for images in cut(images, max(1, limit / (height * width)), times: 1) {
        result.append(Chunk(images: images, rows: 0..<height, columns: 0..<width))
      }
    } else {
      let columns = width > 2 * limit ? cut(width, limit, times: shares) : [0..<width]
      let rows = cut(height, max(1, limit / width), times: images * columns.count)
      for image in 0..<images {
        for rows in rows {
          for columns in columns { result.append(Chunk(images: image..<image + 1, rows: rows, columns: columns)) }
        }
      }
    }
    chunks = result
  }

  /// How the chunks are divided among so many threads.
  func shares(_ count: Int) -> [Range<Int>] {
    let parts = min(count, chunks.count)
    return (0..<parts).map { chunks.count * $0 / parts..<chunks.count * ($0 + 1) / parts }
  }
}

extension ConvolutionAxis {
  /// From the first to the last pixel of the source that some outputs read.
  func sources(of outputs: Range<Int>) -> Range<Int> {
    let first = outputs.lowerBound * stride - padding, end = (outputs.upperBound - 1) * stride + reach - padding + 1
    let lower = min(max(0, first), sourceCount)
    return lower..<max(lower, min(sourceCount, end))
  }

  /// The outputs that read a pixel of the source at this tap, and not one beside it.
  func outputs(atTap tap: Int) -> Range<Int> {
    let shift = padding - tap * dilation
    let first = min(outputCount, max(0, (shift + stride - 1) / stride)), last = sourceCount - 1 + shift
    return last < 0 ? 0..<0 : first..<max(first, min(outputCount, last / stride + 1))
  }
}
