import CNNCore
import CNNGraph

/// What a caller may choose about a model of its own layers.
public struct CustomModelOptions: Sendable, Configurable {
  /// The model's name.
  public var name = "custom"
  /// The seed of random weights.
  public var seed: UInt64 = 0
  /// Mean and deviation of pixels, one per channel; nil for ImageNet's where there are three channels, else 0 and 1.
  public var mean, deviation: [Double]?
  /// What is done to pictures: an object as `include/swiftcnn.h` describes it.
  package var preprocessing: JSONObject?
  /// The names of the classes.
  public var classNames: [String]?
  /// What predictions and training compute in, as `Model.setPrecision(_:)` sets it; nil for that of a model that the network
  /// is made of where that is not float32.
  public var precision: PrecisionPolicy?
  /// How many elements the parameters may have that are not shared with other models; nil for any number.
  public var elementLimit: Int?

  /// Options; those that are not given have their defaults.
  public init(
    name: String = "custom", seed: UInt64 = 0, mean: [Double]? = nil, deviation: [Double]? = nil,
    classNames: [String]? = nil, precision: PrecisionPolicy? = nil
  ) {
    (self.name, self.seed, self.mean, self.deviation, self.classNames) = (name, seed, mean, deviation, classNames)
    self.precision = precision
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_graph_model`.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.text("name", &name, "The model's name.")
    try options.seed(&seed, "Of random weights.")
    try PictureOptions.visit(&mean, &deviation, &preprocessing, &classNames, &options)
    try options.choice(
      "dtype", &precision, nullable: true,
      "What predictions and training compute in; null: what a model that the network is made of does.")
    try options.integer(
      "element_limit", &elementLimit, "How many elements the parameters may have that are no other model's; null: any.")
  }

  /// - Throws: `.invalidArgument` where these have more elements than are allowed.
  func check(_ parameters: some Sequence<Parameter>) throws(CNNError) {
    guard let elementLimit else { return }
    var left = elementLimit
    for parameter in parameters {
      let count = try Checked.product(parameter.shape, parameter.name)
      guard count <= left else {
        throw CNNError(
          .invalidArgument, "'\(parameter.name)': the parameters up to it have more than \(elementLimit) elements")
      }
      left -= count
    }
  }
}

extension Model {
  /// A model of a network with one value as its output; what the output does not need is left out.
  /// - Parameters:
  ///   - network: the layers.
  ///   - output: the value that the model gives.
  ///   - others: further outputs; such a model can predict, but not be trained.
  ///   - options: the model's name and what belongs to its pictures.
  public convenience init(
    _ network: NetworkBuilder, output: Value, others: [Value] = [], options: CustomModelOptions = CustomModelOptions()
  ) throws(CNNError) {
    var graph = network.builder.graph
    for output in [output] + others {
      guard (0..<graph.valueCount).contains(output.index), graph.node(defining: output) != nil else {
        throw CNNError(.invalidArgument, "the output is not the result of a layer")
      }
    }
    try graph.setOutputs(([output] + others).map { (graph.name(of: $0), $0) })
    graph = try graph.removingDeadNodes().removingDeadParameters()
    let names = Set(graph.parameters.map(\.name))
    try options.check(graph.parameters.filter { network.shared[$0.name] == nil })
    try self.init(
      uninitialized: graph, name: options.name, mean: options.mean, deviation: options.deviation,
      sharing: network.shared.filter { names.contains($0.key) })
    chosenPrecision = options.precision ?? network.precision
    try setPictureOptions(preprocessing: options.preprocessing, classNames: options.classNames)
    parameters.initialize(seed: options.seed)
  }
}
