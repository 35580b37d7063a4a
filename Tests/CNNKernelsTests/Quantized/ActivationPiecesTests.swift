import CNNCore
import Glibc
import Testing

@testable import CNNKernels

/// SiLU by pieces, beside the function itself.
@Suite struct ActivationPiecesTests {
  private static func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

  /// Levels as networks have them, and their pieces.
  private static func levels(highest: Float) throws -> ByteLevels {
    try #require(ByteLevels(lowest: -0.2784645, highest: highest))
  }

  @Test(arguments: [0.5, 1, 2, 3.7, 6, 10, 16, 20] as [Float])
  func levelsAreRoundedOnceWithinTheTolerance(_ highest: Float) throws {
    let levels = try Self.levels(highest: highest), pieces = try #require(ActivationPieces(siluTo: levels))
    var largest = 0.0
    for step in -4000...4000 {
      let x = Float(step) * 0.01
      let level = pieces.level(at: ActivationPieces.position(pieces.origin.addingProduct(x, pieces.density)))
      let exact = min(max(Self.silu(Double(x)) / Double(levels.scale) + Double(levels.zeroPoint), 0), 255)
      largest = max(largest, (Double(level) - exact).magnitude)
    }
    #expect(largest > 0.49 && largest <= 0.5 + ActivationPieces.tolerance + 0.02, "\(largest) levels")
  }

  @Test func theEndsOfTheNumbersAreThoseOfTheFunction() throws {
    let levels = try Self.levels(highest: 6), pieces = try #require(ActivationPieces(siluTo: levels))
    func level(_ x: Float) -> UInt8 { pieces.level(at: ActivationPieces.position(x)) }
    #expect(level(.infinity) == 255 && level(3e38) == 255 && level(32_767.4) == 255)
    for x in [-Float.infinity, -3e38, -32_768, .nan] { #expect(level(x) == levels.zeroPoint) }
    // Halves go to the even position.
    #expect(ActivationPieces.position(0.5) == 0 && ActivationPieces.position(1.5) == 2)
    #expect(ActivationPieces.position(-0.5) == 0 && ActivationPieces.position(-1.5) == -2)
  }

  @Test func levelsThatPiecesDoNotReachHaveNone() throws {
    // Too close together for positions, too far apart for parabolas, and with limits of their own.
    #expect(try ActivationPieces(siluTo: Self.levels(highest: 300)) == nil)
    let others: [(Float, UInt8, UInt8)] = [(1e-6, 0, 255), (0.4, 0, 255), (0.02, 1, 255), (0.02, 0, 254)]
    for (scale, minimum, maximum) in others {
      let levels = try #require(ByteLevels(scale: scale, zeroPoint: 10, minimum: minimum, maximum: maximum))
      #expect(ActivationPieces(siluTo: levels) == nil)
    }
  }

  @Test func coefficientsAreTheSameOnEveryProcessor() throws {
    // Written down: what a library's exp() would change by its last bit shows here.
    let pieces = try #require(ActivationPieces(siluTo: Self.levels(highest: 6)))
    let expected: [[Int16]] = [
      [425, 468, 241, 40, -30, -34, -23, -13, -3, -6, -11, -20, -32, -35, 11, 177],
      [130, 1027, 1981, 2444, 2511, 2446, 2377, 2331, -5, -11, -22, -44, -85, -151, -232, -229],
      [41, 597, 2088, 4306, 6789, 9269, 11681, 14034, 729, 721, 705, 671, 607, 490, 305, 88],
    ]
    #expect(pieces.coefficients == expected)
    #expect(pieces.density == 4673.734)
    #expect(pieces.origin == 4621.871)
  }
}
