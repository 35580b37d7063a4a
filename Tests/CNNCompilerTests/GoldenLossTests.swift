import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

/// Every loss against PyTorch and Keras: one loss for each prediction, their mean, and its gradient.
@Suite struct GoldenLossTests {
  static let torch = Result { try GoldenFile("training_step") }
  static let keras = Result { try GoldenFile("keras") }

  static func names(_ file: Result<GoldenFile, any Error>) -> [String] {
    guard let losses = try? file.get().document.object("losses") else { return [] }
    return losses.keys.sorted()
  }

  @Test func thereAreLosses() throws {
    _ = try (Self.torch.get(), Self.keras.get())
    #expect(Self.names(Self.torch).count >= 14 && Self.names(Self.keras).count >= 90)
  }

  @Test(arguments: names(torch)) func isPyTorchs(_ name: String) throws {
    let example = try Example(name, Self.torch.get())
    var gradient = example.gradient
    if !example.loss.fromLogits, example.dividesBySum {
      // Keras divides probabilities by their sum; its derivative, 1 / 6 in every element here, is not in PyTorch's.
      gradient = gradient.map { $0 + 1 / 6 }
    }
    try example.check(gradient: gradient, tolerance: 1e-6)
  }

  @Test(arguments: names(keras)) func isKerass(_ name: String) throws {
    let example = try Example(name, Self.keras.get())
    try example.check(gradient: example.gradient, tolerance: 2e-6)
  }

  /// A loss with its operands and what it should give.
  private struct Example {
    let name: String
    let loss: Loss
    let operands: [OperationCase.Operand]
    let rows, mean, gradient: [Float]

    var dividesBySum: Bool { [.categoricalCrossEntropy, .sparseCategoricalCrossEntropy].contains(loss.function) }

    init(_ name: String, _ file: GoldenFile) throws {
      self.name = name
      let description = try file.document.object("losses").object(name)
      loss = Loss(
        try #require(LossFunction(rawValue: description.string("function"))),
        fromLogits: try description.bool("from_logits"), labelSmoothing: try description.number("label_smoothing"),
        delta: try description.optionalNumber("delta") ?? 1, focus: try Self.focus(description))
      func operand(_ role: String, _ kind: OperationCase.Kind) throws -> OperationCase.Operand {
        let values = try file.values("loss/\(name)/\(role)")
        return .init(name: role, shape: try file.shape("loss/\(name)/\(role)"), kind: kind, values: { _ in values })
      }
      let target: ElementType = loss.function == .sparseCategoricalCrossEntropy ? .int32 : .float32
      operands = [try operand("prediction", .input), try operand("target", .constant(target))]
      (rows, mean) = (try file.values("loss/\(name)/rows"), try file.values("loss/\(name)/mean"))
      gradient = try file.values("loss/\(name)/gradient")
    }

    private static func focus(_ description: JSONObject) throws -> Focus {
      var focus = Focus()
      focus.gamma = try description.optionalNumber("gamma") ?? focus.gamma
      focus.alpha = try description.optionalNumber("alpha").map { [$0] } ?? focus.alpha
      focus.balancesClasses = try description.optionalBool("apply_class_balancing") ?? false
      return focus
    }

    func check(gradient: [Float], tolerance: Float) throws {
      let loss = loss
      let example = OperationCase(
        name: name, operands: operands, build: { graph, values in try graph.addSingle(loss, values) })
      // The gradient of the mean.
      let upstream = Array(repeating: 1 / Float(rows.count), count: rows.count)
      let (runner, _) = try example.gradientRunner(upstream: upstream, threads: 2)
      try runner.run()
      expectClose(try runner.output("y"), rows, tolerance, "rows")
      expectClose(try runner.output("sum"), mean, tolerance, "mean")
      expectClose(try runner.output("gradient:prediction"), gradient, tolerance, "gradient")
    }
  }
}
