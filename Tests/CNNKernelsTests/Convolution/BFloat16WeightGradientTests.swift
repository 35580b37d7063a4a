import CNNCore
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNKernels

/// Gradients of filters of which the image, the result's gradient or both are stored as bfloat16: the reference on the same
/// numbers, whose products float32 holds exactly, within the bound of its sums.
@Suite(.enabled(if: BFloat16ProductTests.hasVectors)) struct BFloat16WeightGradientTests {
  static let target = CodeTarget(.avx512BF16, bfloat16Rate: 1)
  typealias Kind = BlockedConvolutionTests.Kind

  private static let types: [(input: ElementType, gradient: ElementType)] = [
    (.bfloat16, .bfloat16), (.float32, .bfloat16), (.bfloat16, .float32),
  ]
  private static let shapes =
    BlockedWeightGradientTests.shapes + ["n4 h14 w14 ic48 oc80 kh3 kw3 pt1 pl1 pb1 pr1", "n2 h1 w1 ic33 oc65"]

  /// Checks a request of all types of which some algorithm takes it.
  private static func check(_ request: WeightGradientRequest, seed: UInt64) throws -> Bool {
    var isRight = true
    for (input, gradient) in types where request.input == .blocked || input == .float32 {
      var request = request
      (request.inputElement, request.gradientElement) = (input, gradient)
      if input != gradient, WeightGradientAlgorithms.best(request, target) == nil { continue }
      isRight = try BlockedWeightGradientTests.check(request, target, seed: seed) && isRight
    }
    return isRight
  }

  @Test(arguments: Kind.allCases)
  func gradientsEqualTheReference(_ kind: Kind) throws {
    var generator = PhiloxGenerator(seed: 12, stream: UInt64(Kind.allCases.firstIndex(of: kind) ?? 0))
    for index in 0..<24 {
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: kind)
      let request = WeightGradientRequest(
        g, input: kind == .picture ? .picture(.number) : .blocked, workers: Workers(count: 1 + index % 3))
      if try !Self.check(request, seed: UInt64(index)) { return }
    }
  }

  /// By tiles, which most tests emulate.
  @Test(.enabled(if: Tiles.instructionSet != nil), arguments: 0..<4)
  func tilesEqualTheReference(_ part: Int) throws {
    var generator = PhiloxGenerator(seed: 13, stream: UInt64(part))
    let tiles = TileWeightGradientAlgorithm()
    for index in 0..<20 {
      let kind = [Kind.any, .pointwise, .threeByThree, .grouped][index % 4]
      let g = try BlockedConvolutionTests.randomGeometry(&generator, kind: kind)
      // Small caches, so that there are several panels.
      let target = CodeTarget(Tiles.instructionSet ?? [], secondCacheByteCount: 1 << (14 + index % 7))
      let request = WeightGradientRequest(
        g, inputElement: .bfloat16, gradientElement: .bfloat16, workers: Workers(count: 1 + index % 3))
      if tiles.refusal(request, target) != nil { continue }
      let run = try BlockedWeightGradientTests.run(request, tiles, target, seed: UInt64(index))
      let description = "\(request), \(run.error)"
      #expect(run.error < 1e-5 && run.isGuardIntact && run.isRepeatable, "\(description)")
      if !(run.error < 1e-5) { return }
    }
  }

  @Test(.enabled(if: Tiles.instructionSet != nil), arguments: shapes)
  func namedShapesByTilesEqualTheReference(_ shape: String) throws {
    let target = CodeTarget(Tiles.instructionSet ?? []), tiles = TileWeightGradientAlgorithm()
    let request = WeightGradientRequest(
      try ConvolutionCase(shape).geometry, inputElement: .bfloat16, gradientElement: .bfloat16,
      workers: Workers(count: 2))
    if tiles.refusal(request, target) != nil { return }
    let run = try BlockedWeightGradientTests.run(request, tiles, target, seed: 5)
    #expect(run.error < 1e-5 && run.isGuardIntact && run.isRepeatable, "\(run.error)")
  }

  @Test(arguments: shapes)
  func namedShapesEqualTheReference(_ shape: String) throws {
    let g = try ConvolutionCase(shape).geometry
    for workers in 1...3 { _ = try Self.check(WeightGradientRequest(g, workers: Workers(count: workers)), seed: 5) }
  }
}
