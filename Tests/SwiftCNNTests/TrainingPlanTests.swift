import CNNCore
import CNNGraph
import CNNKernels
import Testing
import X86Assembler

@testable import CNNCompiler
@testable import SwiftCNN

/// Training steps of whole families by generated kernels: their gradients beside those of portable ones, and the memory
/// they take.
@Suite struct TrainingPlanTests {
  static let targets = [InstructionSet.avx2, .avx512].filter(Processor.host.instructionSet.isSuperset)
    .map { CodeTarget($0) }

  /// One of each kind of block, with images as small as leave enough pixels to measure a variance.
  static let families = [
    ("resnet18", 64), ("resnet50", 64), ("resnet20", 16), ("efficientnet_b0", 64), ("efficientnet_v2_s", 64),
    ("tf_efficientnet_lite0", 64), ("resnext50_32x4d", 64),
  ]

  func model(_ name: String, _ size: Int) throws -> Model {
    var options = ModelOptions()
    (options.inputShape, options.classes, options.dropout, options.dropPath) = ([size, size, 3], 10, 0, 0)
    return try Model(name, options: options)
  }

  /// The network with a smooth function in the place of each that has corners: where rounding moves a number over a corner
  /// its gradient is another, for portable kernels with one thread and with two as well, by up to 2 % of a deep ResNet's.
  func smooth(_ network: Graph) throws -> Graph {
    try network.rewriting { rewriter, node throws(CNNError) in
      guard let activation = node.operation as? Activation, [.relu, .relu6].contains(activation.function)
      else { return false }
      try rewriter.copy(node, as: Activation(.silu))
      return true
    }
  }

  func plan(
    _ model: Model, _ network: Graph? = nil, batch: Int, _ size: Int, _ target: CodeTarget?,
    memory: TrainingMemory = .normal
  ) throws -> Plan {
    try Compiler.trainingPlan(
      network ?? model.network, inputs: [TensorType(.float32, [batch, size, size, 3])],
      normalization: model.pixelNormalization,
      loss: Loss(.sparseCategoricalCrossEntropy, fromLogits: false), memory: memory, threads: 2, target: target)
  }

  /// The outputs of one step, by name.
  func step(_ plan: Plan, _ model: Model, batch: Int, _ size: Int) throws -> [String: [Float]] {
    let context = try ExecutionContext(plan)
    var generator = PhiloxGenerator(seed: 1, stream: 1)
    let x = (0..<batch * size * size * 3).map { _ in 2 * generator.unit() - 1 }
    let y = (0..<batch).map { Int32($0 % 10) }, weights = [Float](repeating: 1, count: batch)
    try x.withUnsafeBytes { x in
      try y.withUnsafeBytes { y in
        try weights.withUnsafeBytes { weights in
          try context.run(
            parameters: model.parameters,
            inputs: [#require(x.baseAddress), #require(y.baseAddress), #require(weights.baseAddress)])
        }
      }
    }
    var outputs: [String: [Float]] = [:]
    for (index, output) in plan.graph.outputs.enumerated() { outputs[output.name] = Array(context.output(index)) }
    return outputs
  }

  /// By how much an output of a step by generated kernels differs most from that of portable ones, relative to its norm.
  func worstDifference(
    _ model: Model, _ network: Graph, batch: Int, _ size: Int, _ target: CodeTarget
  ) throws -> (difference: Double, name: String) {
    let generated = try step(plan(model, network, batch: batch, size, target), model, batch: batch, size)
    let portable = try step(plan(model, network, batch: batch, size, nil), model, batch: batch, size)
    let gradients = portable.keys.filter { $0.hasPrefix("gradient:") }
    #expect(gradients.count == network.parameters.count { $0.isTrainable } && generated.count == portable.count)
    func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    // A bias that a normalisation takes away again has a gradient of zero, and of rounding errors as computed.
    let floor = 1e-4 * norm(gradients.map { norm(portable[$0]?.map(Double.init) ?? []) })
    var worst = (difference: 0.0, name: "")
    for output in portable.keys {
      let expected = try #require(portable[output]), actual = try #require(generated[output])
      let difference =
        norm(zip(actual, expected).map { Double($0) - Double($1) }) / max(norm(expected.map(Double.init)), floor)
      if !(difference <= worst.difference) { worst = (difference, output) }
    }
    return worst
  }

  @Test(arguments: targets, families)
  func gradientsEqualThoseOfPortableKernels(_ target: CodeTarget, _ family: (name: String, size: Int)) throws {
    let (name, size) = family, batch = 6
    let model = try model(name, size)
    for (network, tolerance) in [(try smooth(model.network), 1e-3), (model.network, 0.1)] {
      let worst = try worstDifference(model, network, batch: batch, size, target)
      #expect(worst.difference <= tolerance, "\(name), \(target.instructionSet): \(worst)")
    }
  }

  /// The bytes of a step's memory, save for the gradients that the optimizer reads.
  private func workingByteCount(_ plan: Plan) -> Int {
    plan.arenaByteCount - plan.graph.outputs.reduce(0) { $0 + plan.graph.type(of: $1.value).byteCount }
  }

  @Test(arguments: [("resnet18", 224, 16), ("resnet50", 224, 16), ("efficientnet_b0", 224, 16), ("resnet20", 32, 128)])
  func littleMemoryIsHalfOfTheMemory(_ family: (name: String, size: Int, batch: Int)) throws {
    guard let target = Self.targets.last else { return }
    let model = try model(family.name, family.size)
    let normal = try plan(model, batch: family.batch, family.size, target)
    let low = try plan(model, batch: family.batch, family.size, target, memory: .low)
    #expect(2 * workingByteCount(low) <= workingByteCount(normal), "\(family.name)")
    #expect(cycles(low) <= 1.3 * cycles(normal), "\(family.name)")
  }

  /// What a step takes, as placement expects.
  private func cycles(_ plan: Plan) -> Double { plan.stepCosts.reduce(0) { $0 + $1.cost.cycles } }

  @Test func aLimitIsMetWithLittleMoreWork() throws {
    guard let target = Self.targets.last else { return }
    let model = try model("resnet20", 32)
    func plan(_ memory: TrainingMemory) throws -> Plan {
      try self.plan(model, batch: 16, 32, target, memory: memory)
    }
    let normal = try plan(.normal)
    #expect(try cycles(plan(.atMost(byteCount: normal.arenaByteCount))) == cycles(normal))
    for (percent, work) in [(90, 1.04), (70, 1.15), (52, 1.3)] {
      let limit = normal.arenaByteCount / 100 * percent, plan = try plan(.atMost(byteCount: limit))
      #expect(plan.arenaByteCount <= limit)
      #expect(cycles(plan) > cycles(normal) && cycles(plan) <= work * cycles(normal), "\(percent)")
    }
  }

  /// Of generated and of portable kernels: the error says a limit that can be met.
  @Test(arguments: [targets.last, nil]) func theLeastMemoryIsSaid(_ target: CodeTarget?) throws {
    let model = try model("resnet20", 16)
    func plan(_ bytes: Int) throws -> Plan {
      try self.plan(model, batch: 4, 16, target, memory: .atMost(byteCount: bytes))
    }
    let error = #expect(throws: CNNError.self) { try plan(1000) }
    let message = try #require(error?.message(in: .c))
    #expect(error?.code == .invalidArgument)
    #expect(message.contains("memory is 1000 bytes; a training step on [4, 16, 16, 3] takes"))
    let least = try #require(message.split(separator: " ").compactMap { Int($0) }.last)
    #expect(try plan(least).arenaByteCount <= least)
  }

  @Test func aLimitThatCannotBeMetChangesNothing() throws {
    let model = try model("resnet20", 16), data = try imageData(4, height: 16, channels: 3)
    try model.compile(#"{"optimizer": "sgd", "memory": 1000}"#)
    let before = try model.bits()
    expectError(.invalidArgument, "memory is 1000 bytes") { _ = try model.trainOnBatch(data.x.view, data.y.view) }
    expectError(.invalidArgument, "memory is 1000 bytes") { try model.fit(data.x.view, data.y.view) }
    #expect(try model.bits() == before)
    try model.compile(#"{"optimizer": "sgd", "memory": 100000000}"#)
    try model.trainOnBatch(data.x.view, data.y.view)
    #expect(try model.bits() != before)
  }

  @Test func memoryIsASettingThatTrainingCarries() throws {
    let model = try model("resnet20", 16)
    try model.compile(#"{"optimizer": "sgd", "memory": "low"}"#)
    #expect(try model.trainingSettingsText().contains(#""memory":"low""#))
    try model.compile(#"{"optimizer": "sgd", "memory": 3000000000}"#)
    #expect(try model.trainingSettingsText().contains(#""memory":3000000000"#))
    expectError(.unknownName, "memory") { try model.compile(#"{"optimizer": "sgd", "memory": "tiny"}"#) }
    for bad in ["0", "-1", "1.5", "true", "[1]"] {
      expectError(.invalidArgument, "memory") { try model.compile(#"{"optimizer": "sgd", "memory": \#(bad)}"#) }
    }
  }
}
