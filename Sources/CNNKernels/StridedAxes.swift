import CNNCore
import CNNRuntime

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

extension Rearrangement {
  /// A transposition of up to eight axes.
  public struct Reordering: Sendable {
    /// The axes of the result but the last two.
    fileprivate let outer: StridedAxes
    /// The last two: how many elements, and how far apart they are in the source.
    fileprivate let rows, length: (count: Int, distance: Int)

    /// Axis `k` of the result is axis `order[k]` of a tensor of this shape.
    public init(shape: [Int], order: [Int]) {
      let strides = Strides.dense(shape)
      var axes: [(count: Int, distance: Int)] = []
      for axis in order where shape[axis] != 1 {
        // Axes that lie one behind the other in both are one.
        if let last = axes.last, last.distance == strides[axis] * shape[axis] {
          axes[axes.count - 1] = (last.count * shape[axis], strides[axis])
        } else {
          axes.append((shape[axis], strides[axis]))
        }
      }
      length = axes.popLast() ?? (1, 1)
      rows = axes.popLast() ?? (1, 0)
      outer = StridedAxes(sizes: axes.map(\.count), strides: axes.map(\.distance))
    }
  }

  /// Transposes a tensor of up to eight axes. `y` overlaps nothing.
  public static func permute(
    _ x: UnsafePointer<Float>, _ reordering: Reordering, into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let (rows, length) = (reordering.rows, reordering.length)
    // Where there is but one block its rows are divided instead.
    let blocks = reordering.outer.count, isOne = blocks == 1
    workers.forEachRange(
      of: isOne ? rows.count : blocks,
      grain: Workers.grainOfRows(channels: isOne ? length.count : rows.count * length.count)
    ) { range, _ in
      for index in range {
        var row = x + (isOne ? index &* rows.distance : reordering.outer.offset(of: index))
        var target = y + index &* length.count &* (isOne ? 1 : rows.count)
        for _ in 0..<(isOne ? 1 : rows.count) {
          var source = row
          for column in 0..<length.count {
            target[column] = source.pointee
            source += length.distance
          }
          row += rows.distance
          target += length.count
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
