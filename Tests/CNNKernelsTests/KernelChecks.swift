import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Random test data that is the same in every run.
struct RandomData {
  private var generator: PhiloxGenerator

  init(seed: UInt64) { generator = PhiloxGenerator(seed: seed, stream: 0) }

  mutating func floats(_ count: Int, in range: ClosedRange<Float> = -2...2) -> [Float] {
    (0..<count).map { _ in range.lowerBound + generator.unit() * (range.upperBound - range.lowerBound) }
  }

  mutating func labels(_ count: Int, classes: Int) -> [Int32] {
    (0..<count).map { _ in Int32(Int(generator.unit() * Float(classes))) }
  }

  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(generator.unit() * 256) } }
}

/// Helpers of the tests of elementwise and row-wise kernels.
enum KernelChecks {
  /// Runs `kernel` with 1, 2, 3 and 5 workers over an output of `count` elements that are all `initial` before, and
  /// returns what it wrote. Expects the same bits each time and nothing written behind the end.
  static func output<Element: BitwiseCopyable & Equatable>(
    _ count: Int, initial: Element, sourceLocation: SourceLocation = #_sourceLocation,
    _ kernel: (UnsafeMutablePointer<Element>, Workers) -> Void
  ) -> [Element] {
    var results: [[Element]] = []
    for workers in [1, 2, 3, 5, 1] {
      var array = [Element](repeating: initial, count: count + 32)
      array.withUnsafeMutableBufferPointer { buffer in
        if let base = buffer.baseAddress { kernel(base, Workers(count: workers)) }
      }
      let behind = Array(array[count...])
      #expect(bits(behind) == bits([Element](repeating: initial, count: 32)), sourceLocation: sourceLocation)
      results.append(Array(array[..<count]))
    }
    for result in results.dropFirst() { #expect(bits(result) == bits(results[0]), sourceLocation: sourceLocation) }
    return results[0]
  }

  /// The same for floats, with an output that is not a number until it is written.
  static func floats(
    _ count: Int, sourceLocation: SourceLocation = #_sourceLocation,
    _ kernel: (UnsafeMutablePointer<Float>, Workers) -> Void
  ) -> [Float] {
    output(count, initial: Float.nan, sourceLocation: sourceLocation, kernel)
  }

  static func bits<Element: BitwiseCopyable>(_ array: [Element]) -> [UInt8] { array.withUnsafeBytes { Array($0) } }

  /// Expects `actual` to be `expected` up to `tolerance`, relative for numbers above 1.
  static func expectClose(
    _ actual: [Float], _ expected: [Double], tolerance: Double = 1e-6, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(actual.count == expected.count, sourceLocation: sourceLocation)
    let wrong = zip(actual, expected).enumerated().first { _, pair in
      !(abs(Double(pair.0) - pair.1) <= tolerance * max(1, abs(pair.1)))
    }
    #expect(wrong == nil, "\(what)", sourceLocation: sourceLocation)
  }

  /// The gradient of `function` at `point` by central differences.
  static func gradient(of function: ([Double]) -> Double, at point: [Double], step: Double = 1e-5) -> [Double] {
    point.indices.map { index in
      var moved = point
      moved[index] = point[index] + step
      let above = function(moved)
      moved[index] = point[index] - step
      return (above - function(moved)) / (2 * step)
    }
  }

  /// Row `row` of a matrix, in double precision.
  static func row(_ matrix: [Float], _ row: Int, _ width: Int) -> [Double] {
    matrix[row * width..<(row + 1) * width].map(Double.init)
  }
}
