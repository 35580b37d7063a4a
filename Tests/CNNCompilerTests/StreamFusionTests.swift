import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNCompiler

/// Steps that are made in common passes, against the same one after the other.
@Suite struct StreamFusionTests {
  private static let kinds: [(precision: Precision, target: CodeTarget)] =
    GeneratedPlanTests.targets.map { (.float32, $0) } + MixedPrecisionTests.targets.map { (.bfloat16, $0) }

  /// What is normalised again and the gradient of that are one step, which takes no more memory, but for gaps; numbers differ
  /// by the order of sums, and of bfloat16 by roundings of what is handed over.
  @Test(arguments: kinds.indices, 1...3)
  func whatIsNormalisedAgainIsMadeWithItsGradient(_ kind: Int, _ threads: Int) throws {
    let (precision, target) = Self.kinds[kind], workers = Workers(count: threads), library = KernelLibrary(target)
    let source = try Compiler.trainingGraph(
      GeneratedPlanTests.network(), inputs: [TensorType(.float32, [3, 17, 19, 3])],
      normalization: GeneratedPlanTests.normalization, loss: Loss(.sparseCategoricalCrossEntropy))
    let graph = try source.placed(CodeGeneration(library: library, workers: workers, precision: precision))
      .removingDeadNodes().rematerializing(.normal, workers) { _, _ in 0 }
    let fused = try graph.fusingStreams(for: target)
    try fused.verify()
    let members = fused.nodes.compactMap { ((($0.operation as? Placed)?.operation) as? FusedStreams)?.members }
    #expect(members.contains { $0.contains { $0.again != nil } && $0.contains { $0.name.hasSuffix("gradient") } })
    let (one, two) = (try fused.generatingStreams(library), try graph.generatingStreams(library))
    #expect(library.isUsable(workers: workers))
    func plan(_ graph: Graph) throws -> Plan {
      try Plan(placed: graph, workers, isGenerated: true, preparing: { _ in false })
    }
    let (together, apart) = (try plan(one), try plan(two))
    #expect(Double(together.arenaByteCount) <= 1.02 * Double(apart.arenaByteCount))
    if precision == .float32 {
      let (found, expected) = (
        try GeneratedPlanTests.outputs(of: together), try GeneratedPlanTests.outputs(of: apart)
      )
      for (name, (a, b)) in zip(together.graph.outputs.map(\.name), zip(found, expected)) {
        // The gradient of a bias before a normalisation is rounding noise around 0.
        if name != "gradient:stem.bias" { expectClose(a, b, 1e-4, "\(name)", floor: 1e-4) }
      }
    }
  }
}
