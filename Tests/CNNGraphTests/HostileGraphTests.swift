import CNNCore
import Testing

@testable import CNNGraph

@Suite struct HostileGraphTests {
  private static let input = #"{"name":"x","element":"float32","shape":[1,4,4,3]}"#

  /// A graph with these parts; the rest is empty.
  private static func text(
    inputs: String = input, parameters: String = "", nodes: String = "", outputs: String = ""
  ) -> String {
    #"{"inputs":[\#(inputs)],"parameters":[\#(parameters)],"nodes":[\#(nodes)],"outputs":[\#(outputs)]}"#
  }

  private static func node(_ operation: String, _ attributes: String = "{}", operands: String = #""x""#) -> String {
    #"{"name":"n","operation":"\#(operation)","attributes":\#(attributes),"operands":[\#(operands)]}"#
  }

  static let faults: [(text: String, message: String)] = [
    ("[]", "expected an object"),
    ("null", "expected an object"),
    ("{}", "member 'inputs' is missing"),
    (#"{"inputs":[],"parameters":[],"nodes":[],"outputs":[],"extra":1}"#, "extra"),
    (#"{"inputs":3,"parameters":[],"nodes":[],"outputs":[]}"#, "member 'inputs': expected an array"),
    (text(inputs: "7"), "'inputs' has an element that is not an object"),
    (text(inputs: #"{"name":"x","element":"float16","shape":[1]}"#), "unknown element 'float16'"),
    (text(inputs: #"{"name":"x","element":"float32","shape":[1,0]}"#), "an axis smaller than 1"),
    (text(inputs: #"{"name":"x","element":"float32","shape":[1,-9223372036854775808]}"#), "an axis smaller than 1"),
    (text(inputs: #"{"name":"x","element":"float32","shape":[1.5]}"#), "shape"),
    (text(inputs: #"{"name":"x","element":"float32","shape":[1,1,1,1,1,1,1,1,1]}"#), "9 axes"),
    (text(inputs: #"{"name":"","element":"float32","shape":[1]}"#), "empty"),
    (text(inputs: input + "," + input), "the name 'x' is given twice"),
    (
      text(parameters: #"{"name":"x","shape":[1],"role":"weight","initializer":"zeros"}"#),
      "the name 'x' is given twice"
    ),
    (text(parameters: #"{"name":"w","shape":[1],"role":"weigth","initializer":"zeros"}"#), "did you mean 'weight'?"),
    (text(parameters: #"{"name":"w","shape":[1],"role":"weight","initializer":"zero"}"#), "did you mean 'zeros'?"),
    (
      text(
        parameters: #"{"name":"w","shape":[1],"role":"weight","initializer":"zeros","regularizer":{"l1":-1,"l2":0}}"#),
      "l1 is -1.0; expected a finite number of 0 or more"
    ),
    (
      text(
        parameters: #"{"name":"w","shape":[1],"role":"weight","initializer":"zeros","regularizer":{"l1":1e39,"l2":0}}"#),
      "l1 is 1e+39"
    ),
    (
      text(parameters: #"{"name":"w","shape":[1],"role":"weight","initializer":"zeros","regularizer":{"l1":1}}"#),
      "member 'l2' is missing"
    ),
    (
      text(parameters: #"{"name":"w","shape":[1],"role":"weight","initializer":"zeros","regularizer":[1,2]}"#),
      "regularizer"
    ),
    (text(nodes: node("regularization", #"{"l1":-0.5}"#)), "l1 is -0.5"),
    (text(nodes: node("loss", #"{"function":"huber","delta":-1}"#, operands: #""x","x""#)), "delta is -1"),
    (text(nodes: node("loss", #"{"function":"log_cosh","delta":1}"#, operands: #""x","x""#)), "'delta' is not known"),
    (text(nodes: node("sofmax")), "unknown operation 'sofmax'; did you mean 'softmax'?"),
    (text(nodes: node("")), "unknown operation ''"),
    (text(nodes: node("softmax", #"{"axis":1}"#)), "softmax: attribute 'axis' is not known here"),
    (text(nodes: node("activation")), "attribute 'function' is missing"),
    (text(nodes: node("activation", #"{"function":"rely"}"#)), "did you mean 'relu'?"),
    (text(nodes: node("activation", #"{"function":7}"#)), "attribute 'function' is 7; expected a string"),
    (text(nodes: node("activation", #"{"function":{"a":1}}"#)), "neither a number"),
    (text(nodes: node("activation", #"{"function":"relu","alpha":1}"#)), "attribute 'alpha' is not known here"),
    (
      text(nodes: node("activation", #"{"function":"elu","alpha":"x"}"#)), "attribute 'alpha' is 'x'; expected a finite"
    ),
    (
      text(nodes: node("activation", #"{"function":"elu","alpha":1e300}"#)),
      "alpha is 1e+300; expected a finite float32"
    ),
    (
      text(nodes: node("activation", #"{"function":"clip","minimum":2,"maximum":1}"#)),
      "minimum is 2.0 and maximum 1.0; expected no more"
    ),
    (
      text(nodes: node("activation_gradient", #"{"function":"elu","alpha":-1e300}"#, operands: #""x","x""#)),
      "alpha is -1e+300"
    ),
    (text(nodes: node("rescaling", #"{"scale":[1,2]}"#)), "scale has 2 numbers; expected 1, or 3"),
    (text(nodes: node("rescaling", #"{"offset":[]}"#)), "offset has 0 numbers"),
    (text(nodes: node("rescaling", #"{"offset":[1,1e39,1]}"#)), "offset is 1e+39; expected a finite float32"),
    (text(nodes: node("rescaling", #"{"scale":"x"}"#)), "attribute 'scale' is 'x'; expected a list"),
    (text(nodes: node("random_flip", #"{"horizontal":false,"vertical":false}"#)), "both false"),
    (text(nodes: node("random_flip", #"{"horizontal":1}"#)), "attribute 'horizontal' is 1; expected true or false"),
    (text(nodes: node("random_crop", #"{"height":2}"#)), "attribute 'width' is missing"),
    (text(nodes: node("random_crop", #"{"height":0,"width":2}"#)), "height and width are 0 and 2"),
    (
      text(nodes: node("random_crop", #"{"height":2,"width":9223372036854775807}"#)),
      "the input has 4 rows and 4 columns"
    ),
    (
      text(nodes: node("random_crop_gradient", #"{"height":2,"width":2,"input_shape":[1,-1,4,3]}"#)),
      "an axis smaller than 1"
    ),
    (text(nodes: node("prelu", operands: #""x","x""#)), "the slope has shape [1, 4, 4, 3]; expected the last axes"),
    (text(nodes: node("sum_leading_axes", #"{"kept":0}"#)), "of which 0 should stay"),
    (text(nodes: node("sum_leading_axes", #"{"kept":5}"#)), "the input has 4 axes, of which 5"),
    (text(nodes: node("sum_leading_axes", #"{"kept":-9223372036854775808}"#)), "should stay"),
    (text(nodes: node("prelu_input_gradient", operands: #""x","x","x""#)), "the slope has shape"),
    (text(nodes: node("log_softmax_gradient")), "1 operands given; expected 2"),
    (text(nodes: node("dropout", #"{"rate":"much"}"#)), "attribute 'rate' is 'much'; expected a finite number"),
    (text(nodes: node("dropout", #"{"rate":2}"#)), "the rate is 2.0"),
    (text(nodes: node("pool2d", #"{"kind":"max","kernel":[2]}"#)), "expected 2 whole numbers"),
    (text(nodes: node("pool2d", #"{"kind":"max","kernel":[0,1]}"#)), "kernel is [0, 1]"),
    (text(nodes: node("pool2d", #"{"kind":"max","kernel":[9223372036854775807,1]}"#)), "kernel"),
    (text(nodes: node("zero_pad", #"{"padding":[9223372036854775807,0,0,0]}"#)), "padding"),
    (text(nodes: node("slice", #"{"start":-1,"length":1}"#)), "lie outside"),
    (text(nodes: node("reshape", #"{"shape":[-9223372036854775808,-1]}"#)), "does not hold"),
    (text(nodes: node("softmax", operands: #""y""#)), "'y' is used before it is defined"),
    (text(nodes: node("softmax", operands: #""n""#)), "'n' is used before it is defined"),
    (text(nodes: node("softmax", operands: "")), "0 operands given; expected 1"),
    (text(nodes: node("softmax", operands: #""x","x""#)), "2 operands given; expected 1"),
    (text(nodes: node("softmax") + "," + node("softmax")), "the name 'n' is given twice"),
    (text(nodes: #"{"name":"n","operation":"softmax","operands":["x"]}"#), "member 'attributes' is missing"),
    (text(nodes: #"{"name":"n","operation":"softmax","attributes":{},"operands":"x"}"#), "operands"),
    (text(outputs: #"{"name":"y","value":"z"}"#), "'z' is used before it is defined"),
    (text(outputs: #"{"name":"y","value":"x"},{"name":"y","value":"x"}"#), "the output 'y' is given twice"),
  ]

  @Test(arguments: faults) func aFaultIsNamed(_ text: String, _ message: String) throws {
    let json = try JSON(parsing: text)
    let error = #expect(throws: CNNError.self) { try Graph(json: json) }
    #expect(error?.code == .malformedFile)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func hugeSizesAreOutOfMemory() throws {
    for shape in ["[1,4611686018427387904,4]", "[9223372036854775807]", "[4294967296,4294967296]"] {
      let json = try JSON(parsing: Self.text(inputs: #"{"name":"x","element":"float32","shape":\#(shape)}"#))
      let error = #expect(throws: CNNError.self) { try Graph(json: json) }
      #expect(error?.code == .outOfMemory)
    }
  }

  /// Every single byte of a graph's text replaced by another: an error or a sound graph, never a crash.
  @Test func changedBytesNeverCrash() throws {
    let bytes = Array(try smallNetwork(softmax: true).json.serialized().utf8)
    var random = PhiloxGenerator(seed: 7, stream: 0)
    for _ in 0..<4000 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        changed[Int.random(in: 0..<bytes.count, using: &random)] =
          Array("0123456789-,\"[]{}ex".utf8).randomElement(using: &random) ?? 0
      }
      if let json = try? JSON(parsing: changed), let graph = try? Graph(json: json) { try graph.verify() }
    }
  }

  /// Values of the graph's text replaced by other JSON values.
  @Test func changedValuesNeverCrash() throws {
    let json = try smallNetwork(softmax: true).json
    let poison: [JSON] = [
      .null, 0, -1, 1, .integer(.max), .integer(.min), .number(1e300), .number(-0.5), "", "x", .bool(true), .array([]),
      .integers([1]), .integers([.max, .max]), .object(JSONObject()),
    ]
    var random = PhiloxGenerator(seed: 8, stream: 0)
    func changed(_ json: JSON) -> JSON {
      if Int.random(in: 0..<40, using: &random) == 0 { return poison.randomElement(using: &random) ?? .null }
      switch json {
      case .array(let elements): return .array(elements.map(changed))
      case .object(let object):
        var result = JSONObject()
        for (key, value) in object.members { result[key] = changed(value) }
        return .object(result)
      default: return json
      }
    }
    var accepted = 0
    for _ in 0..<3000 {
      if let graph = try? Graph(json: changed(json)) {
        try graph.verify()
        accepted += 1
      }
    }
    #expect(accepted > 0)
  }

  /// A chain ten thousand nodes deep, with a parameter at every second node.
  private func deepNetwork(_ depth: Int) throws -> Graph {
    var graph = Graph()
    var x = try graph.addInput("input", type([1, 2]))
    for index in 0..<depth / 2 {
      let weight = try graph.addParameter(
        Parameter(name: "w\(index)", shape: [2, 2], role: .weight, initializer: .zeros))
      x = try graph.addSingle(Dense(), [x, weight])
      x = try graph.addSingle(Activation(.tanh), [x])
    }
    try graph.addOutput("y", x)
    return graph
  }

  @Test func aGraphOfTenThousandNodesTakesEachPassLessThanASecond() throws {
    var graph = try deepNetwork(10_000)
    var json = JSON.null
    var passes: [(String, () throws -> Void)] = []
    passes.append(("build", { _ = try self.deepNetwork(10_000) }))
    passes.append(("write", { json = try JSON(parsing: graph.json.serialized()) }))
    passes.append(("read", { graph = try Graph(json: json) }))
    passes.append(("verify", { try graph.verify() }))
    passes.append(("text", { _ = graph.text.count + graph.dot.count }))
    passes.append(("rebind", { graph = try graph.rebound(["input": type([3, 2])]) }))
    passes.append(("training form", { graph = try graph.trainingForm() }))
    passes.append(("inference form", { graph = try graph.inferenceForm() }))
    passes.append(("loss", { graph = try graph.addingLoss(Loss(.meanSquaredError)) }))
    passes.append(
      (
        "differentiate",
        {
          let loss = try #require(graph.value(named: "loss.mean"))
          let weights = graph.parameters.compactMap { graph.value(named: $0.name) }
          let result = try graph.differentiating(loss, withRespectTo: weights)
          graph = result.graph
          for (weight, gradient) in zip(weights, result.gradients) {
            try graph.addOutput("gradient:\(graph.name(of: weight))", try #require(gradient))
          }
        }
      ))
    passes.append(("remove dead nodes", { graph = try graph.removingDeadNodes() }))
    passes.append(("remove dead parameters", { graph = try graph.removingDeadParameters() }))
    for (name, pass) in passes {
      let seconds = try processorTime(pass)
      #expect(seconds < 1, "\(name)")
    }
    #expect(graph.nodes.count > 20_000)
  }

  @Test func moreValuesThanTheLimitAreRefused() throws {
    struct Flood: Operation {
      static let name = "flood"
      init() {}
      init(_ attributes: inout Attributes) throws(CNNError) {}
      func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
        Array(repeating: operands[0], count: Graph.maximumValueCount)
      }
    }
    var graph = Graph()
    let x = try graph.addInput("x", type([1]))
    let error = #expect(throws: CNNError.self) { try graph.add(Flood(), [x]) }
    #expect(error?.code == .outOfMemory)
  }
}
