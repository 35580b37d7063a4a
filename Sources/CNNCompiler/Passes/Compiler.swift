import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// From a network to the plans that run it: the passes in their order.
public enum Compiler {
  /// How an input of uint8 pixels becomes numbers.
  public struct PixelNormalization: Sendable, Equatable {
    /// One per channel, in units of the full range 0...1.
    public var mean, deviation: [Double]

    /// The normalisation `(x / 255 - mean) / deviation`.
    public init(mean: [Double], deviation: [Double]) { (self.mean, self.deviation) = (mean, deviation) }
  }

  /// The graph that predicts `outputs` (names of tensors; empty for the network's own) for inputs of these types.
  static func inferenceGraph(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, outputs: [String] = [],
    generation: CodeGeneration? = nil
  ) throws(CNNError) -> Graph {
    var passes: [Pass] = []
    if !outputs.isEmpty {
      // Before pixels are normalised, so that the input's own name means the normalised image.
      passes.append(Pass("select outputs") { graph throws(CNNError) in try graph.selectingOutputs(outputs) })
    }
    passes += [
      Pass("bind inputs") { graph throws(CNNError) in try graph.binding(inputs, normalization) },
      Pass("inference form") { graph throws(CNNError) in try graph.inferenceForm() },
      Pass("remove dead nodes") { graph throws(CNNError) in try graph.removingDeadNodes() },
    ]
    return try run(passes + placing(generation), on: network)
  }

  /// What makes a graph without training ready to be run; without a `generation` it is not placed yet.
  private static func placing(_ generation: CodeGeneration?) -> [Pass] {
    var passes = [
      Pass("fold normalization") { graph throws(CNNError) in try graph.foldingNormalization() },
      Pass("quantize") { graph throws(CNNError) in try graph.quantizedForm() },
    ]
    guard let generation else { return passes }
    if generation.library != nil {
      passes.append(Pass("normalize by convolution") { graph throws(CNNError) in try graph.normalizingByConvolution() })
    }
    passes.append(Pass("place") { graph throws(CNNError) in try graph.placed(generation) })
    return passes + generating(generation)
  }

  /// What follows placement.
  private static func generating(_ generation: CodeGeneration) -> [Pass] {
    let last = Pass("remove dead nodes") { graph throws(CNNError) in try graph.removingDeadNodes() }
    guard let library = generation.library else { return [last] }
    return [last, Pass("generate streams") { graph throws(CNNError) in try graph.generatingStreams(library) }]
  }

  /// The plan that predicts: with generated kernels where this processor can run them, and else with portable ones.
  /// - Parameter precision: what each layer is computed in where there is a kernel for it that is no slower; else float32.
  public static func inferencePlan(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, outputs: [String] = [], threads: Int,
    precision: Precision = .float32, target: CodeTarget? = .host
  ) throws(CNNError) -> Plan {
    try plan(threads: threads, precision: precision, target: target) { (generation) throws(CNNError) in
      try inferenceGraph(
        network, inputs: inputs, normalization: normalization, outputs: outputs, generation: generation)
    }
  }

  /// The plan of the loss without training; see `evaluationGraph`.
  public static func evaluationPlan(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, loss: any TrainingLoss, threads: Int,
    precision: Precision = .float32, target: CodeTarget? = .host
  ) throws(CNNError) -> Plan {
    try plan(threads: threads, precision: precision, target: target) { (generation) throws(CNNError) in
      try evaluationGraph(network, inputs: inputs, normalization: normalization, loss: loss, generation: generation)
    }
  }

  /// The plan that runs a network beside one without its roundings, and sums up what these change.
  public static func comparisonPlan(
    _ comparison: RoundingComparison, inputs: [TensorType], normalization: PixelNormalization, threads: Int,
    target: CodeTarget? = .host
  ) throws(CNNError) -> Plan {
    try plan(threads: threads, target: target) { (generation) throws(CNNError) in
      try run(
        [
          Pass("bind inputs") { graph throws(CNNError) in try graph.binding(inputs, normalization) },
          Pass("place") { graph throws(CNNError) in try graph.placed(generation) },
        ] + generating(generation), on: comparison.graph)
    }
  }

  /// A plan with generated kernels where there is a target and its code can be run, and else with portable ones.
  private static func plan(
    threads: Int, precision: Precision = .float32, target: CodeTarget?, isTight: Bool = false,
    preparing isKept: (Parameter) -> Bool = { _ in true },
    _ makeGraph: (CodeGeneration) throws(CNNError) -> Graph
  ) throws(CNNError) -> Plan {
    let workers = Workers(count: threads)
    if let target {
      let library = KernelLibrary(target)
      let graph = try makeGraph(CodeGeneration(library: library, workers: workers, precision: precision))
      if library.isUsable(workers: workers) {
        return try Plan(placed: graph, workers, isGenerated: true, isTight: isTight, preparing: isKept)
      }
    }
    return try Plan(
      placed: makeGraph(CodeGeneration(library: nil, workers: workers, precision: precision)), workers,
      isTight: isTight, preparing: isKept)
  }

  /// The graph of the loss without training, for evaluation: outputs are the prediction and `loss`.
  static func evaluationGraph(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, loss: any TrainingLoss,
    generation: CodeGeneration? = nil
  ) throws(CNNError) -> Graph {
    try run(
      [
        Pass("bind inputs") { graph throws(CNNError) in try graph.binding(inputs, normalization) },
        Pass("inference form") { graph throws(CNNError) in try graph.inferenceForm() },
        Pass("add loss") { graph throws(CNNError) in try graph.addingLoss(loss) },
        Pass("add regularization") { graph throws(CNNError) in try graph.addingRegularization() },
        Pass("fuse softmax into loss") { graph throws(CNNError) in try graph.fusingSoftmaxIntoLoss() },
        Pass("remove dead nodes") { graph throws(CNNError) in try graph.removingDeadNodes() },
      ] + placing(generation), on: network)
  }

  /// The plan of one training step; see `trainingGraph`.
  /// - Parameters:
  ///   - memory: what is kept from the forward to the backward pass; normally, portable kernels keep everything.
  ///   - precision: what products are of and images are stored as, where that is no slower; else float32. Parameters, their
  ///     gradients, statistics and all sums are float32.
  /// - Throws: `.invalidArgument` for a limit of memory that cannot be met, with the least that is found.
  public static func trainingPlan(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, loss: any TrainingLoss,
    memory: TrainingMemory = .normal, precision: Precision = .float32, threads: Int, target: CodeTarget? = .host
  ) throws(CNNError) -> Plan {
    // Weights that are new at every step are not kept prepared: it would only take memory.
    try plan(
      threads: threads, precision: precision, target: target, isTight: memory != .normal,
      preparing: { memory == .normal && !$0.isTrainable },
      { (generation) throws(CNNError) in
        try trainingGraph(
          network, inputs: inputs, normalization: normalization, loss: loss, memory: memory, generation: generation)
      })
  }

  /// The graph of one training step, before it is placed: outputs are the prediction, `loss`, and `gradient:NAME` for
  /// every trainable parameter that the loss depends on. Statistics are updated by the run; weights are the optimizer's business.
  public static func trainingGraph(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, loss: any TrainingLoss
  ) throws(CNNError) -> Graph {
    try run(trainingPasses(inputs, normalization, loss, isGenerated: false), on: network)
  }

  /// The same, placed.
  static func trainingGraph(
    _ network: Graph, inputs: [TensorType], normalization: PixelNormalization, loss: any TrainingLoss,
    memory: TrainingMemory = .normal, generation: CodeGeneration
  ) throws(CNNError) -> Graph {
    var passes = trainingPasses(inputs, normalization, loss, isGenerated: generation.library != nil)
    passes += [
      Pass("place") { graph throws(CNNError) in try graph.placed(generation) },
      Pass("remove dead nodes") { graph throws(CNNError) in try graph.removingDeadNodes() },
    ]
    var last: [Pass] = []
    if let library = generation.library {
      passes.append(
        Pass("fuse pooling gradients") { graph throws(CNNError) in
          try graph.fusingPoolingGradients(library, generation.workers)
        })
      // What was only read to be reordered.
      passes.append(Pass("remove dead nodes") { graph throws(CNNError) in try graph.removingDeadNodes() })
      last = [
        Pass("fuse streams") { graph throws(CNNError) in try graph.fusingStreams(for: library.target) },
        Pass("generate streams") { graph throws(CNNError) in try graph.generatingStreams(library) },
      ]
    }
    if generation.library != nil || memory != .normal {
      passes.append(
        Pass("rematerialize") { graph throws(CNNError) in
          try graph.rematerializing(memory, generation.workers) { (candidate, isTight) throws(CNNError) in
            let graph = try run(last, on: candidate)
            return try Plan(placed: graph, generation.workers, isTight: isTight, preparing: { _ in false })
              .arenaByteCount
          }
        })
    }
    return try run(passes + last, on: network)
  }

  private static func trainingPasses(
    _ inputs: [TensorType], _ normalization: PixelNormalization, _ loss: any TrainingLoss, isGenerated: Bool
  ) -> [Pass] {
    lossPasses(inputs, normalization, loss, isGenerated: isGenerated) + [
      Pass("differentiate") { graph throws(CNNError) in try graph.addingParameterGradients().graph },
      Pass("remove dead nodes") { graph throws(CNNError) in try graph.removingDeadNodes() },
    ]
  }

  /// The graph of one training step before it is placed, as `plan` was made of it; without the gradients, and with them.
  static func trainingSource(
    of plan: Plan, _ network: Graph, _ inputs: [TensorType], _ normalization: PixelNormalization,
    _ loss: any TrainingLoss
  ) throws(CNNError) -> (forward: Graph, whole: Graph, origins: [String: GradientOrigin]) {
    let forward = try run(lossPasses(inputs, normalization, loss, isGenerated: plan.isGenerated), on: network)
    let (whole, origins) = try forward.addingParameterGradients()
    return (forward, whole, origins)
  }

  /// Up to the loss, whose gradients follow.
  private static func lossPasses(
    _ inputs: [TensorType], _ normalization: PixelNormalization, _ loss: any TrainingLoss, isGenerated: Bool
  ) -> [Pass] {
    var passes = [
      Pass("bind inputs") { graph throws(CNNError) in try graph.binding(inputs, normalization) },
      Pass("training form") { graph throws(CNNError) in try graph.trainingForm() },
      Pass("add loss") { graph throws(CNNError) in try graph.addingLoss(loss) },
      Pass("add regularization") { graph throws(CNNError) in try graph.addingRegularization() },
      Pass("fuse softmax into loss") { graph throws(CNNError) in try graph.fusingSoftmaxIntoLoss() },
    ]
    if isGenerated {
      passes += [
        // What is left of these after "training form" is frozen.
        Pass("fold normalization") { graph throws(CNNError) in
          try graph.foldingNormalization(learned: graph.trainableParameters.map(\.value))
        },
        Pass("normalize by convolution") { graph throws(CNNError) in try graph.normalizingByConvolution() },
      ]
    }
    return passes + [
      // Before differentiation, so that one gradient rule covers the fused operation.
      Pass("fuse normalization") { graph throws(CNNError) in
        try graph.fusingNormalization {
          $0.function == .relu || isGenerated && VectorActivation($0) != nil && (2...4).contains($1.rank)
        }
      }
    ]
  }

  /// The name of the output with a parameter's gradient.
  public static func gradientName(_ parameter: String) -> String { "gradient:\(parameter)" }

  private struct Pass {
    let name: String
    let rewrite: (Graph) throws(CNNError) -> Graph

    init(_ name: String, _ rewrite: @escaping (Graph) throws(CNNError) -> Graph) {
      (self.name, self.rewrite) = (name, rewrite)
    }
  }

  private static func run(_ passes: [Pass], on network: Graph) throws(CNNError) -> Graph {
    var graph = network
    for pass in passes {
      graph = try pass.rewrite(graph)
      if Graph.verifiesPasses {
        do throws(CNNError) { try graph.verify() } catch { throw error.prefixed("after the pass '\(pass.name)'") }
      }
    }
    return graph
  }
}

extension Graph {
  /// Gives the network's inputs the caller's types; pixels are normalised first.
  fileprivate func binding(_ types: [TensorType], _ normalization: Compiler.PixelNormalization) throws(CNNError)
    -> Graph
  {
    guard types.count == inputs.count, !types.isEmpty else {
      throw CNNError(.invalidArgument, "the network has \(inputs.count) inputs; \(types.count) given")
    }
    var floats: [String: TensorType] = [:]
    for (input, type) in zip(inputs, types) {
      guard type.element == .float32 || type.element == .uint8 else {
        throw CNNError(
          .shapeMismatch,
          "the input '\(input.name)' has element type \(type.element.rawValue); expected float32, or uint8 pixels")
      }
      floats[input.name] = try TensorType(.float32, type.shape)
    }
    var graph = try rebound(floats)
    for (input, type) in zip(inputs, types) where type.element == .uint8 {
      graph = try graph.acceptingPixels(
        input: input.name, mean: normalization.mean, deviation: normalization.deviation)
    }
    return graph
  }

  /// The parameters whose gradients a training step computes.
  fileprivate var trainableParameters: [(name: String, value: Value)] {
    parameters.filter(\.isTrainable).compactMap { parameter in
      value(named: parameter.name).map { (parameter.name, $0) }
    }
  }

  /// Adds the gradients of the last output, the loss, as outputs.
  fileprivate func addingParameterGradients() throws(CNNError) -> (graph: Graph, origins: [String: GradientOrigin]) {
    guard let loss = outputs.last else {
      throw CNNError(.internalFault, "there is no loss to differentiate")
    }
    let trainable = trainableParameters
    var (graph, gradients, origins) = try differentiating(loss.value, withRespectTo: trainable.map(\.value))
    for (parameter, gradient) in zip(trainable, gradients) {
      if let gradient { try graph.addOutput(Compiler.gradientName(parameter.name), gradient) }
    }
    return (graph, origins)
  }
}
