import CNNCore
import CNNGraph
import Glibc
import Testing

@testable import CNNCompiler

/// Compiles and runs a graph for a test. The arena is full of NaN before every run, so that a kernel which reads what
/// nobody wrote shows itself in every test.
final class GraphRunner {
  let plan: Plan
  let context: ExecutionContext
  let parameters: ParameterStorage
  private var inputs: [Memory] = []

  convenience init(_ graph: Graph, threads: Int = 1) throws {
    try self.init(Plan(graph.removingDeadNodes(), threads: threads))
  }

  init(_ plan: Plan) throws {
    self.plan = plan
    context = try ExecutionContext(plan)
    parameters = try ParameterStorage(plan.graph.parameters)
    for input in plan.graph.inputs {
      inputs.append(try Memory(byteCount: plan.graph.type(of: input.value).byteCount, for: "input"))
    }
  }

  /// Sets an input or a parameter; integers are given as floats.
  func set(_ name: String, _ values: [Float]) throws {
    if let position = parameters.position(of: name) {
      try #require(parameters.values(at: position).count == values.count)
      _ = parameters.values(at: position).update(fromContentsOf: values)
      parameters.markChanged()
      return
    }
    let index = try #require(plan.graph.inputs.firstIndex { $0.name == name }, "no input '\(name)'")
    let type = plan.graph.type(of: plan.graph.inputs[index].value)
    try #require(type.count == values.count, "\(name) has \(type.count) elements, not \(values.count)")
    let base = inputs[index].base
    for (position, value) in values.enumerated() {
      switch type.element {
      case .float32: base.storeBytes(of: value, toByteOffset: position * 4, as: Float.self)
      case .int32: base.storeBytes(of: Int32(value), toByteOffset: position * 4, as: Int32.self)
      case .uint8: base.storeBytes(of: UInt8(value), toByteOffset: position, as: UInt8.self)
      case .bfloat16, .int8, .int16: throw CNNError(.internalFault, "no input has the type \(type.element)")
      }
    }
  }

  func poison() { memset(context.arena.base, 0xFF, context.arena.byteCount) }

  func run(seed: UInt64 = 1, step: Int = 0) throws {
    poison()
    try context.run(
      parameters: parameters, inputs: inputs.map { UnsafeRawPointer($0.base) },
      randomness: Randomness(seed: seed, step: step))
  }

  /// An output of the last run.
  func output(_ name: String) throws -> [Float] {
    let index = try #require(plan.graph.outputs.firstIndex { $0.name == name }, "no output '\(name)'")
    return Array(context.output(index))
  }

  /// All outputs of the last run, one after the other, as bits.
  var bits: [UInt32] {
    plan.graph.outputs.indices.flatMap { context.output($0).map(\.bitPattern) }
  }

  func parameter(_ name: String) throws -> [Float] {
    Array(parameters.values(at: try #require(parameters.position(of: name))))
  }
}

/// Expects numbers that differ by at most `tolerance` of the largest expected, or of `floor` where that is larger.
func expectClose(
  _ actual: [Float], _ expected: [Float], _ tolerance: Float, _ what: String, floor: Float = 1e-6,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == expected.count else {
    Issue.record("\(what): \(actual.count) elements, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let scale = max(expected.map(abs).max() ?? 0, floor)
  var worst = (difference: Float(0), index: 0)
  for (index, (a, b)) in zip(actual, expected).enumerated() {
    let difference = abs(a - b)
    if !(difference <= worst.difference) { worst = (difference, index) }
    if difference.isNaN { break }
  }
  #expect(
    worst.difference <= tolerance * scale,
    "\(what)[\(worst.index)] is \(actual.isEmpty ? 0 : actual[worst.index]), expected \(expected.isEmpty ? 0 : expected[worst.index])",
    sourceLocation: sourceLocation)
}

/// Uniform in -1..<1, the same for the same name.
func randomValues(_ name: String, _ count: Int) -> [Float] {
  let random = Philox(seed: 42, stream: RandomStream.initialValue(of: name))
  return (0..<count).map { Philox.unit(random.words(at: UInt64($0 / 4))[$0 % 4]) * 2 - 1 }
}
