import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNCompiler
@testable import CNNGraph

@Suite struct PlacementTests {
  static let target = CodeTarget(.avx2)

  /// A step that takes operands of these types only and gives one result.
  private static func step(_ operands: [TensorType], _ result: TensorType) -> Placed {
    Placed(
      operation: Add(), implementation: "test", operandTypes: operands, types: [result], lowered: LoweredOperation())
  }

  /// What the verifier says of a step on a value of another type than it expects.
  static func fault(given: TensorType, expected: TensorType) throws -> String {
    var graph = Graph()
    let x = try graph.addInput("x", expected), y = try graph.addInput("y", given)
    let sum = try graph.addSingle(Self.step([expected, expected], expected), [x, x], name: "sum")
    try graph.addOutput("sum", sum)
    try graph.verify()
    let node = graph.nodes[0]
    graph.nodes[0] = Node(name: node.name, operation: node.operation, operands: [x, y], results: node.results)
    let error = #expect(throws: CNNError.self) { try graph.verify() }
    #expect(error?.code == .internalFault)
    return error.map { String($0.message.split(separator: "\n")[0]) } ?? ""
  }

  @Test func imagesOfEqualSizeAndOtherShapeAreNotAdded() throws {
    let image = try TensorType(.float32, [1, 8, 4, 16], layout: .blocked())
    let other = try TensorType(.float32, [1, 4, 8, 16], layout: .blocked())
    #expect(image.byteCount == other.byteCount)
    #expect(
      try Self.fault(given: other, expected: image)
        == "'sum': operand 1 of add by test is float32[1, 4, 8, 16] blocked; expected float32[1, 8, 4, 16] blocked")
  }

  @Test func aBlockedTensorIsNotReadAsRowMajor() throws {
    let rowMajor = try TensorType(.float32, [1, 8, 4, 16])
    #expect(
      try Self.fault(given: rowMajor.with(layout: .blocked()), expected: rowMajor)
        == "'sum': operand 1 of add by test is float32[1, 8, 4, 16] blocked; expected float32[1, 8, 4, 16]")
    // Nor by an operation that is not placed.
    var graph = Graph()
    let x = try graph.addInput("x", rowMajor)
    let y = try graph.addSingle(Reorder(to: rowMajor.with(layout: .blocked())), [x], name: "y")
    try graph.addOutput("z", graph.addSingle(Add(), [x, x], name: "z"))
    let node = graph.nodes[1]
    graph.nodes[1] = Node(name: node.name, operation: node.operation, operands: [x, y], results: node.results)
    let error = #expect(throws: CNNError.self) { try graph.verify() }
    #expect(error?.message.hasPrefix("'z': operand 1 lies blocked; expected row_major\n") == true)
  }

  @Test func bfloat16IsNotReadAsFloat32() throws {
    let float = try TensorType(.float32, [1, 8, 4, 32], layout: .blocked())
    #expect(
      try Self.fault(given: float.with(element: .bfloat16, layout: .blocked()), expected: float)
        == "'sum': operand 1 of add by test is bfloat16[1, 8, 4, 32] blocked; expected float32[1, 8, 4, 32] blocked")
  }

  @Test func aReorderKeepsTheShape() throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [1, 8, 4, 16]))
    let error = #expect(throws: CNNError.self) {
      try graph.add(Reorder(to: TensorType(.float32, [1, 4, 8, 16], layout: .blocked())), [x], name: "r")
    }
    #expect(error?.message == "reorder 'r': the operand has shape [1, 8, 4, 16]; expected [1, 4, 8, 16]")
  }

  /// What a value is in the placed graph is seen to the end: shapes are those of the network, layouts are named.
  @Test func theTypesOfAPlacedGraphAreThoseOfTheNetwork() throws {
    let plan = try Compiler.inferencePlan(
      GeneratedPlanTests.network(), inputs: [TensorType(.float32, [2, 17, 19, 3])],
      normalization: GeneratedPlanTests.normalization, threads: 2, target: Self.target)
    try plan.graph.verify()
    let network = try GeneratedPlanTests.network().rebound(["input": TensorType(.float32, [2, 17, 19, 3])])
    var blocked = 0
    for node in plan.graph.nodes {
      guard let value = network.value(named: node.name) else { continue }
      #expect(plan.graph.type(of: node.results[0]).shape == network.type(of: value).shape, "\(node.name)")
      if plan.graph.type(of: node.results[0]).layout == .blocked() { blocked += 1 }
    }
    #expect(blocked > 15)
  }

  @Test func whatWasChosenIsKeptWithEachStep() throws {
    let plan = try Self.plan(.float32, Self.target)
    let stem = try #require(plan.stepCosts.first { $0.name == "stem.silu" }).cost
    #expect(stem.implementation == "direct" && stem.cycles > 0)
    let sum = try #require(plan.stepCosts.first { $0.name == "pooled" }).cost
    #expect(sum.implementation == "stream")
    for (name, cost) in plan.stepCosts where !name.hasSuffix(".row_major") && !name.hasSuffix(".blocked") {
      #expect(!cost.implementation.isEmpty, "\(name)")
    }
  }

  /// What `SWIFTCNN_VERBOSE=placement` prints.
  @Test func whoWasAskedAndWhyNotIsToldOfEachNode() throws {
    let entries = Guarded<[[String]]> { [] }
    var generation = CodeGeneration(library: KernelLibrary(Self.target), workers: Workers(count: 2))
    generation.report = { entry in
      entries.withLock { $0.append(entry.split(separator: "\n").map(String.init)) }
    }
    _ = try Compiler.inferenceGraph(
      GeneratedPlanTests.network(), inputs: [TensorType(.float32, [2, 17, 19, 3])],
      normalization: GeneratedPlanTests.normalization, generation: generation)
    func lines(_ name: String) throws -> [String] {
      try #require(entries.withLock { $0 }.first { $0[0].hasPrefix("placement: \(name) (") })
    }
    let stem = try lines("stem.silu")
    #expect(stem.contains("  expanded_depthwise: no: no pointwise convolution leads to it alone"))
    #expect(stem.contains("  portable: no: it computes one operation at a time"))
    #expect(stem.contains("  tiles: no: the model computes in float32"))
    #expect(stem.contains { $0.hasPrefix("  direct: ") && $0.hasSuffix(" kcycles") })
    #expect(stem.last == "  -> direct: float32[2, 9, 10, 24] blocked")
    #expect(try lines("pooled").last == "  -> stream: float32[2, 5, 5, 64] blocked")
  }

  /// A step whose implementations all refuse what follows a node is divided: each node is placed by itself.
  @Test func whatIsNotFusedIsPlacedByItself() throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [1, 6, 6, 16]))
    // HWIO, which generated kernels do not read.
    let weight = try graph.addParameter(
      Parameter(name: "w", shape: [3, 3, 16, 8], role: .weight, initializer: .zeros))
    var convolution = Convolution2D(padding: .all(1))
    convolution.filterLayout = .hwio
    let y = try graph.addSingle(convolution, [x, weight], name: "y")
    try graph.addOutput("relu", graph.addSingle(Activation(.relu), [y], name: "relu"))
    let placed = try graph.placed(CodeGeneration(library: KernelLibrary(Self.target), workers: Workers(count: 1)))
    #expect(placed.nodes.map(\.name) == ["y", "relu"])
    try placed.verify()
  }

  /// A picture that is read as it comes, and in blocks as the residual of the same step.
  @Test func aPictureMayBeAResidualToo() throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [4, 4, 2])
    let dense = try builder.dense(x, "dense", units: 2)
    try builder.graph.addOutput("sum", builder.apply(Add(), dense, x, name: "sum"))
    let network = builder.graph
    func outputs(_ target: CodeTarget?) throws -> [[Float]] {
      try GeneratedPlanTests.outputs(
        of: Compiler.inferencePlan(
          network, inputs: [TensorType(.float32, [3, 4, 4, 2])],
          normalization: Compiler.PixelNormalization(mean: [0, 0], deviation: [1, 1]), threads: 2, target: target))
    }
    let expected = try outputs(nil)
    for target in GeneratedPlanTests.targets {
      for (a, b) in zip(try outputs(target), expected) { expectClose(a, b, 1e-6, "\(target.instructionSet)") }
    }
  }

  private static func plan(_ precision: Precision, _ target: CodeTarget?, batch: Int = 2) throws -> Plan {
    try Compiler.inferencePlan(
      GeneratedPlanTests.network(), inputs: [TensorType(.float32, [batch, 17, 19, 3])],
      normalization: GeneratedPlanTests.normalization, threads: 2, precision: precision, target: target)
  }

  /// Code for tiles is made for any processor that has them, whatever runs here; where they are not used the steps say why.
  @Test func whatIsNotComputedInBFloat16SaysWhy() throws {
    let plan = try Self.plan(.bfloat16, Self.target)
    for (name, cost) in plan.stepCosts where !cost.implementation.isEmpty {
      #expect(cost.precision == .float32 && !cost.reason.isEmpty, "\(name)")
    }
    let stem = try #require(plan.stepCosts.first { $0.name == "stem.silu" }).cost
    #expect(stem.reason == "avx2 has no instructions on bfloat16")
    let scaling = try #require(plan.stepCosts.first { $0.name == "excite" }).cost
    #expect(scaling.reason == "avx2 has no instructions on bfloat16")
    let pool = try #require(plan.stepCosts.first { $0.name == "largest" }).cost
    #expect(pool.reason == "avx2 has no instructions on bfloat16")
    let depthwise = try #require(plan.stepCosts.first { $0.name == "last.hard_swish" }).cost
    #expect(depthwise.reason == pool.reason)
    let pair = try #require(plan.stepCosts.first { $0.name == "depthwise.silu" }).cost
    #expect(pair.implementation == "expanded_depthwise" && pair.reason == stem.reason)
    #expect(try Self.plan(.float32, Self.target).stepCosts.allSatisfy { $0.cost.reason.isEmpty })
  }

  /// Where the flag is there and the rate is not, nothing is rounded.
  @Test func slowInstructionsOnBFloat16AreNotUsed() throws {
    let plan = try Self.plan(.bfloat16, CodeTarget(.avx512BF16))
    for node in plan.graph.nodes {
      for value in node.results { #expect(plan.graph.type(of: value).element == .float32, "\(node.name)") }
    }
    let stem = try #require(plan.stepCosts.first { $0.name == "stem.silu" }).cost
    #expect(
      stem.reason == "avx512_bf16 has no products of tiles of bfloat16; slower: products of bfloat16 on vectors run at "
        + "50 % of float32's rate here")
    #expect(plan.stepCosts.allSatisfy { $0.cost.precision == .float32 })
  }

  /// Float32 is taken where it has fewer products to compute, and what makes its image then does not round it; its result is
  /// written as it is read.
  @Test func float32IsTakenWhereItIsFasterThanFastProductsOfBFloat16() throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [56, 56, 64])
    for (name, kernel) in [("a", 1), ("b", 3), ("c", 1), ("d", 1)] {
      x = try builder.convolution(
        x, name, outputChannels: 64, kernel: (kernel, kernel), padding: .all(kernel / 2))
    }
    try builder.graph.addOutput("d", x)
    let plan = try Compiler.inferencePlan(
      builder.graph, inputs: [TensorType(.float32, [1, 56, 56, 64])],
      normalization: Compiler.PixelNormalization(mean: [0], deviation: [1]), threads: 2, precision: .bfloat16,
      target: Self.fast)
    func step(_ name: String) throws -> (cost: StepCost, element: ElementType) {
      let node = try #require(plan.graph.nodes.first { $0.name == name })
      return (
        try #require(plan.stepCosts.first { $0.name == name }).cost, plan.graph.type(of: node.results[0]).element
      )
    }
    let (a, b, c) = (try step("a"), try step("b"), try step("c"))
    #expect(a.cost.implementation == "direct_bfloat16" && a.element == .float32)
    #expect(b.cost.implementation == "winograd_f4" && b.element == .bfloat16)
    #expect(b.cost.precision == .float32 && b.cost.reason.hasPrefix("slower: direct_bfloat16 would take "))
    #expect(c.cost.implementation == "direct_bfloat16" && c.element == .bfloat16)
  }

  /// What computes products of bfloat16, on targets that run here and on which these are fast.
  struct Products: CustomTestStringConvertible {
    let implementation, instruction: String
    let target: CodeTarget
    var testDescription: String { implementation }
  }
  private static let fast = CodeTarget(.avx512BF16, bfloat16Rate: 1)
  private static let products: [Products] =
    (Tiles.instructionSet.map {
      [Products(implementation: "tiles", instruction: "amx_bf16", target: CodeTarget($0))]
    } ?? [])
    + (Processor.host.instructionSet.contains(.avx512BF16)
      ? [Products(implementation: "direct_bfloat16", instruction: "avx512_bf16", target: fast)] : [])

  /// Types change only where layers of the two kinds meet, and the numbers are those of float32 but for rounding.
  @Test(arguments: products, [1, 2, 5])
  func predictionsInBFloat16AreNearThoseInFloat32(_ products: Products, _ batch: Int) throws {
    let plan = try Self.plan(.bfloat16, products.target, batch: batch)
    try plan.graph.verify()
    let steps = plan.stepCosts.filter { $0.cost.implementation == products.implementation }
    #expect(!steps.isEmpty)
    for (name, cost) in steps {
      #expect(cost.precision == .bfloat16 && cost.instruction == products.instruction, "\(name)")
      // By which profiles hold it to the machine's limit.
      #expect(cost.rate == (cost.unit == .tiles ? 1 : 2), "\(name)")
    }
    for output in plan.graph.outputs { #expect(plan.graph.type(of: output.value).element == .float32) }
    let found = try GeneratedPlanTests.outputs(of: plan)
    let expected = try GeneratedPlanTests.outputs(of: Self.plan(.float32, nil, batch: batch))
    for (a, b) in zip(found, expected) { expectClose(a, b, 0.05, "batch \(batch)") }
    #expect(found != expected)
  }

  /// Squeeze and excitation, a residual and a function of their own between convolutions of bfloat16: what passes over images
  /// reads and writes bfloat16, the small products are float32, and nothing is reordered between.
  @Test(arguments: products) func passesBetweenProductsAreOnBFloat16(_ products: Products) throws {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [14, 14, 64])
    let x = try builder.convolution(input, "first", outputChannels: 80, kernel: (1, 1))
    var gate = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), x, name: "squeeze")
    gate = try builder.convolution(gate, "reduce", outputChannels: 8, kernel: (1, 1))
    gate = try builder.convolution(gate, "restore", outputChannels: 80, kernel: (1, 1))
    gate = try builder.activation(.sigmoid, gate, "gate")
    let excited = try builder.apply(Multiply(), x, gate, name: "excite")
    let sum = try builder.apply(Add(), excited, x, name: "sum")
    let function = try builder.activation(.silu, sum, "function")
    try builder.graph.addOutput(
      "last", builder.convolution(function, "last", outputChannels: 48, kernel: (1, 1)))
    func plan(_ precision: Precision, _ target: CodeTarget?) throws -> Plan {
      try Compiler.inferencePlan(
        builder.graph, inputs: [TensorType(.float32, [2, 14, 14, 64])],
        normalization: Compiler.PixelNormalization(
          mean: Array(repeating: 0, count: 64), deviation: Array(repeating: 1, count: 64)), threads: 2,
        precision: precision, target: target)
    }
    let found = try plan(.bfloat16, products.target)
    func element(_ name: String) throws -> ElementType? {
      let node = try #require(found.graph.nodes.first { $0.name == name })
      return found.graph.type(of: node.results[0]).element
    }
    for name in ["first", "excite", "sum", "function"] { #expect(try element(name) == .bfloat16, "\(name)") }
    for name in ["squeeze", "reduce", "gate", "last"] { #expect(try element(name) == .float32, "\(name)") }
    let reorders = found.graph.nodes.filter { ($0.operation as? Placed)?.operation is Reorder }.map(\.name)
      .filter { !$0.hasSuffix(".filter") }
    #expect(reorders == ["input.blocked_bfloat16", "last.row_major"])
    let cost = try #require(found.stepCosts.first { $0.name == "excite" }).cost
    #expect(cost.implementation == "stream" && cost.precision == .bfloat16 && cost.instruction == "avx512_bf16")
    let reason = try #require(found.stepCosts.first { $0.name == "reduce" }).cost.reason
    #expect(reason.hasSuffix("convolutions of one pixel, as in squeeze and excitation, are computed in float32"))
    let expected = try GeneratedPlanTests.outputs(of: plan(.float32, nil))
    for (a, b) in zip(try GeneratedPlanTests.outputs(of: found), expected) { expectClose(a, b, 0.03, "passes") }
  }

  /// Two inverted bottlenecks without a gate, between a convolution and a pooling.
  private static func bottlenecks() throws -> Graph {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [28, 28, 32])
    x = try builder.convolution(x, "first", outputChannels: 24, kernel: (1, 1))
    for (name, kernel, stride) in [("a", 3, 1), ("b", 5, 2)] {
      var branch = try builder.convolution(x, "\(name).expand", outputChannels: 144, kernel: (1, 1), bias: true)
      branch = try builder.activation(.silu, branch, "\(name).expanded")
      branch = try builder.depthwiseConvolution(
        branch, "\(name).depthwise", kernel: (kernel, kernel), stride: (stride, stride), padding: .all(kernel / 2))
      branch = try builder.activation(.relu6, branch, "\(name).middle")
      branch = try builder.convolution(branch, "\(name).project", outputChannels: 24, kernel: (1, 1))
      x = stride == 1 ? try builder.apply(Add(), branch, x, name: "\(name).sum") : branch
    }
    x = try builder.apply(Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .all(1)), x, name: "pool")
    x = try builder.convolution(x, "last", outputChannels: 40, kernel: (1, 1))
    try builder.graph.addOutput("last", x)
    return builder.graph
  }

  /// Between the products depthwise convolutions and poolings read and write bfloat16.
  @Test(arguments: products) func invertedBottlenecksInBFloat16HaveNoReorderInside(_ products: Products) throws {
    func compiled(_ precision: Precision, _ target: CodeTarget?) throws -> Plan {
      try Compiler.inferencePlan(
        Self.bottlenecks(), inputs: [TensorType(.float32, [2, 28, 28, 32])],
        normalization: Compiler.PixelNormalization(mean: [0], deviation: [1]), threads: 2, precision: precision,
        target: target)
    }
    let plan = try compiled(.bfloat16, products.target)
    try plan.graph.verify()
    let images = plan.graph.nodes.filter { $0.operation.kind == "reorder" }.map { plan.graph.type(of: $0.results[0]) }
      .filter { $0.rank == 4 && $0.shape[0] == 2 && $0.shape[3] % 8 == 0 }
    #expect(images.map(\.shape) == [[2, 28, 28, 32], [2, 7, 7, 40]])
    for name in ["first", "a.expanded", "a.middle", "a.sum", "b.expanded", "b.middle", "b.project", "pool"] {
      let node = try #require(plan.graph.nodes.first { $0.name == name })
      #expect(plan.graph.type(of: node.results[0]).element == .bfloat16, "\(name)")
    }
    for name in ["a.middle", "b.middle", "pool"] {
      let cost = try #require(plan.stepCosts.first { $0.name == name }).cost
      #expect(cost.precision == .bfloat16 && cost.instruction == "avx512_bf16" && cost.reason.isEmpty)
    }
    let found = try GeneratedPlanTests.outputs(of: plan)
    let expected = try GeneratedPlanTests.outputs(of: compiled(.float32, nil))
    for (a, b) in zip(found, expected) { expectClose(a, b, 0.05, "bottlenecks") }
    #expect(found != expected)
  }

  /// The pairs of efficientnet_b0, which were measured to be faster as two steps on a processor with tiles; and one where
  /// there is next to nothing to multiply, and much to write.
  @Test(
    .enabled(if: Tiles.instructionSet != nil),
    arguments: [
      (112, 16, 96, 3, 2, false), (56, 24, 144, 3, 1, false), (28, 40, 240, 5, 1, false), (14, 112, 672, 5, 2, false),
      (7, 192, 1152, 5, 1, false), (112, 8, 1024, 1, 1, true),
    ])
  func anExpansionIsAStepOfItsOwnWhereTilesMakeUpForTheWayToMemory(
    size: Int, inputs: Int, hidden: Int, kernel: Int, stride: Int, isOneStep: Bool
  ) throws {
    let expansion = try ConvolutionGeometry(
      batch: 1, inputHeight: size, inputWidth: size, inputChannels: inputs, outputChannels: hidden, kernelHeight: 1,
      kernelWidth: 1)
    let depthwise = try ConvolutionGeometry(
      batch: 1, inputHeight: size, inputWidth: size, inputChannels: hidden, outputChannels: hidden,
      kernelHeight: kernel, kernelWidth: kernel, strideHeight: stride, strideWidth: stride, padTop: kernel / 2,
      padLeft: kernel / 2, padBottom: kernel / 2, padRight: kernel / 2, groups: hidden)
    func choice(_ precision: Precision, _ target: CodeTarget) -> ExpansionChoice {
      ExpansionChoice(
        expansion, depthwise, target,
        CodeGeneration(library: nil, workers: Workers(count: 2), precision: precision))
    }
    let target = CodeTarget(Tiles.instructionSet ?? Processor.host.instructionSet)
    #expect(choice(.bfloat16, target).isOneStep == isOneStep, "\(choice(.bfloat16, target).reason)")
    #expect(choice(.float32, target).isOneStep && choice(.bfloat16, Self.target).isOneStep)
    #expect(choice(.bfloat16, Self.target).reason == "avx2 has no instructions on bfloat16")
  }

  /// An expansion with few weights left is a step of its own, where that and the depthwise convolution take less time.
  @Test func aSparseExpansionIsAStepOfItsOwn() throws {
    let expansion = try ConvolutionGeometry(
      batch: 1, inputHeight: 14, inputWidth: 14, inputChannels: 112, outputChannels: 672, kernelHeight: 1,
      kernelWidth: 1)
    let depthwise = try ConvolutionGeometry(
      batch: 1, inputHeight: 14, inputWidth: 14, inputChannels: 672, outputChannels: 672, kernelHeight: 5,
      kernelWidth: 5, padTop: 2, padLeft: 2, padBottom: 2, padRight: 2, groups: 672)
    func choice(keeping share: Int) -> ExpansionChoice {
      let mask = SparsityMask(count: expansion.weightCount) { ($0 % 112 + $0 / 112 / 16) % 20 < share }
      return ExpansionChoice(
        expansion, depthwise, Self.target, CodeGeneration(library: nil, workers: Workers(count: 2)),
        sparse: SparseFilter(mask, outputs: 672, inputs: 112, taps: 1, Self.target))
    }
    #expect(!choice(keeping: 1).isOneStep && choice(keeping: 1).reason.contains("apart with a sparse expansion"))
    #expect(choice(keeping: 20).isOneStep)
  }
}
