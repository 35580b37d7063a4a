import CNNCore
import CNNKernels
import Testing
import X86Assembler

@testable import CNNCompiler
@testable import CNNGraph

/// Plans with generated kernels against plans with portable ones, on a network that mixes what has such kernels with what
/// has none. The arena is full of NaN before each run.
@Suite struct GeneratedPlanTests {
  static let targets = [InstructionSet.avx2, .avx512].filter(Processor.host.instructionSet.isSuperset)
    .map { CodeTarget($0) }

  /// A stem, an inverted bottleneck with squeeze and excitation, residuals in both orders, groups, a concatenation, poolings
  /// and two dense layers.
  static func network() throws -> Graph {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [17, 19, 3])
    func normalized(_ x: Value, _ name: String, _ function: ActivationFunction?) throws -> Value {
      let y = try builder.batchNormalization(x, "\(name).bn")
      return try function.map { try builder.activation($0, y, "\(name).\($0.rawValue)") } ?? y
    }
    var x = try builder.convolution(
      input, "stem", outputChannels: 24, kernel: (3, 3), stride: (2, 2), padding: .same, bias: true)
    x = try normalized(x, "stem", .silu)

    var branch = try builder.convolution(x, "expand", outputChannels: 40, kernel: (1, 1))
    branch = try normalized(branch, "expand", .silu)
    branch = try builder.depthwiseConvolution(branch, "depthwise", kernel: (5, 5), padding: .same)
    branch = try normalized(branch, "depthwise", .silu)
    var gate = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), branch, name: "squeeze")
    gate = try builder.convolution(gate, "reduce", outputChannels: 6, kernel: (1, 1), bias: true)
    gate = try builder.activation(.silu, gate, "reduce.silu")
    gate = try builder.convolution(gate, "restore", outputChannels: 40, kernel: (1, 1), bias: true)
    gate = try builder.activation(.sigmoid, gate, "gate")
    branch = try builder.apply(Multiply(), branch, gate, name: "excite")
    branch = try builder.convolution(branch, "project", outputChannels: 24, kernel: (1, 1))
    x = try builder.apply(Add(), normalized(branch, "project", nil), x, name: "block")

    let left = try normalized(
      builder.convolution(x, "left", outputChannels: 32, kernel: (3, 3), padding: .all(1)), "left", nil)
    let right = try normalized(builder.convolution(x, "right", outputChannels: 32, kernel: (1, 1)), "right", nil)
    x = try builder.activation(.relu, builder.apply(Add(), left, right, name: "sum"), "sum.relu")
    // A function without code and a concatenation are computed row-major.
    var grouped = try builder.convolution(x, "grouped", outputChannels: 32, kernel: (3, 3), padding: .all(1), groups: 4)
    grouped = try builder.activation(.gelu, grouped, "grouped.gelu")
    x = try builder.apply(Concatenate(axis: -1), x, grouped, name: "joined")
    let averaged = try builder.apply(
      Pooling2D(.average, kernel: [3, 3], stride: [2, 2], padding: .all(1), countsPadding: false), x, name: "average")
    let largest = try builder.apply(
      Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .all(1)), x, name: "largest")
    x = try builder.apply(Add(), averaged, largest, name: "pooled")
    // A normalisation by itself, and a depthwise convolution that reads no pointwise one.
    x = try normalized(x, "alone", .relu6)
    x = try builder.depthwiseConvolution(x, "last", kernel: (3, 3), stride: (2, 2), padding: .all(1), bias: true)
    x = try builder.activation(.hardSwish, x, "last.hard_swish")
    x = try builder.apply(GlobalPooling2D(.average, keepsAxes: false), x, name: "pool")
    x = try builder.activation(.relu, builder.dense(x, "hidden", units: 20), "hidden.relu")
    x = try builder.apply(Softmax(), builder.dense(x, "fc", units: 5), name: "probabilities")
    try builder.graph.addOutput("probabilities", x)
    return builder.graph
  }

  static let normalization = Compiler.PixelNormalization(mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.4])

  /// The operations of a plan, each with its implementation.
  static func kinds(_ plan: Plan) -> Set<String> {
    Set(plan.graph.nodes.compactMap { ($0.operation as? Placed).map { "\($0.kind) by \($0.implementation)" } })
  }

  /// The outputs of a plan for random weights and images.
  static func outputs(of plan: Plan) throws -> [[Float]] {
    let runner = try GraphRunner(plan)
    for parameter in plan.graph.parameters {
      let values = randomValues(parameter.name, parameter.shape.reduce(1, *))
      try runner.set(
        parameter.name, parameter.name.hasSuffix("running_var") ? values.map { 1 + $0 / 2 } : values.map { $0 / 2 })
    }
    for input in plan.graph.inputs {
      let values = randomValues(input.name, plan.graph.type(of: input.value).count)
      switch input.name {
      case "target": try runner.set(input.name, values.indices.map { Float($0 % 5) })
      case "sample_weight": try runner.set(input.name, values.map { 1 + $0 })
      default:
        let isPixels = plan.graph.type(of: input.value).element == .uint8
        try runner.set(input.name, isPixels ? values.map { ($0 * 127).rounded() + 128 } : values)
      }
    }
    try runner.run()
    let first = runner.bits
    try runner.run()
    #expect(runner.bits == first, "the second run differs from the first")
    return try plan.graph.outputs.map { try runner.output($0.name) }
  }

  @Test(arguments: targets, [1, 2, 5])
  func predictionsEqualThoseOfPortableKernels(_ target: CodeTarget, _ batch: Int) throws {
    let asked = ["probabilities", "depthwise.silu", "block", "sum", "grouped", "joined", "gate", "pool", "input"]
    for (element, threads, outputs) in [
      (ElementType.float32, 1, [String]()), (.float32, 2, asked), (.uint8, 3, []), (.float32, 2, ["squeeze"]),
    ] {
      let type = try TensorType(element, [batch, 17, 19, 3])
      func plan(_ target: CodeTarget?) throws -> Plan {
        try Compiler.inferencePlan(
          Self.network(), inputs: [type], normalization: Self.normalization, outputs: outputs, threads: threads,
          target: target)
      }
      let generated = try plan(target), portable = try plan(nil)
      let kinds = Self.kinds(generated)
      // One small image is pooled where it lies rather than copied.
      if outputs.isEmpty, batch > 1 {
        #expect(
          kinds.isSuperset(of: ["conv2d by direct", "conv2d by expanded_depthwise", "pool2d by window"]), "\(kinds)")
      }
      #expect(
        !generated.graph.nodes.contains { $0.operation.kind == "normalize_pixels" },
        "pixels are normalised where they are copied")
      #expect(Self.kinds(portable).allSatisfy { $0.hasSuffix("by portable") || $0 == "reorder by copy" })
      let names = generated.graph.outputs.map(\.name)
      for (name, (a, b)) in zip(names, zip(try Self.outputs(of: generated), try Self.outputs(of: portable))) {
        expectClose(a, b, 1e-5, "\(name), \(target.instructionSet), \(threads) threads, batch \(batch)")
      }
    }
  }

  @Test(arguments: targets)
  func lossesEqualThoseOfPortableKernels(_ target: CodeTarget) throws {
    func losses(_ target: CodeTarget?) throws -> [[Float]] {
      try Self.outputs(
        of: Compiler.evaluationPlan(
          Self.network(), inputs: [TensorType(.uint8, [3, 17, 19, 3])], normalization: Self.normalization,
          loss: Loss(.sparseCategoricalCrossEntropy), threads: 2, target: target))
    }
    for (a, b) in zip(try losses(target), try losses(nil)) { expectClose(a, b, 1e-5, "\(target.instructionSet)") }
  }

  /// Losses, gradients of every parameter and the next statistics, of a network with every layer of the families.
  @Test(arguments: targets, [1, 2, 3])
  func trainingStepsEqualThoseOfPortableKernels(_ target: CodeTarget, _ threads: Int) throws {
    func plan(_ target: CodeTarget?) throws -> Plan {
      try Compiler.trainingPlan(
        Self.network(), inputs: [TensorType(.uint8, [3, 17, 19, 3])], normalization: Self.normalization,
        loss: Loss(.sparseCategoricalCrossEntropy), threads: threads, target: target)
    }
    let generated = try plan(target), portable = try plan(nil)
    let kinds = Self.kinds(generated)
    #expect(
      kinds.isSuperset(of: [
        "batch_norm_training by stream", "batch_norm_training_gradient by stream", "conv2d_input_gradient by blocks",
        "conv2d_weight_gradient by direct", "activation_gradient by stream", "streams by stream",
        "pool2d_gradient by window",
      ]), "\(kinds.sorted())")
    let outputs = (try Self.outputs(of: generated), try Self.outputs(of: portable))
    for (name, (a, b)) in zip(generated.graph.outputs.map(\.name), zip(outputs.0, outputs.1)) {
      // The gradient of a bias before a normalisation is rounding noise around 0.
      if name == "gradient:stem.bias" { continue }
      expectClose(a, b, 1e-4, "\(name), \(target.instructionSet), \(threads) threads", floor: 1e-4)
    }
  }

  /// What is computed again is the same bits, so that with little memory a step gives the same numbers.
  @Test(arguments: targets.map(Optional.init) + [nil])
  func stepsWithLittleMemoryAreTheSameBits(_ target: CodeTarget?) throws {
    func plan(_ memory: TrainingMemory) throws -> Plan {
      try Compiler.trainingPlan(
        Self.network(), inputs: [TensorType(.float32, [3, 17, 19, 3])], normalization: Self.normalization,
        loss: Loss(.sparseCategoricalCrossEntropy), memory: memory, threads: 2, target: target)
    }
    let normal = try plan(.normal), expected = try Self.outputs(of: normal)
    func convolutions(_ plan: Plan) -> Int { plan.graph.nodes.count { $0.operation.kind == "conv2d" } }
    let limit = normal.arenaByteCount / 10 * 9
    for (memory, most) in [(TrainingMemory.low, normal.arenaByteCount - 1), (.atMost(byteCount: limit), limit)] {
      let plan = try plan(memory)
      #expect(plan.arenaByteCount <= most && (target == nil || convolutions(plan) > convolutions(normal)))
      for (a, b) in zip(expected, try Self.outputs(of: plan)) { #expect(a.map(\.bitPattern) == b.map(\.bitPattern)) }
    }
  }

  /// A ResNet's stem, a convolution that adds its own input, which it must not overwrite, and two gradients that are added.
  static func residualNetwork() throws -> Graph {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [17, 19, 3])
    func convolution(_ x: Value, _ name: String, kernel: Int) throws -> Value {
      try builder.convolution(x, name, outputChannels: 32, kernel: (kernel, kernel), padding: .all(kernel / 2))
    }
    var x = try builder.batchNormalization(convolution(input, "stem", kernel: 3), "stem.bn")
    x = try builder.activation(.silu, x, "stem.silu")
    x = try builder.apply(Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .all(1)), x, name: "stem.pool")
    x = try builder.apply(Add(), convolution(x, "own", kernel: 3), x, name: "own.add")
    let left = try builder.batchNormalization(convolution(x, "left", kernel: 3), "left.bn")
    let right = try convolution(x, "right", kernel: 1)
    x = try builder.activation(.silu, builder.apply(Add(), left, right, name: "sum"), "sum.silu")
    x = try builder.apply(GlobalPooling2D(.average, keepsAxes: false), x, name: "pool")
    x = try builder.apply(Softmax(), builder.dense(x, "fc", units: 5), name: "probabilities")
    try builder.graph.addOutput("probabilities", x)
    return builder.graph
  }

  @Test(arguments: targets, [TrainingMemory.normal, .low])
  func residualsAndPoolingsAreFusedIntoGradients(_ target: CodeTarget, _ memory: TrainingMemory) throws {
    let type = try TensorType(.float32, [3, 17, 19, 3])
    func predicting(_ target: CodeTarget?) throws -> Plan {
      try Compiler.inferencePlan(
        Self.residualNetwork(), inputs: [type], normalization: Self.normalization, threads: 2, target: target)
    }
    func training(_ target: CodeTarget?) throws -> Plan {
      try Compiler.trainingPlan(
        Self.residualNetwork(), inputs: [type], normalization: Self.normalization,
        loss: Loss(.sparseCategoricalCrossEntropy),
        memory: memory, threads: 2, target: target)
    }
    let generated = try training(target)
    #expect(generated.graph.nodes.contains { $0.operation.kind == "pooled_normalization_gradient" })
    #expect(
      generated.stepCosts.contains { $0.cost.algorithm.hasSuffix("+add") && $0.cost.algorithm.hasPrefix("input") })
    for (a, b) in zip(try Self.outputs(of: predicting(target)), try Self.outputs(of: predicting(nil))) {
      expectClose(a, b, 1e-5, "\(target.instructionSet)")
    }
    let outputs = (try Self.outputs(of: generated), try Self.outputs(of: training(nil)))
    for (name, (a, b)) in zip(generated.graph.outputs.map(\.name), zip(outputs.0, outputs.1)) {
      expectClose(a, b, 1e-4, "\(name), \(target.instructionSet)", floor: 1e-4)
    }
  }
}
