import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Compiler {
  /// How long the steps of a prediction take, in cycles of each worker, as placement expects: by the name of each step, in
  /// the order in which they run. No code is generated. 0 for what is not chosen between several.
  public static func predictedCycles(
    of network: Graph, inputs: [TensorType], normalization: PixelNormalization, threads: Int,
    precision: Precision = .float32, target: CodeTarget? = .host
  ) throws(CNNError) -> [(name: String, cycles: Double)] {
    var generation = CodeGeneration(
      library: target.map { KernelLibrary($0) }, workers: Workers(count: threads), precision: precision)
    generation.report = nil
    return try inferenceGraph(network, inputs: inputs, normalization: normalization, generation: generation)
      .nodes.map { ($0.name, ($0.operation as? Placed)?.lowered.cost.cycles ?? 0) }
  }
}
