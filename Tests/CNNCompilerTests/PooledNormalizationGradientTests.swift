import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNCompiler

/// The gradients of a stem's pooling and normalisation in one step, against those in two.
@Suite struct PooledNormalizationGradientTests {
  /// A stem of so many channels, and what tells images apart.
  private static func network(_ channels: Int) throws -> Graph {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [17, 19, 3])
    x = try builder.convolution(
      x, "stem", outputChannels: channels, kernel: (3, 3), stride: (1, 1), padding: .all(1))
    x = try builder.activation(.relu, try builder.batchNormalization(x, "stem.bn"), "stem.relu")
    x = try builder.apply(Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .all(1)), x, name: "largest")
    x = try builder.convolution(x, "next", outputChannels: 64, kernel: (3, 3), padding: .all(1))
    x = try builder.apply(GlobalPooling2D(.average, keepsAxes: false), x, name: "pool")
    x = try builder.apply(Softmax(), builder.dense(x, "fc", units: 5), name: "probabilities")
    try builder.graph.addOutput("probabilities", x)
    return builder.graph
  }

  /// A plan, and whether the two gradients are one step in it.
  private static func plan(
    _ network: Graph, _ precision: Precision, _ target: CodeTarget, batch: Int, threads: Int, isFused: Bool
  ) throws -> (Plan, hasStep: Bool) {
    let workers = Workers(count: threads), library = KernelLibrary(target)
    let source = try Compiler.trainingGraph(
      network, inputs: [TensorType(.float32, [batch, 17, 19, 3])], normalization: GeneratedPlanTests.normalization,
      loss: Loss(.sparseCategoricalCrossEntropy))
    var graph = try source.placed(CodeGeneration(library: library, workers: workers, precision: precision))
      .removingDeadNodes()
    if isFused { graph = try graph.fusingPoolingGradients(library, workers).removingDeadNodes() }
    graph = try graph.fusingStreams(for: target).generatingStreams(library)
    try graph.verify()
    #expect(library.isUsable(workers: workers))
    let hasStep = graph.nodes.contains { ($0.operation as? Placed)?.operation is PooledNormalizationGradient }
    return (try Plan(placed: graph, workers, isGenerated: true, preparing: { _ in false }), hasStep)
  }

  private static let kinds: [(precision: Precision, target: CodeTarget)] =
    GeneratedPlanTests.targets.map { (.float32, $0) } + MixedPrecisionTests.targets.map { (.bfloat16, $0) }

  /// The same bits; of bfloat16 wherever its blocks are whole.
  @Test(arguments: kinds.indices, [48, 64, 96])
  func gradientsAreThoseOfTwoSteps(_ kind: Int, _ channels: Int) throws {
    let (precision, target) = Self.kinds[kind], network = try Self.network(channels)
    for (batch, threads) in [(5, 2), (1, 1), (3, 3)] {
      let one = try Self.plan(network, precision, target, batch: batch, threads: threads, isFused: true)
      let two = try Self.plan(network, precision, target, batch: batch, threads: threads, isFused: false)
      #expect(one.hasStep == (precision == .float32 || channels % 32 == 0) && !two.hasStep)
      let (found, expected) = (
        try GeneratedPlanTests.outputs(of: one.0), try GeneratedPlanTests.outputs(of: two.0)
      )
      #expect(found == expected, "\(precision), \(channels) channels, batch \(batch), \(threads) threads")
    }
  }
}
