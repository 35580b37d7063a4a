import CNNCore
import CNNKernels
import Testing
import X86Assembler

@testable import CNNCompiler
@testable import CNNGraph

/// Normalisations with fixed statistics in training, on random small networks of which random parts learn: plans with
/// generated kernels against portable ones, which neither fold nor convolve.
@Suite struct FrozenNormalizationTests {
  /// Convolutions of random shapes, each with a normalisation and a function, a normalisation by itself, and a residual.
  private func network(_ random: inout PhiloxGenerator) throws -> Graph {
    func pick<Element>(_ choices: [Element]) -> Element { choices[Int.random(in: 0..<choices.count, using: &random)] }
    var builder = GraphBuilder()
    let functions: [ActivationFunction?] = [.silu, .hardSwish, .gelu, nil]
    func function(_ x: Value) throws -> Value { try pick(functions).map { try builder.activation($0, x) } ?? x }
    var x = try builder.input(shape: [pick([5, 8, 13]), pick([6, 9]), pick([3, 8, 17])])
    if pick([true, false]) { x = try function(builder.batchNormalization(x, "first")) }
    let channels = pick([8, 12, 17, 40]), kernel = pick([1, 3])
    x = try builder.convolution(
      x, "stem", outputChannels: channels, kernel: (kernel, kernel), stride: pick([(1, 1), (2, 2)]), padding: .same,
      bias: pick([true, false]))
    x = try function(
      builder.batchNormalization(x, "stem.bn", scale: pick([true, false]), center: pick([true, false])))
    var y = try builder.depthwiseConvolution(x, "depthwise", kernel: (3, 3), padding: .same)
    y = try function(builder.batchNormalization(y, "depthwise.bn"))
    y = try builder.convolution(
      y, "project", outputChannels: channels, kernel: (1, 1), groups: channels % 4 == 0 ? pick([1, 2]) : 1)
    y = try builder.batchNormalization(y, "project.bn")
    x = try function(builder.apply(Add(), x, y))
    x = try function(builder.batchNormalization(x, "alone"))
    x = try builder.apply(GlobalPooling2D(.average, keepsAxes: false), x)
    x = try builder.dense(x, "fc", units: 5)
    try builder.graph.addOutput("logits", x)

    var graph = try pick([true, false]) ? builder.graph.frozenForm() : builder.graph
    let isLearned = graph.parameters.map { _ in pick([true, false]) }
    let names = Dictionary(uniqueKeysWithValues: zip(graph.parameters.map(\.name), isLearned))
    graph.setTrainable { names[$0.name] ?? false }
    return graph
  }

  @Test(arguments: GeneratedPlanTests.targets, 0..<24)
  func randomNetworksEqualThoseOfPortableKernels(_ target: CodeTarget, _ seed: Int) throws {
    var random = PhiloxGenerator(seed: UInt64(seed), stream: 9)
    let network = try network(&random), input = network.type(of: network.inputs[0].value).shape
    func plan(_ target: CodeTarget?) throws -> Plan {
      try Compiler.trainingPlan(
        network, inputs: [TensorType(.float32, [3] + input.dropFirst())],
        normalization: GeneratedPlanTests.normalization,
        loss: Loss(.sparseCategoricalCrossEntropy, fromLogits: true), threads: 1 + seed % 3, target: target)
    }
    let generated = try plan(target), portable = try plan(nil)
    let outputs = (try GeneratedPlanTests.outputs(of: generated), try GeneratedPlanTests.outputs(of: portable))
    for (name, (a, b)) in zip(generated.graph.outputs.map(\.name), zip(outputs.0, outputs.1)) {
      expectClose(a, b, 1e-3, "\(name), \(target.instructionSet), seed \(seed)", floor: 1e-3)
    }
  }
}
