import CNNRuntime

/// Rearrangements of tensors: transpositions, parts of the channel axis, borders. No arithmetic.
public enum Rearrangement {
  /// Transposes a tensor of up to four axes: axis `k` of `y` is axis `order[k]` of `x`, as NumPy's `transpose`.
  ///
  /// `shape` is that of `x` (leading 1s for fewer axes), `order` a permutation of 0, 1, 2, 3. `y` overlaps nothing.
  public static func permute(
    _ x: UnsafePointer<Float>, shape: SIMD4<Int>, order: SIMD4<Int>, into y: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    Transposition(shape: shape, order: order).run(x, y, workers)
  }

  /// `permute` for bytes, such as the pixels of images.
  public static func permute(
    _ x: UnsafePointer<UInt8>, shape: SIMD4<Int>, order: SIMD4<Int>, into y: UnsafeMutablePointer<UInt8>,
    workers: Workers
  ) {
    Transposition(shape: shape, order: order).run(x, y, workers)
  }

  /// Copies `count` channels of every row of `x` at `sourceOffset` into `y` at `offset`.
  ///
  /// `x` is [rows, sourceChannels], `y` is [rows, channels]; the other channels of `y` are left as they are. One call
  /// per input makes a concatenation; its gradient, and a slice, is one call per part.
  public static func copyChannels(
    _ x: UnsafePointer<Float>, sourceChannels: Int, sourceOffset: Int, into y: UnsafeMutablePointer<Float>,
    channels: Int, offset: Int, count: Int, rows: Int, workers: Workers
  ) {
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: count)) { range, _ in
      for row in range {
        forEachBlock(
          of: 0..<count, Copy(x: x + (row &* sourceChannels &+ sourceOffset), y: y + (row &* channels &+ offset)))
      }
    }
  }

  /// The width of a border in pixels.
  public struct Border: Sendable, Hashable {
    /// Rows above.
    public var top: Int
    /// Rows below.
    public var bottom: Int
    /// Columns to the left.
    public var left: Int
    /// Columns to the right.
    public var right: Int

    /// Creates a border.
    public init(top: Int, bottom: Int, left: Int, right: Int) {
      self.top = top
      self.bottom = bottom
      self.left = left
      self.right = right
    }
  }

  /// Surrounds every image with a border of zeros.
  ///
  /// `x` is [images, height, width, channels], `y` is [images, top + height + bottom, left + width + right, channels].
  public static func pad(
    _ x: UnsafePointer<Float>, images: Int, height: Int, width: Int, channels: Int, border: Border,
    into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let paddedHeight = border.top + height + border.bottom
    let paddedRow = (border.left + width + border.right) * channels
    workers.forEachRange(of: images * paddedHeight, grain: Workers.grainOfRows(channels: paddedRow)) { range, _ in
      for item in range {
        let target = y + item * paddedRow
        let row = item % paddedHeight - border.top
        if row < 0 || row >= height {
          target.update(repeating: 0, count: paddedRow)
          continue
        }
        let left = border.left * channels
        let inner = width * channels
        target.update(repeating: 0, count: left)
        (target + left).update(from: x + (item / paddedHeight * height + row) * inner, count: inner)
        (target + left + inner).update(repeating: 0, count: border.right * channels)
      }
    }
  }

  /// Removes the border of every image: the inverse and the gradient of `pad`.
  ///
  /// `y` is [images, height, width, channels], `x` is [images, top + height + bottom, left + width + right, channels].
  public static func crop(
    _ x: UnsafePointer<Float>, images: Int, height: Int, width: Int, channels: Int, border: Border,
    into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let paddedHeight = border.top + height + border.bottom
    let paddedRow = (border.left + width + border.right) * channels
    let row = width * channels
    workers.forEachRange(of: images * height, grain: Workers.grainOfRows(channels: row)) { range, _ in
      for item in range {
        let source = x + (item / height * paddedHeight + border.top + item % height) * paddedRow
        (y + item * row).update(from: source + border.left * channels, count: row)
      }
    }
  }
}

private struct Copy: BlockKernel {
  let x: UnsafePointer<Float>
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) { V.load(x + i).store(y + i) }
}
