import CNNCore

/// The output of a kernel under test: every float is NaN until written, and the floats before and after must stay as
/// they were. The first float is deliberately not aligned to a vector.
final class GuardedFloats {
  let pointer: UnsafeMutablePointer<Float>
  let count: Int
  private let memory: Memory
  private static let guardCount = 33
  private static let sentinel: Float = 12345.678

  init(_ count: Int) throws {
    memory = try Memory(count: count + 2 * GuardedFloats.guardCount, of: .float32, for: "test")
    memory.floats.update(repeating: GuardedFloats.sentinel)
    pointer = memory.base.assumingMemoryBound(to: Float.self) + GuardedFloats.guardCount
    pointer.update(repeating: .nan, count: count)
    self.count = count
  }

  convenience init(_ values: [Float]) throws {
    try self.init(values.count)
    for (i, value) in values.enumerated() { pointer[i] = value }
  }

  var values: [Float] { (0..<count).map { pointer[$0] } }
  var bits: [UInt32] { values.map(\.bitPattern) }

  /// Whether nothing was written outside.
  var isIntact: Bool {
    memory.floats.prefix(GuardedFloats.guardCount).allSatisfy { $0 == GuardedFloats.sentinel }
      && memory.floats.suffix(GuardedFloats.guardCount).allSatisfy { $0 == GuardedFloats.sentinel }
  }

  /// The largest difference from `expected`, infinite where anything is not a number or was written outside.
  func distance(_ expected: [Double]) -> Double {
    guard isIntact, expected.count == count else { return .infinity }
    return zip(values, expected).reduce(0) { largest, pair in
      let difference = abs(Double(pair.0) - pair.1)
      return difference <= largest ? largest : difference.isNaN ? .infinity : difference
    }
  }
}

/// Repeatable numbers in -1..<1.
func randomFloats(_ count: Int, seed: UInt64) -> [Float] {
  let function = Philox(seed: seed, stream: 77)
  return (0..<count).map { Philox.unit(function.words(at: UInt64($0))[0]) * 2 - 1 }
}

/// The numbers of workers that kernels are tried with.
let teamSizes = [1, 2, 3, 5]
