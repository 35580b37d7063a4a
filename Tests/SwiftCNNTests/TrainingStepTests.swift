import CNNCore
import Testing

@testable import SwiftCNN

/// Steps of training against PyTorch.
@Suite struct TrainingStepTests {
  static let file = Result { try GoldenFile("training_step") }
  static let names: [String] = {
    guard let optimizers = try? file.get().document.object("optimizers") else { return [] }
    return optimizers.keys.sorted()
  }()

  /// The network with its initial parameters, and the batch.
  private func start() throws -> (model: Model, x: Tensor, y: Tensor, file: GoldenFile) {
    let file = try Self.file.get()
    let model = try Model(tinyNetwork(), name: "tiny")
    for parameter in model.parameterList { try model.set(parameter.name, file.values("initial/\(parameter.name)")) }
    return (
      model, try file.tensor("input"), try Tensor(file.values("labels").map { Int32($0) }, shape: [4]), file
    )
  }

  @Test func thereAreOptimizers() throws {
    _ = try Self.file.get()
    #expect(Self.names.count >= 16)
  }

  @Test(arguments: ["", "label_smoothing/"]) func lossGradientsAndStatisticsArePyTorchs(_ variant: String) throws {
    let (model, x, y, file) = try start()
    let smoothing = variant.isEmpty ? 0 : 0.1
    try model.compile(
      """
      {"loss": {"name": "sparse_categorical_crossentropy", "label_smoothing": \(smoothing)},
       "optimizer": {"name": "sgd", "learning_rate": 0}}
      """)
    let loss = try model.trainOnBatch(x.view, y.view)[0]
    expectClose([Float(loss)], try file.values("\(variant)loss"), 1e-6, "loss")
    for parameter in model.parameterList where parameter.isTrainable {
      let name = parameter.name
      expectClose(try model.gradient(name), try file.values("\(variant)gradient/\(name)"), 1e-5, name)
      #expect(try model.values(name) == file.values("initial/\(name)"), "a rate of 0 changes nothing")
    }
    guard variant.isEmpty else { return }
    for parameter in model.parameterList where parameter.role == .statistic {
      expectClose(try model.values(parameter.name), try file.values("running/\(parameter.name)"), 1e-6, parameter.name)
    }
  }

  /// Our settings for a case of the golden file.
  private func settings(_ description: JSONObject) throws -> String {
    let arguments = try description.object("arguments"), kind = try description.string("kind")
    var optimizer = JSONObject()
    optimizer["name"] = .string(["SGD": "sgd", "Adam": "adam", "AdamW": "adamw", "RMSprop": "rmsprop"][kind] ?? "")
    if kind != "SGD" { optimizer["epsilon"] = 1e-8 }  // torch.optim's default.
    let names = ["lr": "learning_rate", "eps": "epsilon", "alpha": "rho"]
    for (key, value) in arguments.members {
      if key == "betas" {
        let betas = try arguments.numbers("betas")
        (optimizer["beta_1"], optimizer["beta_2"]) = (.number(betas[0]), .number(betas[1]))
      } else {
        optimizer[names[key] ?? key] = value
      }
    }
    optimizer["decay_all"] = .bool(try description.optionalString("decays") != "weights")
    if let clip = try description.optionalNumber("clip") { optimizer["clip_norm"] = .number(clip) }
    var loss = JSONObject()
    loss["name"] = "sparse_categorical_crossentropy"
    loss["label_smoothing"] = .number(try description.optionalNumber("label_smoothing") ?? 0)
    return try JSON.object(
      {
        var object = JSONObject()
        (object["loss"], object["optimizer"]) = (.object(loss), .object(optimizer))
        return object
      }()
    ).serialized()
  }

  @Test(arguments: names) func threeStepsArePyTorchs(_ name: String) throws {
    let (model, x, y, file) = try start()
    let description = try file.document.object("optimizers").object(name)
    try model.compile(settings(description))
    var losses: [Float] = []
    for step in 1...3 {
      losses.append(Float(try model.trainOnBatch(x.view, y.view)[0]))
      if step == 2 { continue }
      for parameter in model.parameterList where step == 3 || parameter.role != .statistic {
        expectClose(
          try model.values(parameter.name), try file.values("\(name)/after\(step)/\(parameter.name)"),
          2e-6, "\(parameter.name) after \(step)", floor: 0.1)
      }
    }
    expectClose(losses, try file.values("\(name)/losses"), 2e-6, "losses")
  }

  @Test func clippingReportsAndScalesTheNorm() throws {
    let (model, x, y, file) = try start()
    try model.compile(
      #"{"optimizer": {"name": "sgd", "learning_rate": 1, "clip_norm": 0.5}}"#)
    let before = try model.bits().map { Float(bitPattern: $0) }
    _ = try model.trainOnBatch(x.view, y.view)
    let after = try model.bits().map { Float(bitPattern: $0) }
    let statistics = model.parameterList.flatMap { parameter in
      Array(repeating: parameter.role == .statistic, count: parameter.shape.reduce(1, *))
    }
    var squares = 0.0
    for index in before.indices where !statistics[index] {
      squares += Double(before[index] - after[index]) * Double(before[index] - after[index])
    }
    #expect(try file.values("sgd_clipped/norms")[0] > 0.5)
    #expect(abs(squares.squareRoot() - 0.5) < 1e-4)
  }

  @Test func aNormBelowTheLimitIsNotScaled() throws {
    func trained(_ optimizer: String) throws -> [UInt32] {
      let (model, x, y, _) = try start()
      try model.compile(#"{"optimizer": \#(optimizer)}"#)
      _ = try model.trainOnBatch(x.view, y.view)
      return try model.bits()
    }
    #expect(try trained(#"{"name": "sgd", "clip_norm": 1e6}"#) == trained(#""sgd""#))
  }
}
