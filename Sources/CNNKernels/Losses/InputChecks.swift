import CNNRuntime

/// Checks of a batch before it is computed with, so that bad data is an error with a place and not a wrong number.
public enum InputChecks {
  /// The index of the first of `count` labels that is not in `0..<classes`; `nil` when all are.
  public static func firstInvalidLabel(
    _ labels: UnsafePointer<Int32>, count: Int, classes: Int, workers: Workers
  ) -> Int? {
    first(count, workers) { range in
      for index in range where labels[index] < 0 || Int(labels[index]) >= classes { return index }
      return nil
    }
  }

  /// The index of the first of `count` numbers that is NaN or infinite; `nil` when all are finite.
  public static func firstNotFinite(_ x: UnsafePointer<Float>, count: Int, workers: Workers) -> Int? {
    first(count, workers) { range in
      let block = 256
      for start in stride(from: range.lowerBound, to: range.upperBound, by: block) {
        let end = min(start + block, range.upperBound)
        // Zero times a number is zero when the number is finite and NaN otherwise.
        var zeros = SIMD8<Float>()
        var index = start
        while index + 8 <= end {
          zeros += UnsafeRawPointer(x + index).loadUnaligned(as: SIMD8<Float>.self) * 0
          index += 8
        }
        let scanned = zeros == SIMD8() ? index : start
        for index in scanned..<end where !x[index].isFinite { return index }
      }
      return nil
    }
  }

  /// The smallest of what `search` finds in the pieces of `0..<count`.
  @inline(__always)
  private static func first(_ count: Int, _ workers: Workers, _ search: (Range<Int>) -> Int?) -> Int? {
    let found = ChunkedReduction.reduce(
      count: count, workers: workers, partial: { search($0) ?? .max }, combine: { min($0, $1) })
    return found == .max ? nil : found
  }
}
