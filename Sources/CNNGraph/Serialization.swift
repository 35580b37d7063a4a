import CNNCore

extension Graph {
  /// The network as JSON, for the metadata of a model file. Values are referred to by name.
  public var json: JSON {
    var parameterList: [JSON] = []
    for parameter in parameters {
      var object = JSONObject()
      object["name"] = .string(parameter.name)
      object["shape"] = .integers(parameter.shape)
      if parameter.element != .float32 { object["element"] = .string(parameter.element.rawValue) }
      object["role"] = .string(parameter.role.rawValue)
      object["initializer"] = .string(parameter.initializer.rawValue)
      if parameter.role.isLearned && !parameter.isTrainable { object["frozen"] = true }
      if let regularizer = parameter.regularizer {
        object["regularizer"] = ["l1": .number(regularizer.l1), "l2": .number(regularizer.l2)]
      }
      parameterList.append(.object(object))
    }
    return [
      "inputs": .array(
        inputs.map {
          let type = type(of: $0.value)
          var entry = JSONObject()
          entry["name"] = .string($0.name)
          entry["element"] = .string(type.element.rawValue)
          entry["shape"] = .integers(type.shape)
          if !$0.variableAxes.isEmpty { entry["variable_axes"] = .integers($0.variableAxes) }
          return .object(entry)
        }),
      "parameters": .array(parameterList),
      "nodes": .array(
        nodes.map { node in
          [
            "name": .string(node.name), "operation": .string(node.operation.kind),
            "attributes": .object(node.operation.attributes.json),
            "operands": .strings(node.operands.map(name)),
          ]
        }),
      "outputs": .array(outputs.map { ["name": .string($0.name), "value": .string(name(of: $0.value))] }),
    ]
  }

  /// Rebuilds a network; every shape rule is applied again, so that nothing in a file is taken on trust.
  /// - Throws: `.malformedFile` naming the part that is not a graph, or what a shape rule finds.
  public init(json: JSON) throws(CNNError) {
    self.init()
    do throws(CNNError) {
      guard let object = json.objectValue else { throw CNNError(.malformedFile, "expected an object") }
      try object.requireKeys(among: ["inputs", "parameters", "nodes", "outputs"])
      for entry in try object.objects("inputs") {
        let element = try entry.choice("element", of: ElementType.self, among: ElementType.external)
        _ = try addInput(
          entry.string("name"), TensorType(element, entry.integers("shape")),
          variableAxes: entry.optionalIntegers("variable_axes") ?? [])
      }
      var frozen: Set<String> = []
      for entry in try object.objects("parameters") {
        let name = try entry.string("name")
        let parameter = Parameter(
          name: name, shape: try entry.integers("shape"),
          element: entry["element"] == nil ? .float32 : try entry.choice("element", of: ElementType.self),
          role: try entry.choice("role", of: Parameter.Role.self),
          initializer: try entry.choice("initializer", of: Initializer.self), regularizer: try entry.regularizer())
        if try entry.optionalBool("frozen") == true { frozen.insert(name) }
        _ = try addParameter(parameter)
      }
      if !frozen.isEmpty { setTrainable { !frozen.contains($0.name) } }
      for entry in try object.objects("nodes") {
        let operation = try OperationTable.make(
          entry.string("operation"), Attributes(json: entry.object("attributes")))
        var operands: [Value] = []
        for name in try entry.strings("operands") { operands.append(try known(name)) }
        try add(operation, operands, name: entry.string("name"))
      }
      for entry in try object.objects("outputs") {
        try addOutput(entry.string("name"), known(entry.string("value")))
      }
    } catch {
      // What went wrong is the file's fault, whatever rule found it.
      throw error.prefixed("the graph").coded(error.code == .outOfMemory ? .outOfMemory : .malformedFile)
    }
  }

  private func known(_ name: String) throws(CNNError) -> Value {
    guard let value = value(named: name) else {
      throw CNNError(.malformedFile, "'\(name)' is used before it is defined")
    }
    return value
  }
}

extension JSONObject {
  /// A list of objects.
  fileprivate func objects(_ key: String) throws(CNNError) -> [JSONObject] {
    var result: [JSONObject] = []
    for element in try array(key) {
      guard let object = element.objectValue else {
        throw CNNError(.malformedFile, "'\(key)' has an element that is not an object")
      }
      result.append(object)
    }
    return result
  }

  /// A parameter's regulariser, where it has one.
  fileprivate func regularizer() throws(CNNError) -> Regularizer? {
    guard let value = self["regularizer"], value != .null else { return nil }
    let factors = try object("regularizer")
    try factors.requireKeys(among: ["l1", "l2"])
    return try Regularizer(l1: factors.number("l1"), l2: factors.number("l2"))
  }

  /// One of the words of `Choice`.
  fileprivate func choice<Choice: RawRepresentable & CaseIterable & Equatable>(
    _ key: String, of type: Choice.Type, among choices: [Choice] = Array(Choice.allCases)
  ) throws(CNNError) -> Choice where Choice.RawValue == String {
    let word = try string(key)
    guard let choice = Choice(rawValue: word), choices.contains(choice) else {
      throw unknownName(key, word, among: choices.map(\.rawValue))
    }
    return choice
  }
}

extension Attributes {
  /// The attributes as a JSON object.
  public var json: JSONObject {
    var object = JSONObject()
    for (name, value) in entries {
      object[name] =
        switch value {
        case .integer(let value): .integer(Int64(value))
        case .integers(let values): .integers(values)
        case .number(let value): .number(value)
        case .numbers(let values): .array(values.map { .number($0) })
        case .flag(let value): .bool(value)
        case .text(let value): .string(value)
        }
    }
    return object
  }

  /// Attributes from a JSON object of numbers, words, truth values and lists of numbers; null counts as missing.
  /// - Throws: `.invalidArgument` for anything else.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    for (name, value) in json.members {
      switch value {
      case .null: continue
      case .bool(let flag): self[name] = .flag(flag)
      case .string(let text): self[name] = .text(text)
      default:
        if let integer = value.integerValue {
          self[name] = .integer(integer)
        } else if let number = value.numberValue {
          self[name] = .number(number)
        } else if let integers = value.integersValue {
          self[name] = .integers(integers)
        } else if let numbers = value.numbersValue {
          self[name] = .numbers(numbers)
        } else {
          throw CNNError(.invalidArgument, "'\(name)' is neither a number, a word, a truth value nor a list of numbers")
        }
      }
    }
  }
}
