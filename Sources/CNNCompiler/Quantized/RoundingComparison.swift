import CNNCore
import CNNGraph
import CNNKernels

/// A network with roundings beside the same network without: one graph that computes both, sums up the noise of every step,
/// and what each rounding does to the logits.
///
/// The harm of a rounding is the product of what it changes and the gradient of half the logits' squared error with respect
/// to it. To first order all of them together are that squared error, so each has a share in it; one that cancels others has
/// a negative one.
public struct RoundingComparison: Sendable {
  /// Before the names of the parameters of the network without roundings.
  public static let exactPrefix = "exact."
  /// What computes both networks; its updates are the sums.
  public private(set) var graph: Graph
  /// By the name of a value of the rounded network, the parameter with the sums of the squares of signal and noise.
  public private(set) var noise: [String: String] = [:]
  /// By the name of a rounding or of a parameter, the parameter with its harm. Empty where an operation of the network has
  /// no gradient.
  public private(set) var harms: [String: String] = [:]

  /// - Parameters:
  ///   - network: the network with roundings.
  ///   - exact: the one without; its values have the names of those that are rounded.
  ///   - inputs: the types of the inputs, since gradients are of one size of batch.
  /// - Throws: `.invalidArgument` where `exact` lacks a value, `.shapeMismatch` where one has another shape.
  public init(_ network: Graph, exact: Graph, inputs types: [TensorType]) throws(CNNError) {
    let source = try network.taking(types).inferenceForm().removingDeadNodes()
    let exact = try exact.taking(types)
    let steps = QuantizedSteps(source)
    let isConstant = source.constants
    var rewriter = try GraphRewriter(source)
    var inputs: [Value] = []
    for input in source.inputs { inputs.append(try rewriter.image(of: input.value)) }
    _ = try rewriter.result.inline(exact, prefix: Self.exactPrefix, inputs: inputs)
    /// What a value is where nothing is rounded.
    func counterpart(_ value: Value, _ rewriter: GraphRewriter) throws(CNNError) -> Value? {
      if let node = source.node(defining: value), node.operation is FakeQuantize {
        return try counterpart(node.operands[0], rewriter)
      }
      if case .input = source.definition(of: value) { return try rewriter.image(of: value) }
      return rewriter.result.value(named: Self.exactPrefix + source.name(of: value))
    }
    for (position, node) in source.nodes.enumerated() {
      try rewriter.copy(node)
      let rounding = node.operation as? FakeQuantize, value = node.results[0]
      guard !steps.absorbed.contains(position), !isConstant[value.index], !(node.operation is Reshape),
        !(node.operation is Permute),
        source.type(of: value).element == .float32, rounding?.pixelLevels == nil
      else { continue }
      guard let exact = try counterpart(value, rewriter) else {
        if rounding == nil { continue }
        throw CNNError(.invalidArgument, "it has no '\(source.name(of: node.operands[0]))', which is rounded here")
      }
      let state = try rewriter.result.addState("\(node.name).noise", RoundingNoise.noiseCount)
      noise[node.name] = rewriter.result.name(of: state)
      let next = try rewriter.result.addSingle(
        SignalAndNoise(), [exact, rewriter.image(of: value), state], name: rewriter.result.uniqueName("noise"))
      try rewriter.result.addUpdate(of: state, to: next)
    }
    var both = rewriter.result
    var distance: Value?
    for output in source.outputs {
      let logits = source.logits(output.value)
      guard let exact = try counterpart(logits, rewriter) else { continue }
      let one = try both.addSingle(
        SquaredDistance(), [try rewriter.image(of: logits), exact], name: both.uniqueName("distance"))
      if let sum = distance {
        distance = try both.addSingle(Add(), [sum, one], name: both.uniqueName("distance"))
      } else {
        distance = one
      }
    }
    guard let distance else {
      throw CNNError(.invalidArgument, "it has no '\(source.outputs.first?.name ?? "")', which is given out here")
    }
    try both.setOutputs([("distance", distance)])
    graph = both
    var roundings: [(name: String, exact: Value, rounded: Value)] = []
    for node in source.nodes {
      guard let rounding = node.operation as? FakeQuantize, !isConstant[node.results[0].index],
        rounding.pixelLevels == nil
      else { continue }
      roundings.append(
        (node.name, try rewriter.image(of: node.operands[0]), try rewriter.image(of: node.results[0])))
    }
    for parameter in source.parameters where parameter.role.isLearned {
      guard let own = both.value(named: parameter.name),
        let exact = both.value(named: Self.exactPrefix + parameter.name)
      else { continue }
      guard both.type(of: own) == both.type(of: exact) else {
        throw CNNError(
          .shapeMismatch,
          "its '\(parameter.name)' has shape \(describe(both.type(of: exact).shape)); expected "
            + describe(parameter.shape))
      }
      roundings.append((parameter.name, exact, own))
    }
    let differentiated: (graph: Graph, gradients: [Value?], origins: [String: GradientOrigin])
    do throws(CNNError) {
      differentiated = try both.differentiating(distance, withRespectTo: roundings.map(\.rounded))
    } catch {
      // The noise of the steps is known all the same.
      guard error.code == .invalidArgument else { throw error }
      return
    }
    try addHarms(roundings, differentiated.graph, differentiated.gradients)
  }

  /// Adds what roundings do to the distance, each as soon as its gradient is known, so that none is kept.
  private mutating func addHarms(
    _ roundings: [(name: String, exact: Value, rounded: Value)], _ both: Graph, _ gradients: [Value?]
  ) throws(CNNError) {
    var byGradient: [Value: [Int]] = [:]
    for (index, gradient) in gradients.enumerated() {
      if let gradient { byGradient[gradient, default: []].append(index) }
    }
    var rewriter = try GraphRewriter(both), updates: [(Value, Value)] = []
    for node in both.nodes {
      try rewriter.copy(node)
      for index in node.results.flatMap({ byGradient[$0] ?? [] }) {
        guard let gradient = gradients[index] else { continue }
        let rounding = roundings[index]
        let state = try rewriter.result.addState("\(rounding.name).harm", RoundingNoise.harmCount)
        harms[rounding.name] = rewriter.result.name(of: state)
        let operands = [gradient, rounding.exact, rounding.rounded]
        var images: [Value] = []
        for operand in operands { images.append(try rewriter.image(of: operand)) }
        updates.append(
          (
            state,
            try rewriter.result.addSingle(
              RoundingHarm(), images + [state], name: rewriter.result.uniqueName("harm"))
          ))
      }
    }
    graph = try rewriter.finished()
    for (state, next) in updates { try graph.addUpdate(of: state, to: next) }
    graph = try graph.removingDeadNodes()
  }
}

extension Graph {
  /// For each value whether it depends on parameters alone.
  var constants: [Bool] {
    var result = (0..<valueCount).map { parameter(defining: Value(index: $0)) != nil }
    for node in nodes where !node.operands.isEmpty && node.operands.allSatisfy({ result[$0.index] }) {
      node.results.forEach { result[$0.index] = true }
    }
    return result
  }

  /// The network for inputs of these sizes, as floats.
  fileprivate func taking(_ types: [TensorType]) throws(CNNError) -> Graph {
    guard types.count == inputs.count else {
      throw CNNError(.invalidArgument, "it has \(inputs.count) inputs; expected \(types.count)")
    }
    var floats: [String: TensorType] = [:]
    for (input, type) in zip(inputs, types) { floats[input.name] = try TensorType(.float32, type.shape) }
    return try rebound(floats)
  }

  /// What a probability is computed from; the value itself where it is none.
  fileprivate func logits(_ value: Value) -> Value {
    guard let node = node(defining: value) else { return value }
    let isProbability =
      node.operation is Softmax || node.operation is LogSoftmax
      || (node.operation as? Activation)?.function == .sigmoid
    return isProbability ? node.operands[0] : value
  }

  /// A parameter with what is known so far.
  fileprivate mutating func addState(_ stem: String, _ count: Int) throws(CNNError) -> Value {
    try addParameter(Parameter(name: uniqueName(stem), shape: [count], role: .statistic, initializer: .zeros))
  }
}
