import CNNCore
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNCompiler
@testable import CNNGraph
@testable import CNNKernels

/// Images between convolutions by tiles are written with the border of zeros with which they are read. The arena is full of
/// NaN before each run, so a border that is not written in each of them shows itself.
@Suite struct BorderTests {
  private static let hasTiles = Tiles.instructionSet != nil
  private static let around = Layout.blocked(border: .init(top: 1, left: 1, bottom: 1, right: 1))

  /// A plan in bfloat16.
  /// - Parameter asked: values that are outputs too: so they have no border, and what needs one copies them.
  private static func plan(_ graph: Graph, asked: [String] = [], batch: Int = 2) throws -> Plan {
    let input = try #require(graph.inputs.first)
    let shape = [batch] + graph.type(of: input.value).shape.dropFirst()
    let plan = try Compiler.inferencePlan(
      graph, inputs: [TensorType(.float32, shape)], normalization: .init(mean: [0], deviation: [1]),
      outputs: asked.isEmpty ? [] : asked + ["y"], threads: 2, precision: .bfloat16,
      target: CodeTarget(Tiles.instructionSet ?? Processor.host.instructionSet))
    try plan.graph.verify()
    return plan
  }

  private static func node(_ name: String, _ plan: Plan) throws -> (type: TensorType, placed: Placed) {
    let node = try #require(plan.graph.nodes.first { $0.name == name }, "no node '\(name)'")
    return (plan.graph.type(of: node.results[0]), try #require(node.operation as? Placed))
  }

  /// The bits of `y` for each of several images.
  private static func bits(_ plan: Plan, images: [String] = ["first", "second", "third"]) throws -> [[UInt32]] {
    let runner = try GraphRunner(plan)
    for parameter in plan.graph.parameters {
      try runner.set(parameter.name, randomValues(parameter.name, parameter.shape.reduce(1, *)).map { $0 / 4 })
    }
    let input = try #require(plan.graph.inputs.first)
    return try images.map { name in
      try runner.set(input.name, randomValues(name, plan.graph.type(of: input.value).count))
      try runner.run()
      return try runner.output("y").map(\.bitPattern)
    }
  }

  /// What was copied or converted, but weights.
  private static func reorders(_ plan: Plan) -> [String] {
    plan.graph.nodes.filter { $0.operation.kind == Reorder.name && !$0.name.hasSuffix(".filter") }.map(\.name)
  }

  struct Window: CustomStringConvertible {
    var kernel = (3, 3), stride = (1, 1), dilation = (1, 1)
    let padding: [Int]
    var groups = 1
    var description: String { "\(kernel)/\(stride), \(dilation), \(padding), \(groups) groups" }
  }

  @Test(
    .enabled(if: hasTiles),
    arguments: [
      Window(padding: [1, 1, 1, 1]), Window(stride: (2, 2), padding: [1, 1, 1, 1]),
      Window(stride: (2, 2), padding: [0, 0, 1, 1]), Window(kernel: (7, 7), stride: (2, 2), padding: [3, 3, 3, 3]),
      Window(kernel: (5, 3), stride: (1, 2), dilation: (2, 1), padding: [4, 0, 2, 1], groups: 2),
      Window(kernel: (1, 1), stride: (2, 2), padding: [0, 1, 0, 2]), Window(padding: [1, 1, 1, 1], groups: 8),
    ])
  func anImageBetweenTwoConvolutionsHasTheBorderOfTheSecond(_ window: Window) throws {
    let sides = window.padding
    var builder = GraphBuilder()
    let input = try builder.input(shape: [13, 10, 32])
    var x = try builder.convolution(input, "a", outputChannels: 72, kernel: (3, 3), padding: .all(1), bias: true)
    x = try builder.activation(.relu, x, "a.relu")
    x = try builder.convolution(
      x, "y", outputChannels: 40, kernel: window.kernel, stride: window.stride,
      padding: .explicit(top: sides[0], left: sides[1], bottom: sides[2], right: sides[3]), dilation: window.dilation,
      groups: window.groups)
    try builder.graph.addOutput("y", x)
    let plan = try Self.plan(builder.graph), copying = try Self.plan(builder.graph, asked: ["a.relu"])

    let border = BlockedTensor.Border(top: sides[0], left: sides[1], bottom: sides[2], right: sides[3])
    let image = try Self.node("a.relu", plan)
    #expect(image.type.element == .bfloat16 && image.type.layout == .blocked(border: border))
    #expect(image.placed.lowered.cost.algorithm == "tiles+relu+border")
    #expect(try Self.node("y", plan).placed.lowered.workspaceByteCount == 0)
    #expect(Self.reorders(plan) == ["input.blocked_bfloat16", "a.bias.blocked", "y.row_major"])

    let plain = try Self.node("a.relu", copying)
    #expect(plain.type.layout == .blocked() && plain.placed.lowered.cost.algorithm == "tiles+relu")
    #expect(try Self.node("y", copying).placed.lowered.workspaceByteCount == image.type.byteCount)
    #expect(try Self.bits(plan) == Self.bits(copying))
  }

  /// A stage of a residual network, and the beginning of the next.
  private static func stage(_ last: (inout GraphBuilder, Value) throws -> Value) throws -> Graph {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [12, 12, 64])
    x = try builder.convolution(x, "first", outputChannels: 48, kernel: (1, 1))
    for name in ["a", "b"] {
      var branch = try builder.convolution(x, "\(name).1", outputChannels: 48, kernel: (3, 3), padding: .all(1))
      branch = try builder.activation(.relu, branch, "\(name).middle")
      branch = try builder.convolution(branch, "\(name).2", outputChannels: 48, kernel: (3, 3), padding: .all(1))
      x = try builder.activation(.relu, builder.apply(Add(), branch, x, name: "\(name).add"), "\(name).sum")
    }
    try builder.graph.addOutput("y", last(&builder, x))
    return builder.graph
  }

  private static func nextStage(_ builder: inout GraphBuilder, _ x: Value) throws -> Value {
    let left = try builder.convolution(
      x, "c.1", outputChannels: 64, kernel: (3, 3), stride: (2, 2), padding: .all(1))
    let right = try builder.convolution(x, "c.shortcut", outputChannels: 64, kernel: (1, 1), stride: (2, 2))
    let sum = try builder.apply(Add(), left, right, name: "c.sum")
    return try builder.convolution(sum, "y", outputChannels: 32, kernel: (1, 1))
  }

  @Test(.enabled(if: hasTiles)) func aResidualStreamHasOneBorder() throws {
    let graph = try Self.stage(Self.nextStage)
    let plan = try Self.plan(graph)
    for name in ["first", "a.middle", "a.sum", "b.middle", "b.sum"] {
      #expect(try Self.node(name, plan).type.layout == Self.around, "\(name)")
    }
    for name in ["c.1", "c.sum"] { #expect(try Self.node(name, plan).type.layout == .blocked(), "\(name)") }
    #expect(Self.reorders(plan) == ["input.blocked_bfloat16", "y.row_major"])
    let copying = try Self.plan(graph, asked: ["first", "a.middle", "a.sum", "b.middle", "b.sum"])
    #expect(try Self.node("a.sum", copying).type.layout == .blocked())
    #expect(try Self.bits(plan) == Self.bits(copying))
  }

  /// A pooling takes no border, a depthwise convolution neither, and a pointwise one would compute it too: so what they read
  /// has none, nor what is added to that; what is in no sum keeps its own.
  @Test(.enabled(if: hasTiles), arguments: ["pooling", "pointwise", "depthwise", "output"])
  func aStreamThatIsReadWithoutABorderHasNone(_ reader: String) throws {
    let graph = try Self.stage { builder, x in
      switch reader {
      case "pooling":
        let pool = Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .all(1))
        try builder.graph.addOutput("other", builder.apply(pool, x, name: "other"))
      case "pointwise":
        try builder.graph.addOutput("other", builder.convolution(x, "other", outputChannels: 64, kernel: (1, 1)))
      case "depthwise":
        try builder.graph.addOutput(
          "other", builder.depthwiseConvolution(x, "other", kernel: (3, 3), stride: (2, 2), padding: .all(1)))
      default: try builder.graph.addOutput("other", x)
      }
      return try Self.nextStage(&builder, x)
    }
    let plan = try Self.plan(graph)
    for name in ["first", "a.sum", "b.sum"] { #expect(try Self.node(name, plan).type.layout == .blocked(), "\(name)") }
    for name in ["a.middle", "b.middle"] { #expect(try Self.node(name, plan).type.layout == Self.around, "\(name)") }
    let copying = try Self.plan(graph, asked: ["a.middle", "b.middle"])
    #expect(try Self.bits(plan) == Self.bits(copying))
  }

  /// A network whose stream of residuals begins with what something makes of the image.
  private static func stream(_ begin: (inout GraphBuilder, Value) throws -> Value) throws -> Graph {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [24, 24, 64])
    let wide = try builder.convolution(input, "wide", outputChannels: 48, kernel: (1, 1))
    var x = try begin(&builder, wide)
    let branch = try builder.convolution(x, "a", outputChannels: 48, kernel: (3, 3), padding: .all(1))
    x = try builder.apply(Add(), branch, x, name: "sum")
    try builder.graph.addOutput("y", builder.convolution(x, "y", outputChannels: 48, kernel: (3, 3), padding: .all(1)))
    return builder.graph
  }

  /// What else makes images of bfloat16 gives them no border, nor has what is added to them.
  @Test(.enabled(if: hasTiles)) func aStreamThatBeginsWithoutABorderHasNone() throws {
    let plan = try Self.plan(
      Self.stream { builder, x in
        try builder.depthwiseConvolution(x, "begin", kernel: (3, 3), stride: (2, 2), padding: .all(1))
      })
    for name in ["begin", "sum"] {
      let type = try Self.node(name, plan).type
      #expect(type.element == .bfloat16 && type.layout == .blocked(), "\(name)")
    }
    #expect(Self.reorders(plan) == ["input.blocked_bfloat16", "y.row_major"])
  }

  @Test(.enabled(if: hasTiles), arguments: [PoolingKind.max, .average])
  func poolingsWriteTheBorderToo(_ kind: PoolingKind) throws {
    let graph = try Self.stream { builder, x in
      try builder.apply(
        Pooling2D(kind, kernel: [3, 3], stride: [2, 2], padding: .all(1)), x, name: "begin")
    }
    let plan = try Self.plan(graph), copying = try Self.plan(graph, asked: ["begin", "sum"])
    for name in ["begin", "sum"] {
      #expect(try Self.node(name, plan).type.layout == Self.around, "\(name)")
      #expect(try Self.node(name, copying).type.layout == .blocked(), "\(name)")
    }
    #expect(try Self.node("y", plan).placed.lowered.workspaceByteCount == 0)
    #expect(try Self.bits(plan) == Self.bits(copying))
  }

  /// An image with a border is copied into each other form and out of it, rounded once.
  @Test(.enabled(if: hasTiles)) func bordersComeAndGoWithReorders() throws {
    let rows = try TensorType(.float32, [2, 5, 7, 40])
    let floats = try rows.with(layout: .blocked()), rounded = try rows.with(element: .bfloat16, layout: .blocked())
    let framed = try rounded.with(layout: .blocked(border: .init(top: 1, left: 2, right: 3)))
    let ways = [
      [floats, framed, floats, rows], [floats, framed, rounded, rows], [rounded, framed, rounded, floats, rows],
      [framed, rows],
    ]
    let target = CodeTarget(Processor.host.instructionSet)
    for way in ways {
      let library = KernelLibrary(target)
      var graph = Graph()
      var x = try graph.addInput("x", rows)
      for (index, type) in way.enumerated() {
        let from = graph.type(of: x)
        #expect(Reorder.isPossible(from: from, to: type, target))
        x = try graph.add(
          Placed(
            operation: Reorder(to: type), implementation: "copy", operandTypes: [from], types: [type],
            lowered: Reorder.lower(from: from, to: type, library)), [x], name: "y\(index)")[0]
      }
      try graph.addOutput("y", x)
      try library.finish()
      let runner = try GraphRunner(Plan(placed: graph, Workers(count: 2)))
      let values = randomValues("x", rows.count)
      try runner.set("x", values)
      try runner.run()
      #expect(try runner.output("y") == values.map { Float(BFloat16($0)) }, "\(way)")
    }
  }

  @Test func anImageWithABorderIsNotReadAsOneWithout() throws {
    let plain = try TensorType(.bfloat16, [1, 8, 4, 32], layout: .blocked())
    let framed = try plain.with(layout: Self.around)
    let (given, expected) = ("bfloat16[1, 8, 4, 32] blocked[1, 1, 1, 1]", "bfloat16[1, 8, 4, 32] blocked")
    #expect(
      try PlacementTests.fault(given: framed, expected: plain)
        == "'sum': operand 1 of add by test is \(given); expected \(expected)")
    #expect(
      try PlacementTests.fault(given: plain, expected: framed)
        == "'sum': operand 1 of add by test is \(expected); expected \(given)")
  }
}
