import CNNRuntime
import Glibc

/// Arithmetic between tensors, element by element, with broadcasting over pixels, and the sums that undo it.
///
/// All tensors are float32 with channels last. An output may be the same pointer as an input of the same shape.
public enum Elementwise {
  /// `y[i] = a[i] + b[i]`
  public static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) {
    forEach(count, workers, Combine<Sum>(a: a, b: b, y: y))
  }

  /// `y[i] = a[i] * b[i]`
  public static func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) {
    forEach(count, workers, Combine<Product>(a: a, b: b, y: y))
  }

  /// `y[i]` is what `kind` makes of `a[i]` and `b[i]`.
  public static func combine(
    _ kind: Combination, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
    count: Int, workers: Workers
  ) {
    switch kind {
    case .maximum: forEach(count, workers, Combine<Larger>(a: a, b: b, y: y))
    case .minimum: forEach(count, workers, Combine<Smaller>(a: a, b: b, y: y))
    case .greater: forEach(count, workers, Combine<IsGreater>(a: a, b: b, y: y))
    case .greaterOrEqual: forEach(count, workers, Combine<IsGreaterOrEqual>(a: a, b: b, y: y))
    case .equal: forEach(count, workers, Combine<IsEqual>(a: a, b: b, y: y))
    }
  }

  /// `y[i] += x[i]`
  public static func accumulate(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    forEach(count, workers, Combine<Sum>(a: y, b: x, y: y))
  }

  /// `y[i] = factor * x[i]`
  public static func scale(
    _ x: UnsafePointer<Float>, by factor: Float, into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    forEach(count, workers, Scale(x: x, factor: factor, y: y))
  }

  /// `y[i] = x[i]`
  public static func copy(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      memmove(y + range.lowerBound, x + range.lowerBound, range.count * MemoryLayout<Float>.size)
    }
  }

  /// `y[i] = value`
  public static func fill(_ y: UnsafeMutablePointer<Float>, with value: Float, count: Int, workers: Workers) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      (y + range.lowerBound).update(repeating: value, count: range.count)
    }
  }

  /// `y[n, p, c] = a[n, p, c] + b[n, c]`: `a` and `y` are [images, pixels, channels], `b` is [images, channels].
  public static func addBroadcast(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, images: Int,
    pixels: Int, channels: Int, workers: Workers
  ) {
    broadcast(Sum.self, a, b, y, images, pixels, channels, workers)
  }

  /// `y[n, p, c] = a[n, p, c] * b[n, c]`: `a` and `y` are [images, pixels, channels], `b` is [images, channels].
  public static func multiplyBroadcast(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, images: Int,
    pixels: Int, channels: Int, workers: Workers
  ) {
    broadcast(Product.self, a, b, y, images, pixels, channels, workers)
  }

  /// `y[n, c] = factor * b[n, c]` repeated over the pixels: the gradient of `sumOverPixels`. `b` is
  /// [images, channels], `y` is [images, pixels, channels].
  public static func expandToPixels(
    _ b: UnsafePointer<Float>, scaledBy factor: Float, into y: UnsafeMutablePointer<Float>, images: Int, pixels: Int,
    channels: Int, workers: Workers
  ) {
    forEachRow(images, pixels, channels, workers) { row, image in
      forEachBlock(of: 0..<channels, Scale(x: b + image &* channels, factor: factor, y: y + row &* channels))
    }
  }

  /// `y[n, c] = Σ_p a[n, p, c]`, or `Σ_p a[n, p, c] * b[n, p, c]` with `b`: the gradients of `b` in `addBroadcast`
  /// and `multiplyBroadcast`. `a` and `b` are [images, pixels, channels], `y` is [images, channels].
  public static func sumOverPixels(
    _ a: UnsafePointer<Float>, times b: UnsafePointer<Float>? = nil, into y: UnsafeMutablePointer<Float>, images: Int,
    pixels: Int, channels: Int, workers: Workers
  ) {
    workers.forEachItem(of: images, channels: channels) { image, block in
      let offset = image * pixels * channels
      forEachBlock(
        of: block,
        SumRows(
          a: a + offset, b: b.map { $0 + offset }, y: y + image * channels, rows: pixels, channels: channels))
    }
  }

  /// The bytes of workspace that `sumOverRows` needs.
  public static func sumOverRowsWorkspaceByteCount(channels: Int, workers: Workers) -> Int {
    workers.count * channels * MemoryLayout<Float>.size
  }

  /// `y[c] = Σ_r x[r, c]`, the gradient of a bias. `x` is [rows, channels], `y` is [channels]; `workspace` holds
  /// `sumOverRowsWorkspaceByteCount(channels:workers:)` bytes.
  public static func sumOverRows(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows: Int, channels: Int,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let partials = workspace.assumingMemoryBound(to: Float.self)
    partials.update(repeating: 0, count: workers.count * channels)
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, worker in
      forEachBlock(
        of: 0..<channels,
        SumRows(
          a: x + range.lowerBound * channels, b: nil, y: partials + worker * channels, rows: range.count,
          channels: channels))
    }
    forEachBlock(of: 0..<channels, SumRows(a: partials, b: nil, y: y, rows: workers.count, channels: channels))
  }

  private static func forEach(_ count: Int, _ workers: Workers, _ kernel: some BlockKernel) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in forEachBlock(of: range, kernel) }
  }

  private static func broadcast<Operation: BinaryOperation>(
    _: Operation.Type, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
    _ images: Int, _ pixels: Int, _ channels: Int, _ workers: Workers
  ) {
    forEachRow(images, pixels, channels, workers) { row, image in
      let offset = row &* channels
      forEachBlock(of: 0..<channels, Combine<Operation>(a: a + offset, b: b + image &* channels, y: y + offset))
    }
  }

  /// Calls `body` for every pixel of every image, in parallel; `row` counts pixels through all images.
  @inline(__always)
  private static func forEachRow(
    _ images: Int, _ pixels: Int, _ channels: Int, _ workers: Workers, _ body: (_ row: Int, _ image: Int) -> Void
  ) {
    workers.forEachRange(of: images * pixels, grain: Workers.grainOfRows(channels: channels)) { rows, _ in
      var row = rows.lowerBound
      while row < rows.upperBound {
        let image = row / pixels
        let end = min(rows.upperBound, (image + 1) * pixels)
        while row < end {
          body(row, image)
          row &+= 1
        }
      }
    }
  }
}

/// What else is made of two numbers, beside their sum and product: the larger or smaller one, NaN where one of them is, or
/// whether they compare so, as 1 or 0.
public enum Combination: Sendable, CaseIterable {
  /// The larger or smaller one.
  case maximum, minimum
  /// Whether the first is greater than the second, not less than it, or equal to it.
  case greater, greaterOrEqual, equal
}

/// What makes one number of two.
protocol BinaryOperation {
  static func apply<V: Lanes>(_ a: V, _ b: V) -> V
}

enum Sum: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a + b }
}

enum Product: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a * b }
}

enum Larger: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a.maximum(b) }
}

enum Smaller: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a.minimum(b) }
}

enum IsGreater: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a.isGreater(than: b) }
}

enum IsGreaterOrEqual: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a.isGreaterOrEqual(to: b) }
}

enum IsEqual: BinaryOperation {
  @inline(__always) static func apply<V: Lanes>(_ a: V, _ b: V) -> V { a.isEqual(to: b) }
}

struct Combine<Operation: BinaryOperation>: BlockKernel {
  let a: UnsafePointer<Float>
  let b: UnsafePointer<Float>
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
    Operation.apply(V.load(a + i), V.load(b + i)).store(y + i)
  }
}

private struct Scale: BlockKernel {
  let x: UnsafePointer<Float>
  let factor: Float
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
    (V.load(x + i) * V(repeating: factor)).store(y + i)
  }
}

/// Sums the rows of `a`, or of `a * b`, for a block of channels.
private struct SumRows: BlockKernel {
  let a: UnsafePointer<Float>
  let b: UnsafePointer<Float>?
  let y: UnsafeMutablePointer<Float>
  let rows: Int
  let channels: Int

  /// Sums of at most this many rows are made first and then added, so that rounding errors do not grow with the rows.
  static let chunk = 256

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    var total = V.zero
    var row = 0
    while row < rows {
      let end = min(rows, row &+ SumRows.chunk)
      var partial = V.zero
      if let b {
        for r in row..<end {
          let offset = r &* channels &+ channel
          partial = partial + V.load(a + offset) * V.load(b + offset)
        }
      } else {
        for r in row..<end { partial = partial + V.load(a + (r &* channels &+ channel)) }
      }
      total = total + partial
      row = end
    }
    total.store(y + channel)
  }
}
