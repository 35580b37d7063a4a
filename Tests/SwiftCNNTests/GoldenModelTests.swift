import CNNCore
import Testing

@testable import SwiftCNN

/// Whole networks against torchvision and timm.
@Suite struct GoldenModelTests {
  static let file = Result { try GoldenFile("models") }
  static let names: [String] = {
    guard let cases = try? file.get().document.object("cases") else { return [] }
    return cases.keys.sorted()
  }()

  @Test func thereAreCases() throws {
    _ = try Self.file.get()
    #expect(Self.names.count >= 14)
  }

  @Test(arguments: [
    "conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "fc.weight", "fc.bias",
  ])
  func theFormulaIsPythons(_ name: String) throws {
    let shapes = ["conv1.weight": [64, 3, 7, 7], "fc.weight": [1000, 2048], "fc.bias": [1000]]
    let expected = try Self.file.get().values("formula/\(name)")
    #expect(Array(Formula.parameter(name, shapes[name] ?? [64]).prefix(expected.count)) == expected)
  }

  @Test func theFormulasInputIsPythons() throws {
    let expected = try Self.file.get().values("formula/input")
    #expect(Formula.values("input", expected.count) == expected)
  }

  @Test(arguments: names) func logitsAreThePeers(_ name: String) throws {
    let file = try Self.file.get()
    let description = try file.document.object("cases").object(name)
    let shape = try description.integers("input_shape")
    var options = ModelOptions()
    options.inputShape = Array(shape.dropFirst())
    options.classes = try description.integer("classes")
    options.classifierActivation = nil
    let model = try Model(description.string("network"), options: options)
    #expect(model.parameterCount() == (try description.integer("parameters")))
    try model.fillWithFormula()
    for (layer, exponent) in try description.object("exponents").members {
      // By powers of two, so that nothing is rounded.
      let scale = Float(sign: .plus, exponent: try #require(exponent.integerValue), significand: 1)
      try model.set("\(layer).running_mean", model.values("\(layer).running_mean").map { $0 * scale })
      try model.set("\(layer).running_var", model.values("\(layer).running_var").map { $0 * scale * scale })
    }
    let x = try Tensor(Formula.values("input", shape.reduce(1, *)), shape: shape)
    for layer in 1...4 {
      guard file.file["\(name)/layer\(layer)_means"] != nil else { continue }
      let last = try #require(
        model.tensorNames.last { $0.hasPrefix("layer\(layer).") && !$0.dropFirst(7).contains(".") })
      let map = try model.predict(x.view, output: last)
      let pixels = map.shape[1] * map.shape[2], channels = map.shape[3]
      var means = [Float](repeating: 0, count: map.shape[0] * channels)
      for index in means.indices {
        let (image, channel) = (index / channels, index % channels)
        means[index] =
          (0..<pixels).reduce(0) { $0 + map.floats[(image * pixels + $1) * channels + channel] } / Float(pixels)
      }
      expectClose(means, try file.values("\(name)/layer\(layer)_means"), 1e-5, "layer\(layer)")
    }
    expectClose(try model.predict(x.view).values, try file.values("\(name)/logits"), 1e-5, "logits")
  }
}
