import CNNCore
import Testing

@testable import SwiftCNN

/// Initial values: their moments, seeds and options.
@Suite struct InitialValuesTests {
  /// The inputs are 720, the outputs 1440.
  private static let shape = [3, 3, 80, 160]

  private func values(_ json: String, _ shape: [Int] = shape, seed: UInt64 = 1) throws -> [Float] {
    var result = [Float](repeating: .nan, count: shape.reduce(1, *))
    let initializer = try InitialValues(json: #require(JSON(parsing: json).objectValue))
    try result.withUnsafeMutableBufferPointer { buffer throws(CNNError) in
      try initializer.fill(buffer, shape: shape, seed: seed)
    }
    return result
  }

  static let moments: [(json: String, deviation: Double, kurtosis: Double, largest: Double)] = [
    (#"{"name": "glorot_uniform"}"#, (2.0 / 2160).squareRoot(), 1.8, 1.7321),
    (#"{"name": "glorot_normal"}"#, (2.0 / 2160).squareRoot(), 2.37, 2.274),
    (#"{"name": "he_uniform"}"#, (2.0 / 720).squareRoot(), 1.8, 1.7321),
    (#"{"name": "he_normal"}"#, (2.0 / 720).squareRoot(), 2.37, 2.274),
    (#"{"name": "lecun_normal"}"#, (1.0 / 720).squareRoot(), 2.37, 2.274),
    (#"{"name": "lecun_uniform"}"#, (1.0 / 720).squareRoot(), 1.8, 1.7321),
    (#"{"name": "random_normal"}"#, 0.05, 3, 6), (#"{"name": "random_uniform"}"#, 0.1 / 12.0.squareRoot(), 1.8, 1.7321),
    (#"{"name": "truncated_normal", "stddev": 2}"#, 2 * 0.8796, 2.37, 2.274),
    (
      #"{"name": "variance_scaling", "scale": 3, "mode": "fan_out", "distribution": "untruncated_normal"}"#,
      (3.0 / 1440).squareRoot(), 3, 6
    ),
  ]

  @Test(arguments: moments) func momentsAreThoseOfTheDistribution(
    _ json: String, _ deviation: Double, _ kurtosis: Double, _ largest: Double
  ) throws {
    let values = try values(json).map { Double($0) / deviation }
    let count = Double(values.count)
    let second = values.reduce(0) { $0 + $1 * $1 } / count, fourth = values.reduce(0) { $0 + $1 * $1 * $1 * $1 } / count
    #expect(abs(values.reduce(0, +) / count) < 0.02)
    #expect(abs(second - 1) < 0.02)
    #expect(abs(fourth - kurtosis) < 0.04 * kurtosis)
    #expect(values.allSatisfy { abs($0) <= largest })
  }

  @Test(arguments: [([8, 5], false), ([5, 8], true), ([3, 3, 4, 16], false), ([1, 1, 3, 20], true)])
  func orthogonalMatricesAre(_ shape: [Int], _ hasFewRows: Bool) throws {
    let values = try values(#"{"name": "orthogonal", "gain": 2}"#, shape).map { Double($0) }
    let columns = shape[shape.count - 1], rows = values.count / columns
    func element(_ vector: Int, _ index: Int) -> Double {
      hasFewRows ? values[vector * columns + index] : values[index * columns + vector]
    }
    for a in 0..<min(rows, columns) {
      for b in 0..<min(rows, columns) {
        let product = (0..<max(rows, columns)).reduce(0) { $0 + element(a, $1) * element(b, $1) }
        #expect(abs(product - (a == b ? 4 : 0)) < 1e-5)
      }
    }
  }

  @Test func theSeedDecides() throws {
    let json = #"{"name": "he_normal"}"#
    #expect(try values(json) == values(json))
    #expect(try values(json) != values(json, seed: 2))
    #expect(try values(#"{"name": "constant", "value": 2.5}"#, [2, 2]) == [2.5, 2.5, 2.5, 2.5])
    #expect(try values(#"{"name": "zeros"}"#, [0, 3]) == [])
  }

  @Test func whatIsWrongIsNamed() {
    expectError(.unknownName, "he_normal") { _ = try values(#"{"name": "he_normall"}"#) }
    expectError(.unknownName, "'scale'") { _ = try values(#"{"name": "variance_scaling", "scales": 1}"#) }
    expectError(.invalidArgument, "scale is -1.0; expected above 0") {
      _ = try values(#"{"name": "variance_scaling", "scale": -1}"#)
    }
    expectError(.shapeMismatch, "two axes or more, got shape [3]") { _ = try values(#"{"name": "orthogonal"}"#, [3]) }
  }
}
