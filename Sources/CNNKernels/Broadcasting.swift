import CNNCore
import CNNRuntime

/// Arithmetic between two tensors of which elements of either are repeated, and sums and maxima over any axes.
public enum Broadcasting {
  /// Two tensors of up to eight axes as they are read for each element of the result.
  public struct Operands: Sendable {
    fileprivate let a, b: StridedAxes
    fileprivate let length, distanceA, distanceB: Int

    /// Operands of these shapes, whose sizes of 1 and missing axes in front are repeated to those of `result`.
    public init(result: [Int], a: [Int], b: [Int]) {
      func strides(_ shape: [Int]) -> [Int] {
        let dense = zip(shape, Strides.dense(shape)).map { $0 == 1 ? 0 : $1 }
        return Array(repeating: 0, count: result.count - shape.count) + dense
      }
      // Axes that lie one behind the other in both are one.
      var sizes: [Int] = [], first: [Int] = [], second: [Int] = []
      for (size, (x, y)) in zip(result, zip(strides(a), strides(b))) where size > 1 {
        if let last = sizes.indices.last, first[last] == x * size, second[last] == y * size {
          sizes[last] *= size
          (first[last], second[last]) = (x, y)
        } else {
          sizes.append(size)
          first.append(x)
          second.append(y)
        }
      }
      self.a = StridedAxes(sizes: sizes.dropLast(), strides: first.dropLast())
      self.b = StridedAxes(sizes: sizes.dropLast(), strides: second.dropLast())
      (length, distanceA, distanceB) = (sizes.last ?? 1, first.last ?? 0, second.last ?? 0)
    }
  }

  /// `y = a + b`
  public static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, _ operands: Operands,
    workers: Workers
  ) {
    combine(Sum.self, a, b, y, operands, workers)
  }

  /// `y = a * b`
  public static func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, _ operands: Operands,
    workers: Workers
  ) {
    combine(Product.self, a, b, y, operands, workers)
  }

  /// What `kind` makes of `a` and `b`.
  public static func combine(
    _ kind: Combination, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
    _ operands: Operands, workers: Workers
  ) {
    switch kind {
    case .maximum: combine(Larger.self, a, b, y, operands, workers)
    case .minimum: combine(Smaller.self, a, b, y, operands, workers)
    case .greater: combine(IsGreater.self, a, b, y, operands, workers)
    case .greaterOrEqual: combine(IsGreaterOrEqual.self, a, b, y, operands, workers)
    case .equal: combine(IsEqual.self, a, b, y, operands, workers)
    }
  }

  private static func combine<Operation: BinaryOperation>(
    _: Operation.Type, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
    _ operands: Operands, _ workers: Workers
  ) {
    let length = operands.length
    workers.forEachRange(of: operands.a.count, grain: Workers.grainOfRows(channels: length)) { range, _ in
      for row in range {
        let first = a + operands.a.offset(of: row), second = b + operands.b.offset(of: row), target = y + row &* length
        // Along the last axis an operand is read one after the other or is one number.
        switch (operands.distanceA, operands.distanceB) {
        case (1, 1): forEachBlock(of: 0..<length, Combine<Operation>(a: first, b: second, y: target))
        case (1, _):
          forEachBlock(of: 0..<length, CombineWithNumber<Operation>(a: first, number: second.pointee, y: target))
        case (_, 1):
          forEachBlock(of: 0..<length, CombineNumber<Operation>(number: first.pointee, b: second, y: target))
        default: target.update(repeating: Operation.apply(first.pointee, second.pointee), count: length)
        }
      }
    }
  }

  /// The axes of a tensor that are reduced, and those that stay.
  public struct Axes: Sendable {
    fileprivate let kept, reduced: StridedAxes
    /// The last axis: its length, and whether it stays.
    fileprivate let length: Int
    fileprivate let isLastKept: Bool

    /// A tensor of this shape, reduced over the axes for which `isReduced` says so.
    public init(shape: [Int], isReduced: [Bool]) {
      // Neighbours of one kind are one axis.
      var sizes: [Int] = [], kinds: [Bool] = []
      for (size, kind) in zip(shape, isReduced) where size > 1 {
        if kinds.last == kind {
          sizes[sizes.count - 1] *= size
        } else {
          sizes.append(size)
          kinds.append(kind)
        }
      }
      let strides = Strides.dense(sizes)
      isLastKept = !(kinds.last ?? true)
      length = sizes.last ?? 1
      func axes(_ wanted: Bool) -> StridedAxes {
        let positions = sizes.indices.dropLast().filter { kinds[$0] == wanted }
        return StridedAxes(sizes: positions.map { sizes[$0] }, strides: positions.map { strides[$0] })
      }
      (kept, reduced) = (axes(false), axes(true))
    }
  }

  /// Sums of at most this many vectors are made first and then added, so that rounding errors do not grow with their
  /// number.
  fileprivate static let chunk = 256

  /// The sums over some axes, times `factor`.
  public static func sum(
    _ x: UnsafePointer<Float>, _ axes: Axes, times factor: Float, into y: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    let grain = Workers.grainOfRows(channels: axes.length)
    workers.forEachRange(of: axes.kept.count, grain: grain) { range, _ in
      for row in range {
        let base = x + axes.kept.offset(of: row)
        if axes.isLastKept {
          let sums = ColumnSums(x: base, axes: axes.reduced, factor: factor, y: y + row &* axes.length)
          forEachBlock(of: 0..<axes.length, sums)
        } else {
          var total = 0.0
          for outer in 0..<axes.reduced.count {
            total += rowSum(base + axes.reduced.offset(of: outer), count: axes.length)
          }
          y[row] = Float(total) * factor
        }
      }
    }
  }

  /// The largest elements over some axes; NaN where one of them is.
  public static func maximum(
    _ x: UnsafePointer<Float>, _ axes: Axes, into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let grain = Workers.grainOfRows(channels: axes.length)
    workers.forEachRange(of: axes.kept.count, grain: grain) { range, _ in
      for row in range {
        let base = x + axes.kept.offset(of: row)
        if axes.isLastKept {
          forEachBlock(of: 0..<axes.length, ColumnMaxima(x: base, axes: axes.reduced, y: y + row &* axes.length))
        } else {
          var largest = base.pointee
          for outer in 0..<axes.reduced.count {
            let first = base + axes.reduced.offset(of: outer)
            for i in 0..<axes.length { largest = largest.maximum(first[i]) }
          }
          y[row] = largest
        }
      }
    }
  }

  @inline(__always)
  private static func rowSum(_ x: UnsafePointer<Float>, count: Int) -> Double {
    var total = 0.0, start = 0
    while start < count {
      let end = min(count, start &+ 16 &* chunk)
      var partial = SIMD16<Float>()
      var i = start
      while i &+ 16 <= end {
        partial += UnsafeRawPointer(x + i).loadUnaligned(as: SIMD16<Float>.self)
        i &+= 16
      }
      var rest = partial.sum()
      while i < end {
        rest += x[i]
        i &+= 1
      }
      total += Double(rest)
      start = end
    }
    return total
  }
}

/// One number combined with neighbouring elements.
private struct CombineNumber<Operation: BinaryOperation>: BlockKernel {
  let number: Float
  let b: UnsafePointer<Float>
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
    Operation.apply(V(repeating: number), V.load(b + i)).store(y + i)
  }
}

/// Neighbouring elements combined with one number.
private struct CombineWithNumber<Operation: BinaryOperation>: BlockKernel {
  let a: UnsafePointer<Float>
  let number: Float
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
    Operation.apply(V.load(a + i), V(repeating: number)).store(y + i)
  }
}

/// Sums of neighbouring elements over other axes.
private struct ColumnSums: BlockKernel {
  let x: UnsafePointer<Float>
  let axes: StridedAxes
  let factor: Float
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at column: Int, _: V.Type) {
    var total = V.zero, index = 0
    while index < axes.count {
      let end = min(axes.count, index &+ Broadcasting.chunk)
      var partial = V.zero
      while index < end {
        partial = partial + V.load(x + (axes.offset(of: index) &+ column))
        index &+= 1
      }
      total = total + partial
    }
    (total * V(repeating: factor)).store(y + column)
  }
}

/// The largest of neighbouring elements over other axes.
private struct ColumnMaxima: BlockKernel {
  let x: UnsafePointer<Float>
  let axes: StridedAxes
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at column: Int, _: V.Type) {
    var largest = V.load(x + column)
    for index in 0..<axes.count { largest = largest.maximum(V.load(x + (axes.offset(of: index) &+ column))) }
    largest.store(y + column)
  }
}
