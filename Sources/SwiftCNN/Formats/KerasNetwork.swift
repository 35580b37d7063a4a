import CNNCore

/// A network as Keras describes it (`Model.get_config`, in files `config.json` and the attribute `model_config`), told as
/// `include/swiftcnn.h` has it for `scnn_keras_network`: its layers, and then the networks that are made of them, each
/// after those within, with the calls of the layers in an order in which each has its inputs.
public struct KerasNetwork {
  /// What the layers get that networks begin with.
  private var inputs: [JSON] = []
  private var layers: [JSON] = []
  private var networks: [JSON] = []
  /// How many layers there will be, behind which the networks are counted.
  private let layerCount: Int

  private static let classes = ["Functional", "Model", "Sequential"]
  /// Layers of these classes are calls of functions where they have two arguments, as `a + b`.
  private static let functions = ["Add", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide"]
  /// How many tensors a layer may give.
  private static let mostResults = 256

  /// Reads what Keras says.
  /// - Throws: `.malformedFile` where it is no such description, `.unknownName` where it is of another class.
  public init(_ description: JSONObject) throws(CNNError) {
    let kind = try description.string("class_name")
    guard Self.classes.contains(kind) else { throw unknownName("network", kind, among: Self.classes) }
    layerCount = try Self.countLayers(description)
    _ = try addNetwork(description, isTrainable: true)
  }

  /// What was read.
  public var json: JSON { ["version": 1, "inputs": .array(inputs), "layers": .array(layers + networks)] }

  // MARK: Layers

  /// The layers of a network that are told as such: the inputs of a functional one are not.
  private static func isLayer(_ row: JSONObject, of network: JSONObject) throws(CNNError) -> Bool {
    let (kind, around) = (try row.string("class_name"), try network.string("class_name"))
    return kind != "InputLayer" || around == "Sequential"
  }

  private static func rows(_ network: JSONObject) throws(CNNError) -> [JSONObject] {
    var rows: [JSONObject] = []
    for entry in try network.object("config").array("layers") { rows.append(try object(entry, "a layer")) }
    return rows
  }

  private static func object(_ json: JSON, _ what: String) throws(CNNError) -> JSONObject {
    guard let object = json.objectValue else { throw CNNError(.malformedFile, "\(what) is no object") }
    return object
  }

  private static func isNetwork(_ row: JSONObject) throws(CNNError) -> Bool {
    classes.contains(try row.string("class_name"))
  }

  private static func countLayers(_ network: JSONObject) throws(CNNError) -> Int {
    var count = 0
    for row in try rows(network) {
      if try isNetwork(row) { count += try countLayers(row) } else if try isLayer(row, of: network) { count += 1 }
    }
    return count
  }

  private static func name(of row: JSONObject) throws(CNNError) -> String {
    if let name = try row.object("config").optionalString("name") { return name }
    return try row.string("name")
  }

  /// Tells a network, the layers in it first.
  /// - Returns: its number.
  private mutating func addNetwork(_ network: JSONObject, isTrainable: Bool) throws(CNNError) -> Int {
    let config = try network.object("config")
    let isTrainable = isTrainable && config["trainable"] != .bool(false)
    var numbers: [(name: String, number: Int)] = []
    for row in try Self.rows(network) where try Self.isLayer(row, of: network) {
      let isNetwork = try Self.isNetwork(row)
      let number =
        isNetwork ? try addNetwork(row, isTrainable: isTrainable) : try addLayer(row, isTrainable: isTrainable)
      numbers.append((try Self.name(of: row), number))
    }
    var entry = JSONObject()
    entry["name"] = .string(try config.string("name"))
    entry["trainable"] = .bool(isTrainable)
    if try network.string("class_name") == "Sequential" {
      try tellSequential(network, numbers.map(\.number), &entry)
    } else {
      try tellFunctional(network, Dictionary(numbers.map { ($0.name, $0.number) }, uniquingKeysWith: { $1 }), &entry)
    }
    networks.append(.object(entry))
    return layerCount + networks.count - 1
  }

  private mutating func addLayer(_ row: JSONObject, isTrainable: Bool) throws(CNNError) -> Int {
    var config = JSONObject()
    for (key, value) in try row.object("config").members { config[key] = Self.plain(value) }
    if !isTrainable { config["trainable"] = false }
    let kind = try row.string("class_name"), node = row["inbound_nodes"]?.arrayValue?.first?.objectValue
    // Where the file does not tell the module, it is told by the number of the arguments.
    let isFunction =
      row["module"]?.stringValue?.hasPrefix("keras.src.ops") == true
      || Self.functions.contains(kind) && node?["args"]?.arrayValue?.count == 2
    layers.append([
      "keras": .string(kind), "name": .string(try Self.name(of: row)), "is_function": .bool(isFunction),
      "config": .object(config),
    ])
    return layers.count - 1
  }

  /// A value without Keras's wrapping.
  private static func plain(_ value: JSON) -> JSON {
    guard let object = value.objectValue, let kind = object["class_name"]?.stringValue else { return value }
    if let array = object["config"]?.objectValue?["value"], ["__numpy__", "__tensor__"].contains(kind) {
      return ["$array": array, "dtype": "<f4"]
    }
    return value
  }

  // MARK: Networks

  private mutating func addInput(_ name: String, _ shape: JSON) -> JSON {
    inputs.append(["name": .string(name), "shape": shape])
    return .integer(Int64(inputs.count - 1))
  }

  private mutating func tellSequential(
    _ network: JSONObject, _ numbers: [Int], _ entry: inout JSONObject
  ) throws(CNNError) {
    entry["model"] = "sequential"
    entry["layers"] = .integers(numbers)
    let first = try Self.rows(network).first?.string("class_name")
    guard first != "InputLayer", let shape = try network.object("config").optionalArray("build_input_shape"),
      !shape.isEmpty
    else { return }
    entry["input"] = addInput("input", .array([.null] + shape.dropFirst()))
    entry["begins"] = false
  }

  /// A tensor: a result of a call of a layer.
  private struct Reference: Hashable {
    var layer: String
    var call: Int
    var result: Int

    init(layer: String, call: Int, result: Int) { (self.layer, self.call, self.result) = (layer, call, result) }

    /// From the name of a layer and two numbers.
    init(_ json: [JSON]) throws(CNNError) {
      guard json.count == 3, let layer = json.first?.stringValue,
        let numbers = JSON.array(Array(json.dropFirst())).integersValue, numbers[0] >= 0,
        (0..<KerasNetwork.mostResults).contains(numbers[1])
      else { throw CNNError(.malformedFile, "expected a tensor as [layer, call, result], the result 0 to 255") }
      (self.layer, call, result) = (layer, numbers[0], numbers[1])
    }

    /// The tensor that an argument is, if it is one.
    init?(argument: JSON) throws(CNNError) {
      guard let object = argument.objectValue, object["class_name"] == "__keras_tensor__" else { return nil }
      try self.init(object.object("config").array("keras_history"))
    }
  }

  private struct Call {
    var layer: String
    /// Which of the layer's calls it is.
    var place: Int
    var arguments: [JSON]
    var keywords: JSONObject
    var reads: [Reference] = []
    /// The calls that come before it.
    var earlier: [Int] = []
    /// How many of its results are asked for.
    var resultCount = 0

    /// A node as Keras 3 tells it, or as Keras 2.
    init(of layer: String, _ place: Int, _ node: JSON) throws(CNNError) {
      (self.layer, self.place) = (layer, place)
      if let node = node.objectValue {
        (arguments, keywords) = (try node.array("args"), try node.object("kwargs"))
      } else {
        let rows = (node.arrayValue ?? []).map { $0.arrayValue ?? [] }
        let tensors = rows.map { row -> JSON in
          ["class_name": "__keras_tensor__", "config": ["keras_history": .array(Array(row.prefix(3)))]]
        }
        arguments = tensors.count == 1 ? tensors : [.array(tensors)]
        keywords = rows.first.flatMap { $0.count > 3 ? $0[3].objectValue : nil } ?? JSONObject()
      }
      keywords["mask"] = nil
      try gather(.array(arguments))
      try gather(.object(keywords))
    }

    private mutating func gather(_ argument: JSON) throws(CNNError) {
      if let reference = try Reference(argument: argument) {
        reads.append(reference)
      } else {
        for part in argument.arrayValue ?? argument.objectValue?.members.map(\.value) ?? [] { try gather(part) }
      }
    }
  }

  /// The tensors that a network begins or ends with.
  private static func ends(_ json: JSON) throws(CNNError) -> [Reference] {
    let parts = json.arrayValue ?? json.objectValue?.members.map(\.value) ?? []
    if parts.first?.stringValue != nil { return [try Reference(parts)] }
    var found: [Reference] = []
    for part in parts { found += try ends(part) }
    return found
  }

  private mutating func tellFunctional(
    _ network: JSONObject, _ numbers: [String: Int], _ entry: inout JSONObject
  ) throws(CNNError) {
    let config = try network.object("config"), first = config["input_layers"] ?? .null
    let last = config["output_layers"] ?? .null, starts = try Self.ends(first), ends = try Self.ends(last)
    var calls: [Call] = [], shapes: [String: JSON] = [:], places: [String: [Int]] = [:]
    for row in try Self.rows(network) {
      let name = try Self.name(of: row)
      if try Self.isLayer(row, of: network) {
        for (place, node) in (try row.optionalArray("inbound_nodes") ?? []).enumerated() {
          places[name, default: []].append(calls.count)
          calls.append(try Call(of: name, place, node))
        }
      } else {
        let config = try row.object("config"), key = config["batch_shape"] == nil ? "batch_input_shape" : "batch_shape"
        shapes[name] = .array(try config.array(key))
      }
    }
    var tensors: [Reference: Int] = [:], inputNumbers: [JSON] = []
    for start in starts {
      guard let shape = shapes[start.layer] else {
        throw CNNError(.malformedFile, "the network begins with '\(start.layer)', which is no input")
      }
      tensors[start] = tensors.count
      inputNumbers.append(addInput(start.layer, shape))
    }
    /// The call that a tensor is a result of; nil of one that the network begins with.
    func origin(_ tensor: Reference) throws(CNNError) -> Int? {
      if tensors[tensor] != nil { return nil }
      guard let own = places[tensor.layer], tensor.call < own.count else {
        throw CNNError(.malformedFile, "what layer '\(tensor.layer)' gives comes from nowhere")
      }
      return own[tensor.call]
    }
    for own in places.values {
      // Calls of one layer are numbered in their order.
      for (before, after) in zip(own, own.dropFirst()) { calls[after].earlier.append(before) }
    }
    for index in calls.indices {
      for tensor in calls[index].reads {
        guard let source = try origin(tensor) else { continue }
        calls[index].earlier.append(source)
        calls[source].resultCount = max(calls[source].resultCount, tensor.result + 1)
      }
    }
    for tensor in ends {
      if let source = try origin(tensor) {
        calls[source].resultCount = max(calls[source].resultCount, tensor.result + 1)
      }
    }
    var told: [JSON] = []
    for index in try Self.ordered(calls) {
      let call = calls[index]
      var results: [Int] = []
      for result in 0..<call.resultCount {
        tensors[Reference(layer: call.layer, call: call.place, result: result)] = tensors.count
        results.append(tensors.count - 1)
      }
      var keywords = JSONObject()
      for (key, value) in call.keywords.members { keywords[key] = try Self.connected(value, tensors) }
      guard let number = numbers[call.layer] else { continue }
      told.append([
        "results": .integers(results), "layer": .integer(Int64(number)),
        "args": try Self.connected(.array(call.arguments), tensors), "kwargs": .object(keywords),
      ])
    }
    entry["model"] = "functional"
    entry["input"] = .array(inputNumbers)
    entry["input_names"] = first.objectValue.map { .strings($0.keys) } ?? .null
    entry["calls"] = .array(told)
    entry["outputs"] = .integers(ends.compactMap { tensors[$0] })
    entry["keys"] = last.objectValue.map { .strings($0.keys) } ?? .null
  }

  /// An argument with the numbers of tensors in their places.
  private static func connected(_ argument: JSON, _ tensors: [Reference: Int]) throws(CNNError) -> JSON {
    if let elements = argument.arrayValue {
      var found: [JSON] = []
      for element in elements { found.append(try connected(element, tensors)) }
      return .array(found)
    }
    guard let reference = try Reference(argument: argument) else { return plain(argument) }
    return ["$tensor": .integer(Int64(tensors[reference] ?? -1))]
  }

  /// The calls in the order of the file, but each after those that it needs.
  private static func ordered(_ calls: [Call]) throws(CNNError) -> [Int] {
    var order: [Int] = [], isDone = [Bool](repeating: false, count: calls.count)
    var next = [Int](repeating: 0, count: calls.count), isWaiting = isDone
    for start in calls.indices where !isDone[start] {
      var waiting = [start]
      while let call = waiting.last {
        isWaiting[call] = true
        if next[call] < calls[call].earlier.count {
          let needed = calls[call].earlier[next[call]]
          next[call] += 1
          guard !isWaiting[needed] || isDone[needed] else {
            throw CNNError(.malformedFile, "what layer '\(calls[needed].layer)' gives is its own input")
          }
          if !isDone[needed] { waiting.append(needed) }
        } else {
          isDone[call] = true
          order.append(call)
          waiting.removeLast()
        }
      }
    }
    return order
  }
}
