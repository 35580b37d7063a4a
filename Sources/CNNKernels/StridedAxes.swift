import CNNCore

/// Up to eight axes of a tensor with the distance of neighbours along each: an index counted through all of them becomes
/// a place in memory.
struct StridedAxes: Sendable {
  /// Sizes, outermost first, with leading 1s, and distances in elements; 0 where an element is repeated.
  private(set) var size = SIMD8<Int>(repeating: 1)
  private(set) var stride = SIMD8<Int>(repeating: 0)
  /// The product of the sizes.
  let count: Int

  init(sizes: [Int], strides: [Int]) {
    var position = 8 - sizes.count
    for (length, distance) in zip(sizes, strides) {
      size[position] = length
      stride[position] = distance
      position += 1
    }
    count = sizes.reduce(1, *)
  }

  /// Where the element with this index lies.
  @inline(__always) func offset(of index: Int) -> Int {
    var rest = index, offset = 0, axis = 7
    while rest > 0 {
      let length = size[axis]
      offset &+= rest % length &* stride[axis]
      rest /= length
      axis &-= 1
    }
    return offset
  }
}

extension Layout {
  /// A transposition of up to eight axes.
  public struct Reordering: Sendable {
    fileprivate let rows: StridedAxes
    fileprivate let length, distance: Int

    /// Axis `k` of the result is axis `order[k]` of a tensor of this shape, which has at least one axis.
    public init(shape: [Int], order: [Int]) {
      let strides = Strides.dense(shape)
      let sizes = order.map { shape[$0] }, distances = order.map { strides[$0] }
      rows = StridedAxes(sizes: sizes.dropLast(), strides: distances.dropLast())
      (length, distance) = (sizes.last ?? 1, distances.last ?? 1)
    }
  }

  /// Transposes a tensor of up to eight axes. `y` overlaps nothing.
  public static func permute(
    _ x: UnsafePointer<Float>, _ reordering: Reordering, into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let (length, distance) = (reordering.length, reordering.distance)
    workers.forEachRange(of: reordering.rows.count, grain: Workers.grainOfRows(channels: length)) { range, _ in
      for row in range {
        var source = x + reordering.rows.offset(of: row)
        let target = y + row &* length
        for column in 0..<length {
          target[column] = source.pointee
          source += distance
        }
      }
    }
  }

  /// `y[r, i] = x[r, indices[i]]`, elements of `step` floats: `x` is [rows, length, step], `y` [rows, indices, step].
  public static func gather(
    _ x: UnsafePointer<Float>, indices: [Int], rows: Int, length: Int, step: Int, into y: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    workers.forEachRange(of: rows * indices.count, grain: Workers.grainOfRows(channels: step)) { range, _ in
      for item in range {
        let source = item / indices.count &* length &+ indices[item % indices.count]
        (y + item &* step).update(from: x + source &* step, count: step)
      }
    }
  }

  /// `dx[r, indices[i]] += dy[r, i]` over zeros, the gradient of `gather`: `dx` is [rows, length, step].
  public static func gatherBackward(
    _ dy: UnsafePointer<Float>, indices: [Int], rows: Int, length: Int, step: Int,
    into dx: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: length * step)) { range, _ in
      for row in range {
        let target = dx + row &* length &* step
        target.update(repeating: 0, count: length &* step)
        var source = dy + row &* indices.count &* step
        for index in indices {
          let element = target + index &* step
          for i in 0..<step { element[i] += source[i] }
          source += step
        }
      }
    }
  }
}
