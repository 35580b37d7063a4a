import CNNCore
import CNNGraph

/// Reads the nodes of a file one after the other.
struct GraphImporter {
  /// What is built.
  var graph = Graph()
  let options: ONNXImportOptions
  let version: Int
  /// The batch of the file's inputs, where it is a number there.
  var fixedBatch: Int?
  /// What the names of the node at hand begin with.
  var stem = ""

  var layout: ONNXExportOptions.Layout?
  let source: Onnx_GraphProto
  let reader: TensorReader
  var known: [String: Known] = [:]
  private(set) var initializers: [String: Int] = [:]
  /// The nodes that read each name, as far as the outputs depend on them.
  private(set) var readers: [String: [Int]] = [:]
  /// What the user should know of how the file was read.
  var report = ImportReport()
  /// The nodes of kind Constant by the names of what they give.
  private(set) var constantNodes: [String: Int] = [:]
  var parameters = ImportedParameters()
  /// Tensors of levels, and what they stand for.
  var quantized: [Value: Quantized] = [:]
  /// The levels that tensors were rounded to, and the weights, each made once.
  var roundings: [Rounding: Value] = [:]
  var roundedWeights: [RoundedWeight: Value] = [:]
  /// How many constants of levels there are, the rounded weights among them.
  var constantsOfLevels = 0
  /// The types of floats that are not float32, of inputs and constants.
  var otherFloats: Set<Int> = []
  var outputNames: Set<String> = []
  /// How many elements of initializers were read, and computed of constants, so far.
  private var readCount = 0, computedCount = 0

  /// Of a file with more real inputs or outputs there is no network.
  private static let maximumBorderCount = 1024
  /// Nor of pixels with more channels.
  private static let maximumChannels = 1 << 16
  /// Nor with more tensors, which a model cannot have.
  private static let maximumValueCount = 1 << 16
  /// Nor with longer names: the time that Swift takes to compare some kinds of text grows with the square of the length.
  private static let maximumNameLength = 2048

  init(
    _ source: Onnx_GraphProto, version: Int, options: ONNXImportOptions, readExternal: @escaping ONNXExternalReader
  ) {
    (self.source, self.version, self.options) = (source, version, options)
    reader = TensorReader(readExternal: readExternal)
  }

  /// - Parameters:
  ///   - pixels: how pixels become numbers, where the file says so.
  ///   - layout: the order of the axes of its images, where it says so.
  mutating func run(pixels: ONNXExportOptions.Pixels?, layout: ONNXExportOptions.Layout?) throws(CNNError)
    -> ONNXNetwork
  {
    self.layout = layout
    try checkNames()
    for (index, tensor) in source.initializer.enumerated() {
      guard !tensor.name.isEmpty else { throw CNNError(.malformedFile, "initializer \(index) has no name") }
      guard initializers.updateValue(index, forKey: tensor.name) == nil else {
        throw CNNError(.malformedFile, "the initializer '\(tensor.name)' is given twice")
      }
    }
    let order = try source.orderedNodes()
    try source.checkOperations(of: order)
    for index in order {
      if source.node[index].operationName == "Constant", let name = source.node[index].output.first {
        constantNodes[name] = index
      }
      for name in Set(source.node[index].input) where !name.isEmpty { readers[name, default: []].append(index) }
    }
    let inputs = source.input.filter { initializers[$0.name] == nil }
    guard inputs.count <= Self.maximumBorderCount, source.output.count <= Self.maximumBorderCount else {
      throw CNNError(
        .invalidArgument,
        "the model has \(inputs.count) inputs and \(source.output.count) outputs; expected "
          + "\(Self.maximumBorderCount) at most")
    }
    var pixels = pixels
    let isDescribed = pixels != nil
    var areBytes: [Bool] = []
    for input in inputs { areBytes.append(try addInput(input)) }
    guard let pixelInput = graph.pixelInput else { throw CNNError(.malformedFile, "the model has no input") }
    let channels = graph.type(of: pixelInput.value).shape.last ?? 1
    for (input, isByte) in zip(graph.inputs, areBytes) where isByte && graph.takesPixels(input, channels: channels) {
      // Values 0...255 are taken as they stand.
      guard channels <= Self.maximumChannels else {
        throw CNNError(
          .outOfMemory,
          "input '\(input.name)' has pixels of \(channels) channels; expected \(Self.maximumChannels) at most")
      }
      pixels = .init(mean: Array(repeating: 0, count: channels), deviation: Array(repeating: 1 / 255, count: channels))
    }
    if isDescribed, let given = pixels {
      let isUsable =
        given.mean.count == channels && given.deviation.count == channels && given.mean.allSatisfy(\.isFinite)
        && given.deviation.allSatisfy { $0.isFinite && $0 > 0 }
      if !isUsable { pixels = nil }
    }
    for index in order { try addNode(source.node[index], index) }
    guard !source.output.isEmpty else { throw CNNError(.malformedFile, "the model has no output") }
    for output in source.output { try addOutput(output) }
    if pixels == nil { pixels = try pixelsOfInput() }
    reportPrecision()
    let frozen = parameters.frozen
    graph.setTrainable { !frozen.contains($0.name) }
    let finished = try graph.removingDeadNodes().removingDeadParameters().namingOutputs()
    let names = Set(finished.parameters.map(\.name))
    return ONNXNetwork(
      graph: finished, values: parameters.values.filter { names.contains($0.key) },
      name: source.name.isEmpty ? "onnx" : source.name, pixels: pixels, report: report)
  }

  private func checkNames() throws(CNNError) {
    func check(_ names: [String]) throws(CNNError) {
      if let name = names.first(where: { $0.utf8.count > Self.maximumNameLength }) {
        throw CNNError(
          .malformedFile, "a name has \(name.utf8.count) bytes; expected \(Self.maximumNameLength) at most")
      }
    }
    try check(source.initializer.map(\.name) + source.input.map(\.name) + source.output.map(\.name))
    for node in source.node {
      try check([node.name, node.opType, node.domain] + node.input + node.output)
      try check(node.attribute.map(\.name))
    }
  }

  // MARK: Nodes

  private mutating func addNode(_ proto: Onnx_NodeProto, _ index: Int) throws(CNNError) {
    do throws(CNNError) {
      guard let operation = ImportedOperations.table[proto.operationName] else {
        throw CNNError(.internalFault, "the operation is not supported")
      }
      var inputs: [Known?] = []
      for name in proto.input {
        guard !name.isEmpty else {
          inputs.append(nil)
          continue
        }
        guard let value = try value(named: name) else {
          throw CNNError(
            .malformedFile, "it reads '\(name)', which no initializer, no input and no node gives")
        }
        inputs.append(value)
      }
      stem = Self.sanitized(proto.label(index))
      var node = try ImportedNode(proto, inputs: inputs, version: version)
      let results = try operation(&self, &node)
      for case .constant(let constant) in results where constant.source == nil { try charge(constant.count) }
      try node.finish()
      for (position, name) in proto.output.enumerated() where !name.isEmpty {
        guard results.indices.contains(position) else {
          // As the mask of a dropout that nobody reads.
          guard readers[name] != nil || source.output.contains(where: { $0.name == name }) else { continue }
          throw CNNError(.invalidArgument, "its output \(position) is not supported")
        }
        guard known[name] == nil, initializers[name] == nil else {
          throw CNNError(.malformedFile, "the name '\(name)' of its output is given twice")
        }
        known[name] = results[position]
      }
    } catch {
      throw error.prefixed(proto.title(index))
    }
  }

  /// What a name stands for; an initializer is read when it is first asked for.
  mutating func value(named name: String) throws(CNNError) -> Known? {
    if let value = known[name] { return value }
    guard let index = initializers[name] else { return nil }
    do throws(CNNError) {
      let value = Known.constant(try constant(source.initializer[index], named: name))
      known[name] = value
      return value
    } catch {
      throw error.prefixed("initializer '\(name)'")
    }
  }

  /// Counts elements that are computed, or gone through, when the file is read, so that a small file does not take much
  /// memory or time: a large weight may be laid out anew a few times, not at every node.
  mutating func charge(_ count: Int) throws(CNNError) {
    let limit = try Checked.sum([Constant.maximumTotal, Checked.product([4, readCount], "weights")], "weights")
    computedCount = try Checked.sum([computedCount, count], "the constants")
    guard computedCount <= limit else {
      throw CNNError(
        .outOfMemory, "\(computedCount) elements are computed of constants; at most \(limit) are possible")
    }
  }

  /// The constant of an initializer or of a node's attribute.
  mutating func constant(_ tensor: Onnx_TensorProto, named name: String? = nil) throws(CNNError) -> Constant {
    let constant = try reader.constant(tensor, named: name)
    noteFloats(Int(tensor.dataType))
    readCount = try Checked.sum([readCount, constant.count], "the weights")
    return constant
  }

  /// Keeps which floats a file has beside float32.
  mutating func noteFloats(_ code: Int) {
    if ElementCode.isFloat(code) && code != ElementCode.float32 { otherFloats.insert(code) }
  }

  /// Reports what is computed in float32 that is of another type in the file.
  private mutating func reportPrecision() {
    if !otherFloats.isEmpty {
      let names = otherFloats.map { ElementCode.name($0) }.sorted().joined(separator: " and ")
      report.note("the file has \(names): all of it is computed in float32")
    }
    if !roundedWeights.isEmpty { report.note("\(roundedWeights.count) weights are of 8 bits, as in the file") }
    if constantsOfLevels > roundedWeights.count {
      report.note(
        "\(constantsOfLevels - roundedWeights.count) quantised constants are float32 here, with the values they stand for"
      )
    }
    if !roundings.isEmpty {
      report.note(
        "\(roundings.count) tensors are quantised in the file: they are rounded to the same levels, between which "
          + "integers are computed with where they are of 8 bits")
    }
  }

  // MARK: The graph

  /// Adds a node for the file's node at hand.
  mutating func add(_ operation: any Operation, _ operands: [Value]) throws(CNNError) -> Value {
    guard graph.valueCount < Self.maximumValueCount else {
      throw CNNError(.outOfMemory, "the network has more than \(Self.maximumValueCount) tensors")
    }
    return try graph.addSingle(operation, operands, name: graph.uniqueName(stem))
  }

  /// A parameter whose values are a constant's, laid out by `transform`; made once for each layout.
  mutating func parameter(
    _ constant: Constant, _ role: Parameter.Role, _ initializer: Initializer = .zeros, key: String = "",
    what: String = "constant",
    transform: (Constant) throws(CNNError) -> Constant = { constant throws(CNNError) in constant }
  ) throws(CNNError) -> Value {
    let floats = try constant.floats("the \(what)")
    let key = ImportedParameters.Key(floats: ObjectIdentifier(floats), shape: constant.shape, layout: key)
    if let value = parameters.made[key] { return value }
    let laidOut = try transform(constant)
    // What is more than an initializer as it is takes memory that the file does not have.
    let isNew = parameters.kept.updateValue(floats, forKey: key.floats) == nil && constant.source != nil
    let isAsRead = if case .floats(let same) = laidOut.content { same === floats } else { false }
    if !isNew || !isAsRead { try charge(laidOut.count) }
    let name = graph.uniqueName(Self.sanitized(constant.source ?? "\(stem).\(what)"))
    let parameter = Parameter(name: name, shape: laidOut.shape, role: role, initializer: initializer)
    let value = try graph.addParameter(parameter)
    parameters.made[key] = value
    parameters.values[name] = try laidOut.floats("the \(what)")
    if constant.source == nil { parameters.frozen.insert(name) }
    return value
  }

  /// A name that the graph takes: not empty, not too long, without a number behind a colon.
  static func sanitized(_ name: String) -> String {
    // Texts end at a zero for C.
    var name = name.utf8.contains(0) ? String(name.unicodeScalars.map { $0.value == 0 ? "_" : Character($0) }) : name
    if name.isEmpty { return "node" }
    if name.utf8.count > 900 { name = String(name.unicodeScalars.prefix(200).map(Character.init)) }
    while let colon = name.utf8.lastIndex(of: UInt8(ascii: ":")),
      name.utf8[name.utf8.index(after: colon)...].allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
    {
      name = String(name[..<colon])
      if name.isEmpty { return "node" }
    }
    return name
  }
}
