import CNNCore
import CNNRuntime

/// Choices between tensors, and of the largest elements of one.
public enum Selection {
  /// A mask and two tensors of up to eight axes as they are read for each element of the result.
  public struct Operands: Sendable {
    fileprivate let mask, a, b: StridedAxes
    fileprivate let length, maskDistance, distanceA, distanceB: Int

    /// Operands of these shapes, whose sizes of 1 and missing axes in front are repeated to those of `result`.
    public init(result: [Int], mask: [Int], a: [Int], b: [Int]) {
      // Where nothing is repeated all is one axis, in rows that workers divide.
      let isOne = mask == result && a == result && b == result
      let sizes = isOne ? Self.rows(of: result.reduce(1, *)) : result
      func strides(_ shape: [Int]) -> [Int] {
        if isOne { return Strides.dense(sizes) }
        let dense = zip(shape, Strides.dense(shape)).map { $0 == 1 ? 0 : $1 }
        return Array(repeating: 0, count: result.count - shape.count) + dense
      }
      let (m, x, y) = (strides(mask), strides(a), strides(b))
      self.mask = StridedAxes(sizes: sizes.dropLast(), strides: m.dropLast())
      self.a = StridedAxes(sizes: sizes.dropLast(), strides: x.dropLast())
      self.b = StridedAxes(sizes: sizes.dropLast(), strides: y.dropLast())
      length = sizes.last ?? 1
      (maskDistance, distanceA, distanceB) = (m.last ?? 0, x.last ?? 0, y.last ?? 0)
    }

    /// So many elements as rows of one length.
    private static func rows(of count: Int) -> [Int] {
      let length = [4096, 512, 64, 16, 4].first { count % $0 == 0 } ?? 1
      return [count / length, length]
    }
  }

  /// `y = mask != 0 ? a : b`
  public static func select(
    _ mask: UnsafePointer<Float>, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>, _ operands: Operands, workers: Workers
  ) {
    let length = operands.length
    workers.forEachRange(of: operands.mask.count, grain: Workers.grainOfRows(channels: length)) { range, _ in
      for row in range {
        let m = mask + operands.mask.offset(of: row), target = y + row &* length
        let first = a + operands.a.offset(of: row), second = b + operands.b.offset(of: row)
        for i in 0..<length {
          target[i] =
            m[i &* operands.maskDistance] != 0 ? first[i &* operands.distanceA] : second[i &* operands.distanceB]
        }
      }
    }
  }

  /// `y[r, s]` is the `i` of the largest `x[r, i, s]`, of several equal ones the first or the last: `x` is [rows, length,
  /// step], `y` [rows, step].
  public static func positionOfMaximum(
    _ x: UnsafePointer<Float>, rows: Int, length: Int, step: Int, choosesLast: Bool,
    into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    workers.forEachRange(of: rows * step, grain: Workers.grainOfRows(channels: length)) { range, _ in
      for item in range {
        let first = x + (item / step &* length &* step &+ item % step)
        var largest = first.pointee, position = 0
        for i in 1..<max(length, 1) {
          let value = first[i &* step]
          if value > largest || choosesLast && value == largest { (largest, position) = (value, i) }
        }
        y[item] = Float(position)
      }
    }
  }
}
