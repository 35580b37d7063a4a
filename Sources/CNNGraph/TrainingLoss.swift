// The protocol's own members are documented where it is declared.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// What training makes small: what each prediction costs, against its target.
public protocol TrainingLoss: Sendable {
  /// What messages call it.
  var title: String { get }
  /// The function, where it is one of the library's.
  var lossFunction: LossFunction? { get }
  /// Whether predictions are logits.
  var fromLogits: Bool { get }
  /// The type of the target for a prediction of this type.
  func targetType(for prediction: TensorType) throws(CNNError) -> TensorType
  /// Adds it to a graph.
  /// - Returns: a number for each prediction, `[N, ...]`.
  func add(to graph: inout Graph, prediction: Value, target: Value) throws(CNNError) -> Value
}

extension Loss: TrainingLoss {
  public var title: String { function.rawValue }
  public var lossFunction: LossFunction? { function }

  public func add(to graph: inout Graph, prediction: Value, target: Value) throws(CNNError) -> Value {
    try graph.addSingle(self, [prediction, target], name: graph.uniqueName("loss"))
  }
}

/// A loss of the user's own: a graph that reads `y_true` and `y_pred`, float32 of one shape, and gives a number for each
/// sample, `[N, ...]`, or one for the batch.
///
/// Its gradient is that of its operations. It is written for any number of samples: its first axis is the batch.
public struct GraphLoss: TrainingLoss, Equatable {
  /// What it is called.
  public let title: String
  private let graph: Graph

  /// The names of what it reads.
  static let inputs = ["y_true", "y_pred"]

  /// A loss computed by a graph.
  /// - Throws: `.invalidArgument` where the graph has other inputs, no output or several, or parameters.
  public init(_ title: String, _ graph: Graph) throws(CNNError) {
    guard graph.inputs.count == 2, Set(graph.inputs.map(\.name)) == Set(Self.inputs) else {
      throw CNNError(
        .invalidArgument,
        "the loss '\(title)' reads \(graph.inputs.map(\.name).joined(separator: ", ")); expected y_true and y_pred")
    }
    guard graph.outputs.count == 1, graph.parameters.isEmpty else {
      throw CNNError(
        .invalidArgument,
        "the loss '\(title)' has \(graph.outputs.count) outputs and \(graph.parameters.count) parameters; expected one "
          + "and none")
    }
    (self.title, self.graph) = (title, graph)
  }

  /// Reads "name" and "graph", the graph as JSON.
  package init(json: JSONObject) throws(CNNError) {
    try json.requireKeys(among: ["name", "graph"])
    try self.init(json.string("name"), Graph(json: .object(json.object("graph"))))
  }

  /// The form that `init(json:)` reads.
  package var json: JSON { ["name": .string(title), "graph": graph.json] }

  public static func == (a: GraphLoss, b: GraphLoss) -> Bool { a.json == b.json }

  public var lossFunction: LossFunction? { nil }
  public var fromLogits: Bool { false }
  public func targetType(for prediction: TensorType) -> TensorType { prediction }

  public func add(to graph: inout Graph, prediction: Value, target: Value) throws(CNNError) -> Value {
    let given = self.graph.inputs.map { $0.name == "y_true" ? target : prediction }
    do throws(CNNError) {
      var value = try graph.inline(self.graph, prefix: "\(graph.uniqueName("loss")).", inputs: given).output
      let shape = graph.type(of: value).shape, batch = graph.type(of: prediction).shape.first ?? 1
      if shape.first == batch { return value }
      guard graph.type(of: value).count == 1 else {
        throw CNNError(
          .shapeMismatch,
          "it gives the shape \(describe(shape)) for \(batch) samples; expected a number for each, or one")
      }
      if shape.count > 1 {
        let inner = Reduction(.sum, axes: Array(1..<shape.count), keepsAxes: false)
        value = try graph.addSingle(inner, [value], name: graph.uniqueName("loss.number"))
      }
      // Each sample has that number, so that weights count as they do elsewhere.
      let ones = try graph.addSingle(Fill(1, shape: [batch]), [], name: graph.uniqueName("loss.ones"))
      return try graph.addSingle(Multiply(), [ones, value], name: graph.uniqueName("loss.samples"))
    } catch {
      throw error.prefixed("the loss '\(title)'")
    }
  }
}
