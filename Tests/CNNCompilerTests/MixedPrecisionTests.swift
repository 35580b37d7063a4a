import CNNCore
import CNNKernels
import Testing
import TileSupport
import X86Assembler

@testable import CNNCompiler
@testable import CNNGraph

/// Training steps whose products are of bfloat16, against the same in float32 by portable kernels.
@Suite struct MixedPrecisionTests {
  /// Targets that run here and on which products of bfloat16 are fast.
  static let targets =
    (Processor.host.instructionSet.contains(.avx512BF16) ? [CodeTarget(.avx512BF16, bfloat16Rate: 1)] : [])
    + (Tiles.instructionSet.map { [CodeTarget($0)] } ?? [])

  static func plan(
    _ network: Graph, _ precision: Precision, batch: Int, memory: TrainingMemory = .normal, threads: Int = 2,
    _ target: CodeTarget?
  ) throws -> Plan {
    try Compiler.trainingPlan(
      network, inputs: [TensorType(.uint8, [batch, 17, 19, 3])], normalization: GeneratedPlanTests.normalization,
      loss: Loss(.sparseCategoricalCrossEntropy), memory: memory, precision: precision, threads: threads, target: target
    )
  }

  /// How far numbers are from others, as a share of these together.
  static func distance(_ a: [Float], from b: [Float]) -> Double {
    func squares(_ x: [Float]) -> Double { x.reduce(0) { $0 + Double($1) * Double($1) } }
    let difference = zip(a, b).map { $0 - $1 }
    return (squares(difference) / max(squares(b), 1e-30)).squareRoot()
  }

  /// Networks, and how far gradients may be: where maxima and corners of functions follow each other, some are others.
  static let networks = [(GeneratedPlanTests.network, 0.5), (GeneratedPlanTests.residualNetwork, 0.05)]

  /// Losses, gradients and statistics differ by roundings, of one part in 512 at most in each layer.
  @Test(arguments: targets, [0, 1])
  func stepsAreNearThoseInFloat32(_ target: CodeTarget, _ network: Int) throws {
    let (make, tolerance) = Self.networks[network], network = try make()
    for (batch, threads, memory) in [(3, 2, TrainingMemory.normal), (2, 3, .low), (1, 1, .normal)] {
      let plan = try Self.plan(network, .bfloat16, batch: batch, memory: memory, threads: threads, target)
      try plan.graph.verify()
      let found = try GeneratedPlanTests.outputs(of: plan)
      let expected = try GeneratedPlanTests.outputs(of: Self.plan(network, .float32, batch: batch, nil))
      for (name, (a, b)) in zip(plan.graph.outputs.map(\.name), zip(found, expected)) {
        // The gradient of a bias before a normalisation is rounding noise around 0.
        if name == "gradient:stem.bias" { continue }
        let distance = Self.distance(a, from: b)
        #expect(
          distance < (name.hasPrefix("gradient") ? tolerance : 0.01), "\(name), batch \(batch), \(threads) threads")
      }
      #expect(found != expected)
    }
  }

  /// Parameters, gradients and statistics are float32; the images between are not.
  @Test(arguments: targets) func imagesAreRoundedAndParametersAreNot(_ target: CodeTarget) throws {
    let graph = try Self.plan(GeneratedPlanTests.network(), .bfloat16, batch: 3, target).graph
    for output in graph.outputs { #expect(graph.type(of: output.value).element == .float32, "\(output.name)") }
    for update in graph.updates { #expect(graph.type(of: update.value).element == .float32) }
    let elements = Dictionary(
      grouping: graph.nodes.filter { ($0.operation as? Placed)?.lowered.cost.operations ?? 0 > 0 }
    ) {
      graph.type(of: $0.operands[0]).element
    }
    #expect(elements.keys.contains(.bfloat16), "\(elements.mapValues { $0.map(\.name) })")
  }
}
