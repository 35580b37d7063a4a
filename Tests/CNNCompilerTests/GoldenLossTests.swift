import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

/// Every loss against PyTorch: one loss for each row, their mean, and its gradient.
@Suite struct GoldenLossTests {
  static let file = Result { try GoldenFile("training_step") }
  static let names: [String] = {
    guard let losses = try? file.get().document.object("losses") else { return [] }
    return losses.keys.sorted()
  }()

  @Test func thereAreLosses() throws {
    _ = try Self.file.get()
    #expect(Self.names.count >= 14)
  }

  @Test(arguments: names) func isPyTorchs(_ name: String) throws {
    let file = try Self.file.get()
    let description = try file.document.object("losses").object(name)
    let function = try #require(LossFunction(rawValue: description.string("function")))
    let loss = Loss(
      function, fromLogits: try description.bool("from_logits"),
      labelSmoothing: try description.number("label_smoothing"))
    func operand(_ role: String, _ kind: OperationCase.Kind) throws -> OperationCase.Operand {
      let values = try file.values("loss/\(name)/\(role)")
      return .init(name: role, shape: try file.shape("loss/\(name)/\(role)"), kind: kind, values: { _ in values })
    }
    let target: ElementType = function == .sparseCategoricalCrossEntropy ? .int32 : .float32
    let example = OperationCase(
      name: name, operands: [try operand("prediction", .input), try operand("target", .constant(target))],
      build: { graph, values in try graph.addSingle(loss, values) })
    // The gradient of the mean over six rows.
    let (runner, _) = try example.gradientRunner(upstream: Array(repeating: 1 / 6, count: 6), threads: 2)
    try runner.run()
    expectClose(try runner.output("y"), try file.values("loss/\(name)/rows"), 1e-6, "rows")
    expectClose(try runner.output("sum"), try file.values("loss/\(name)/mean"), 1e-6, "mean")
    var gradient = try file.values("loss/\(name)/gradient")
    if !loss.fromLogits, [.categoricalCrossEntropy, .sparseCategoricalCrossEntropy].contains(function) {
      // Keras divides probabilities by their sum; its derivative, 1 / 6 in every element here, is not in PyTorch's.
      gradient = gradient.map { $0 + 1 / 6 }
    }
    expectClose(try runner.output("gradient:prediction"), gradient, 1e-6, "gradient")
  }
}
