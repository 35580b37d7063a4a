import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

/// Every operation against PyTorch, forward and gradient.
@Suite struct GoldenOperationTests {
  static let file = Result { try GoldenFile("operations") }
  static let names: [String] = {
    guard let cases = try? file.get().document.object("cases") else { return [] }
    return cases.keys.sorted()
  }()

  /// The case of that name as a graph. `usingSame` replaces padding by the rule that gives it.
  static func example(_ name: String, usingSame: Bool = false) throws -> OperationCase {
    let file = try file.get()
    let description = try file.document.object("cases").object(name)
    let kind = try description.string("operation")
    let given = try description.object("attributes")
    var attributes = JSONObject()
    for (key, value) in given.members where key != "bias" { attributes[key] = value }
    if usingSame { attributes["padding"] = "same" }
    let operation = try operation(kind, attributes)

    var operands: [OperationCase.Operand] = []
    for index in 0..<(try description.integer("inputs")) {
      let values = try file.values("\(name)/x\(index)")
      operands.append(.init(name: "x\(index)", shape: try file.shape("\(name)/x\(index)"), values: { _ in values }))
    }
    let roles: [String: Parameter.Role] = ["running_mean": .statistic, "running_var": .statistic, "bias": .bias]
    for parameter in try description.strings("parameters") {
      let values = try file.values("\(name)/parameter:\(parameter)")
      operands.append(
        .init(
          name: parameter, shape: try file.shape("\(name)/parameter:\(parameter)"),
          kind: .parameter(roles[parameter] ?? .weight), values: { _ in values }))
    }
    return OperationCase(
      name: name, operands: operands, trains: try description.optionalBool("training") ?? false,
      build: { graph, values in try graph.addSingle(operation, values) })
  }

  /// The golden file's names are those of the mathematics; ours have some of them as attributes.
  private static func operation(_ kind: String, _ attributes: JSONObject) throws -> any Operation {
    var attributes = attributes
    switch kind {
    case "max_pool", "average_pool":
      attributes["kind"] = kind == "max_pool" ? "max" : "average"
      return try OperationTable.make("pool2d", Attributes(json: attributes))
    case "global_max_pool": return GlobalPooling2D(.max)
    case "global_average_pool": return GlobalPooling2D(.average)
    case "flatten": return Reshape.flatten
    default: return try OperationTable.make(kind, Attributes(json: attributes))
    }
  }

  @Test func thereAreCases() throws {
    _ = try Self.file.get()
    #expect(Self.names.count > 60)
  }

  @Test(arguments: names, [1, 2, 3]) func isPyTorchs(_ name: String, _ threads: Int) throws {
    try check(Self.example(name), threads)
  }

  @Test func samePaddingIsPyTorchsExplicitOne() throws {
    var count = 0
    for name in Self.names {
      let description = try Self.file.get().document.object("cases").object(name)
      guard try description.optionalBool("same_padding") == true else { continue }
      try check(Self.example(name, usingSame: true), 1)
      count += 1
    }
    #expect(count >= 4)
  }

  private func check(_ example: OperationCase, _ threads: Int) throws {
    let file = try Self.file.get(), name = example.name
    let (runner, _) = try example.gradientRunner(upstream: file.values("\(name)/dy"), threads: threads)
    try runner.run()
    // Float32 against float64: some units in the last place of the largest element. Where large gradients cancel
    // (batch normalisation of two values) what is left is measured by their size, about 1.
    let tolerance: Float = 3e-6
    expectClose(try runner.output("y"), try file.values("\(name)/y"), tolerance, "y")
    for operand in example.operands where operand.hasGradient {
      let key = operand.kind == .input ? "d\(operand.name)" : "gradient:\(operand.name)"
      expectClose(
        try runner.output("gradient:\(operand.name)"), try file.values("\(name)/\(key)"), tolerance, key, floor: 0.1)
    }
    guard example.trains else { return }
    runner.context.applyUpdates(to: runner.parameters)
    for statistic in ["running_mean", "running_var"] {
      expectClose(
        try runner.parameter(statistic), try file.values("\(name)/updated:\(statistic)"), tolerance, statistic)
    }
  }
}
