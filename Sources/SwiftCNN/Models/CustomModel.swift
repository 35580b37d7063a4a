import CNNCore
import CNNGraph

/// What a caller may choose about a model of its own graph.
public struct CustomModelOptions: Sendable {
  /// The model's name.
  public var name = "custom"
  /// The seed of random weights.
  public var seed: UInt64 = 0
  /// Mean and deviation of pixels, one per channel; nil for ImageNet's where there are three channels, else 0 and 1.
  public var mean, deviation: [Double]?

  /// The defaults.
  public init() {}

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_graph_model`.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json) { (options) throws(CNNError) in
      name = try options.take("name", JSONObject.optionalString) ?? name
      seed = try options.seed("seed")
      mean = try options.take("mean", JSONObject.optionalNumbers)
      deviation = try options.take("std", JSONObject.optionalNumbers)
    }
  }
}

extension Model {
  /// A model of a graph with one value as its output; what the output does not need is left out.
  public convenience init(_ graph: Graph, output: Value, options: CustomModelOptions = CustomModelOptions())
    throws(CNNError)
  {
    guard graph.node(defining: output) != nil else {
      throw CNNError(.invalidArgument, "the output is not the result of a layer")
    }
    var network = graph
    try network.setOutputs([(graph.name(of: output), output)])
    try self.init(
      network.removingDeadNodes().removingDeadParameters(), name: options.name, seed: options.seed,
      mean: options.mean, deviation: options.deviation)
  }
}
