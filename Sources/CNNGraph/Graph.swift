import CNNCore

/// A tensor in a graph. Every value is assigned once, by an input, a parameter or a node's result.
public struct Value: Hashable, Sendable {
  /// The position in the graph's list of values.
  public let index: Int

  /// The value at that position.
  public init(index: Int) { self.index = index }
}

/// One application of an operation.
public struct Node: Sendable {
  /// Unique in the graph, as in `layer1.0.conv1`.
  public let name: String
  /// What is computed.
  public let operation: any Operation
  /// The operands, all of them assigned before this node.
  public let operands: [Value]
  /// The results, in the order of the operation's `resultTypes`.
  public let results: [Value]
}

/// A tensor that the caller supplies at every run.
public struct Input: Sendable {
  /// Unique in the graph.
  public let name: String
  /// The tensor.
  public let value: Value
  /// The axes whose size may be another at every run, as height and width of a network for images of any size.
  public let variableAxes: [Int]
}

/// A value with a name of its own, that the caller sees.
public struct Output: Sendable {
  /// Unique among the outputs.
  public let name: String
  /// The tensor.
  public let value: Value
}

/// A parameter that takes a new value at the end of a run, as the running statistics of batch normalisation do.
public struct Update: Sendable {
  /// The parameter's position in `Graph.parameters`.
  public let parameter: Int
  /// Its next value.
  public let value: Value
}

/// A network, a loss, a gradient: a list of nodes in static single assignment form.
///
/// The nodes stand in an order in which they can be run, since a node can only be added after what it reads. All that
/// the library does to a network is a function from one graph to another.
public struct Graph: Sendable {
  /// What the caller supplies.
  public private(set) var inputs: [Input] = []
  /// What is learned or measured; kept from run to run.
  public private(set) var parameters: [Parameter] = []
  /// The computation, in an order in which it can be run.
  public internal(set) var nodes: [Node] = []
  /// What the caller sees.
  public internal(set) var outputs: [Output] = []
  /// What changes parameters at the end of a run.
  public internal(set) var updates: [Update] = []

  private var types: [TensorType] = []
  /// What those types become, by the value's position, that change for inputs of twice the size along their variable axes:
  /// their size varies. Shape rules so need not know that there are such axes.
  private var doubledTypes: [Int: TensorType] = [:]
  private var definitions: [Definition] = []
  private var names: [String: Value] = [:]
  private var lastNumbers: [String: Int] = [:]

  /// Where a value comes from.
  public enum Definition: Sendable, Equatable {
    /// The input at this position.
    case input(Int)
    /// The parameter at this position.
    case parameter(Int)
    /// A result of the node at this position.
    case node(Int, result: Int)
  }

  /// The largest number of values in a graph; a file that asks for more is refused.
  public static let maximumValueCount = 1 << 20

  /// The longest name in bytes, a little less than what a file can hold as a key.
  public static let maximumNameLength = 1024

  /// An empty graph.
  public init() {}

  /// The number of values.
  public var valueCount: Int { types.count }

  /// The type of a value of this graph.
  public func type(of value: Value) -> TensorType { types[value.index] }

  /// The shape of a value, with nil for axes whose size depends on the variable axes of an input.
  public func shape(of value: Value) -> [Int?] {
    zip(types[value.index].shape, doubledType(of: value).shape).map { $0 == $1 ? $0 : nil }
  }

  private func doubledType(of value: Value) -> TensorType { doubledTypes[value.index] ?? types[value.index] }

  /// Where a value of this graph comes from.
  public func definition(of value: Value) -> Definition { definitions[value.index] }

  /// The node of which `value` is a result, or nil for inputs and parameters.
  public func node(defining value: Value) -> Node? {
    if case .node(let index, _) = definition(of: value) { nodes[index] } else { nil }
  }

  /// The parameter that `value` is, or nil.
  public func parameter(defining value: Value) -> Parameter? {
    if case .parameter(let index) = definition(of: value) { parameters[index] } else { nil }
  }

  /// The value of that name: an input, a parameter, or a node's first result (`node:1` for its second).
  public func value(named name: String) -> Value? { names[name] }

  /// The name under which `value(named:)` finds a value.
  public func name(of value: Value) -> String {
    switch definitions[value.index] {
    case .input(let index): inputs[index].name
    case .parameter(let index): parameters[index].name
    case .node(let index, let result): result == 0 ? nodes[index].name : "\(nodes[index].name):\(result)"
    }
  }

  /// Every name a value can be found by: inputs, parameters and nodes, in the order of definition.
  public var valueNames: [String] { (0..<valueCount).map { name(of: Value(index: $0)) } }

  /// A name that is not taken, made from `stem`: `relu`, `relu_1`, `relu_2`...
  public mutating func uniqueName(_ stem: String) -> String {
    if names[stem] == nil { return stem }
    // Counting on from the last number keeps this linear for a graph of ten thousand nodes of one kind.
    var number = lastNumbers[stem, default: 0]
    repeat { number += 1 } while names["\(stem)_\(number)"] != nil
    lastNumbers[stem] = number
    return "\(stem)_\(number)"
  }

  /// Throws unless a caller may use the name: one like `bn1:2` means a node's further result.
  private func checkName(_ name: String) throws(CNNError) {
    // By bytes, since every pass checks every name again.
    let bytes = name.utf8, digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    if let colon = bytes.lastIndex(of: UInt8(ascii: ":")),
      bytes[bytes.index(after: colon)...].allSatisfy(digits.contains)
    {
      throw CNNError(.invalidArgument, "the name '\(name)' ends in a colon and a number, which means a further result")
    }
    guard name.utf8.count <= Self.maximumNameLength else {
      throw CNNError(
        .invalidArgument, "a name has \(name.utf8.count) bytes; expected \(Self.maximumNameLength) at most")
    }
  }

  /// Makes room for so many values.
  mutating func reserveCapacity(_ count: Int) {
    types.reserveCapacity(count)
    definitions.reserveCapacity(count)
    names.reserveCapacity(count)
  }

  /// Throws unless a value of that name, one of `count`, can be added.
  private func checkRoom(for name: String, among count: Int = 1) throws(CNNError) {
    guard !name.isEmpty else { throw CNNError(.invalidArgument, "a name in the graph is empty") }
    guard names[name] == nil else { throw CNNError(.invalidArgument, "the name '\(name)' is given twice in the graph") }
    guard types.count <= Self.maximumValueCount - count else {
      throw CNNError(.outOfMemory, "the graph has more than \(Self.maximumValueCount) values")
    }
  }

  private mutating func define(
    _ name: String, _ type: TensorType, doubled: TensorType? = nil, _ definition: Definition
  ) throws(CNNError) -> Value {
    try checkRoom(for: name)
    let value = Value(index: types.count)
    types.append(type)
    if let doubled, doubled != type { doubledTypes[value.index] = doubled }
    definitions.append(definition)
    names[name] = value
    return value
  }

  /// Adds a tensor that the caller supplies.
  /// - Parameter variableAxes: the axes whose size may be another at every run; `type` has an example of it.
  public mutating func addInput(_ name: String, _ type: TensorType, variableAxes: [Int] = []) throws(CNNError)
    -> Value
  {
    try checkName(name)
    var doubled = type.shape
    for axis in variableAxes {
      guard doubled.indices.contains(axis) else {
        throw CNNError(.invalidArgument, "input '\(name)' has no axis \(axis); its shape is \(describe(type.shape))")
      }
      guard doubled[axis] == type.shape[axis] else {
        throw CNNError(.invalidArgument, "input '\(name)': axis \(axis) is given twice")
      }
      doubled[axis] = try Checked.product([type.shape[axis], 2], "input '\(name)'")
    }
    let value = try define(
      name, type, doubled: TensorType(type.element, doubled, layout: type.layout, quantization: type.quantization),
      .input(inputs.count))
    inputs.append(Input(name: name, value: value, variableAxes: variableAxes))
    return value
  }

  /// Adds a parameter.
  public mutating func addParameter(_ parameter: Parameter) throws(CNNError) -> Value {
    try checkName(parameter.name)
    let type = try TensorType(parameter.element, parameter.shape)
    let value = try define(parameter.name, type, .parameter(parameters.count))
    parameters.append(parameter)
    return value
  }

  /// Adds a node and returns its results. The shape rule of the operation is applied here.
  /// - Throws: what the shape rule throws, with the node's name before it.
  @discardableResult
  public mutating func add(_ operation: any Operation, _ operands: [Value], name: String? = nil) throws(CNNError)
    -> [Value]
  {
    let kind = operation.kind
    let name = name ?? uniqueName(kind)
    try checkName(name)
    for operand in operands where !types.indices.contains(operand.index) {
      throw CNNError(.invalidArgument, "\(kind) '\(name)': operand \(operand.index) is not a value of this graph")
    }
    let resultTypes: [TensorType]
    let doubledResultTypes: [TensorType]
    do throws(CNNError) {
      resultTypes = try operation.checkedResultTypes(operands.map { types[$0.index] })
      doubledResultTypes = try doubledResults(of: operation, operands) ?? resultTypes
    } catch {
      throw error.prefixed("\(kind) '\(name)'")
    }
    let resultNames = resultTypes.indices.map { $0 == 0 ? name : "\(name):\($0)" }
    // All or none: a node that has only some of its results would be a graph of its own kind.
    for resultName in resultNames { try checkRoom(for: resultName, among: resultNames.count) }
    var results: [Value] = []
    for (position, type) in resultTypes.enumerated() {
      let doubled = doubledResultTypes.indices.contains(position) ? doubledResultTypes[position] : type
      results.append(
        try define(resultNames[position], type, doubled: doubled, .node(nodes.count, result: position)))
    }
    nodes.append(Node(name: name, operation: operation, operands: operands, results: results))
    return results
  }

  /// The result types for inputs of twice the size; nil where the operands do not depend on it.
  private func doubledResults(of operation: any Operation, _ operands: [Value]) throws(CNNError) -> [TensorType]? {
    guard operands.contains(where: { doubledTypes[$0.index] != nil }) else { return nil }
    do throws(CNNError) {
      return try operation.checkedResultTypes(operands.map(doubledType))
    } catch {
      throw error.prefixed("the input's size varies, and for one of twice the size")
    }
  }

  /// Adds a node with one result and returns it.
  public mutating func addSingle(_ operation: any Operation, _ operands: [Value], name: String? = nil)
    throws(CNNError) -> Value
  {
    let results = try add(operation, operands, name: name)
    guard results.count == 1 else {
      throw CNNError(.internalFault, "\(operation.kind) has \(results.count) results; one was expected")
    }
    return results[0]
  }

  /// Marks a value as an output.
  public mutating func addOutput(_ name: String, _ value: Value) throws(CNNError) {
    guard types.indices.contains(value.index) else {
      throw CNNError(.invalidArgument, "output '\(name)' is not a value of this graph")
    }
    guard !outputs.contains(where: { $0.name == name }) else {
      throw CNNError(.invalidArgument, "the output '\(name)' is given twice")
    }
    outputs.append(Output(name: name, value: value))
  }

  /// Replaces all outputs.
  public mutating func setOutputs(_ outputs: [(name: String, value: Value)]) throws(CNNError) {
    self.outputs = []
    for output in outputs { try addOutput(output.name, output.value) }
  }

  /// Gives a parameter a new value at the end of each run.
  public mutating func addUpdate(of parameter: Value, to value: Value) throws(CNNError) {
    guard case .parameter(let index) = definition(of: parameter), type(of: parameter) == type(of: value) else {
      throw CNNError(.internalFault, "update of '\(name(of: parameter))' does not fit")
    }
    updates.append(Update(parameter: index, value: value))
  }

  /// How much has been added so far, for `rollBack(to:)`.
  public struct Mark: Sendable {
    fileprivate let values, parameters, nodes: Int
  }

  /// The present state.
  public var mark: Mark { Mark(values: types.count, parameters: parameters.count, nodes: nodes.count) }

  /// Takes back the parameters and nodes that were added since `mark`, for layers of which a part did not fit.
  public mutating func rollBack(to mark: Mark) {
    for index in mark.values..<types.count {
      names[name(of: Value(index: index))] = nil
      doubledTypes[index] = nil
    }
    types.removeSubrange(mark.values...)
    definitions.removeSubrange(mark.values...)
    parameters.removeSubrange(mark.parameters...)
    nodes.removeSubrange(mark.nodes...)
  }

  /// Gives the parameters the regularisers that `choose` says; nil for none.
  public mutating func setRegularizers(_ choose: (Parameter) -> Regularizer?) {
    for index in parameters.indices { parameters[index].regularizer = choose(parameters[index]) }
  }

  /// Gives the parameters the masks that `choose` says; nil for none, and one for another number of elements counts as that.
  public mutating func setMasks(_ choose: (Parameter) -> SparsityMask?) {
    for index in parameters.indices {
      parameters[index].mask = parameters[index].fitting(choose(parameters[index]))
    }
  }

  /// Marks the parameters for which `choose` says so as trainable, the others as frozen.
  public mutating func setTrainable(where choose: (Parameter) -> Bool) {
    for index in parameters.indices {
      parameters[index] = parameters[index].trainable(choose(parameters[index]))
    }
  }
}
