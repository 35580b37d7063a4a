import CNNCore
import Testing

@testable import SwiftCNN

/// Networks told as Keras's files have them, of which the structure is what is read here.
struct KerasNetworkTests {
  private func network(_ text: String) throws -> JSONObject {
    let description = try #require(try JSON(parsing: text).objectValue)
    return try #require(try KerasNetwork(description).json.objectValue)
  }

  private func row(_ kind: String, _ name: String, _ nodes: String = "", config: String = "") -> String {
    #"{"class_name":"\#(kind)","name":"\#(name)","config":{"name":"\#(name)"\#(config)},"inbound_nodes":[\#(nodes)]}"#
  }

  private func tensor(_ name: String, _ call: Int = 0, _ result: Int = 0) -> String {
    #"{"class_name":"__keras_tensor__","config":{"keras_history":["\#(name)",\#(call),\#(result)]}}"#
  }

  private func call(_ arguments: String, _ keywords: String = "") -> String {
    #"{"args":[\#(arguments)],"kwargs":{\#(keywords)}}"#
  }

  private func functional(_ rows: [String], inputs: String = #"["x",0,0]"#, outputs: String, more: String = "")
    -> String
  {
    #"{"class_name":"Functional","config":{"name":"net"\#(more),"layers":["#
      + rows.joined(separator: ",") + #"],"input_layers":\#(inputs),"output_layers":\#(outputs)}}"#
  }

  private var x: String { row("InputLayer", "x", config: #","batch_shape":[null,8,8,3]"#) }

  private func calls(of found: JSONObject) throws -> [JSONObject] {
    let whole = try #require(try found.array("layers").last?.objectValue)
    return try whole.array("calls").compactMap(\.objectValue)
  }

  @Test func callsStandInAnOrderInWhichTheyCanRun() throws {
    let text = functional(
      [
        row("Add", "sum", call("[\(tensor("b")),\(tensor("a", 1))]")), row("Dense", "b", call(tensor("a"))), x,
        row("Dense", "a", call(tensor("x")) + "," + call(tensor("b"))),
      ], outputs: #"["sum",0,0]"#)
    let found = try network(text), calls = try calls(of: found)
    #expect(try found.array("inputs") == [["name": "x", "shape": [.null, 8, 8, 3]]])
    #expect(try found.array("layers").dropLast().map { $0.objectValue?["name"] } == ["sum", "b", "a"])
    #expect(try calls.map { try $0.integer("layer") } == [2, 1, 2, 0])
    #expect(try calls.map { try $0.integers("results") } == [[1], [2], [3], [4]])
    #expect(try calls[3].array("args") == [[["$tensor": 2], ["$tensor": 3]]])
    #expect(found["layers"]?.arrayValue?.last?.objectValue?["outputs"] == [4])
  }

  @Test func nodesOfKerasTwoAreRead() throws {
    let text = functional(
      [
        row("InputLayer", "x", config: #","batch_input_shape":[null,4]"#),
        row("Dense", "a", #"[["x",0,0,{"mask":null,"scale":2.5}]]"#),
        row("Concatenate", "both", #"[["x",0,0,{}],["a",0,0,{}]]"#),
      ], inputs: #"[["x",0,0]]"#, outputs: #"[["both",0,0]]"#)
    let calls = try calls(of: network(text))
    #expect(calls[0]["args"] == [["$tensor": 0]] && calls[0]["kwargs"] == ["scale": 2.5])
    #expect(calls[1]["args"] == [[["$tensor": 0], ["$tensor": 1]]])
  }

  @Test func functionsAndArraysAreToldAsSuch() throws {
    let constant = #"{"class_name":"__numpy__","config":{"value":[1,2],"dtype":"float32"}}"#
    let text = functional(
      [
        x, row("Multiply", "product", call("\(tensor("x")),\(constant)")),
        row("Multiply", "layer", call("[\(tensor("x")),\(tensor("product"))]"), config: #","mean":\#(constant)"#),
        #"{"class_name":"Relu","module":"keras.src.ops.nn","name":"relu","config":{"name":"relu"},"inbound_nodes":["#
          + call(tensor("layer")) + "]}",
      ], outputs: #"["relu",0,0]"#)
    let found = try network(text), layers = try found.array("layers").compactMap(\.objectValue)
    #expect(layers.dropLast().map { $0["is_function"] } == [true, false, true])
    #expect(try layers[1].object("config")["mean"] == ["$array": [1, 2], "dtype": "<f4"])
    #expect(try calls(of: found)[0]["args"] == [["$tensor": 0], ["$array": [1, 2], "dtype": "<f4"]])
  }

  @Test func networksWithinComeAfterAllLayersAndAreFrozenWithTheirs() throws {
    let inner = #"""
      {"class_name":"Sequential","name":"inner","config":{"name":"inner","trainable":false,"build_input_shape":[null,6],
      "layers":[\#(row("Dense", "a", config: #","trainable":true"#))]},"inbound_nodes":[\#(call(tensor("x")))]}
      """#
    let found = try network(
      functional([x, inner, row("Dense", "b", call(tensor("inner")))], outputs: #"{"y":["b",0,0]}"#))
    let layers = try found.array("layers").compactMap(\.objectValue)
    #expect(layers.map { $0["name"] } == ["a", "b", "inner", "net"])
    #expect(try layers[0].object("config")["trainable"] == false && layers[1].object("config")["trainable"] == nil)
    #expect(layers[2]["trainable"] == false && layers[2]["layers"] == [0] && layers[2]["input"] == 0)
    #expect(try found.array("inputs")[0] == ["name": "input", "shape": [.null, 6]])
    #expect(layers[3]["input"] == [1] && layers[3]["keys"] == ["y"] && layers[3]["trainable"] == true)
    #expect(try calls(of: found).map { $0["layer"] } == [2, 1])
  }

  @Test func severalResultsAreToldAsFarAsTheyAreAskedFor() throws {
    let text = functional(
      [x, row("Split", "parts", call(tensor("x"))), row("Dense", "b", call(tensor("parts", 0, 2)))],
      outputs: #"[["parts",0,1],["b",0,0]]"#)
    let found = try network(text)
    #expect(try calls(of: found)[0].integers("results") == [1, 2, 3])
    #expect(found["layers"]?.arrayValue?.last?.objectValue?["outputs"] == [2, 4])
  }

  @Test func whatIsNoNetworkIsRefused() {
    func expectFault(_ message: String, code: CNNError.Code = .malformedFile, _ text: String) {
      expectError(code, message) { _ = try network(text) }
    }
    expectFault("unknown network 'Dense'", code: .unknownName, #"{"class_name":"Dense"}"#)
    expectFault("'config' is missing", #"{"class_name":"Functional"}"#)
    expectFault("a layer is no object", #"{"class_name":"Sequential","config":{"name":"a","layers":[3]}}"#)
    expectFault(
      "'a' gives is its own input", functional([x, row("Dense", "a", call(tensor("a")))], outputs: #"["a",0,0]"#))
    let pair = [row("Dense", "a", call(tensor("b"))), row("Dense", "b", call(tensor("a")))]
    expectFault("gives is its own input", functional([x] + pair, outputs: #"["a",0,0]"#))
    expectFault(
      "'z' gives comes from nowhere", functional([x, row("Dense", "a", call(tensor("z")))], outputs: #"["a",0,0]"#))
    expectFault(
      "'a' gives comes from nowhere", functional([x, row("Dense", "a", call(tensor("x")))], outputs: #"["a",1,0]"#))
    expectFault("'a', which is no input", functional([x], inputs: #"["a",0,0]"#, outputs: #"["x",0,0]"#))
    for number in ["-1", "256", "9223372036854775807", "1.5"] {
      expectFault("expected a tensor as", functional([x], outputs: #"["x",0,\#(number)]"#))
    }
    expectFault("expected a tensor as", functional([x], outputs: #"["x",-1,0]"#))
  }
}
