import CNNCore
import Testing

@testable import SwiftCNN

@Suite struct OptimizerSettingsTests {
  private func settings(_ name: String, _ text: String = "{}") throws -> OptimizerSettings {
    try OptimizerSettings(name: name, settings: #require(JSON(parsing: text).objectValue))
  }

  @Test func defaultsAreKerass() throws {
    #expect(try settings("sgd").rule == .sgd(momentum: 0, nesterov: false))
    #expect(try settings("sgd").learningRate == 0.01)
    #expect(try settings("adam").rule == .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-7))
    #expect(try settings("adam").learningRate == 0.001)
    #expect(try settings("adamw").decoupled && !settings("adam").decoupled)
  }

  /// What is made in Swift and what is read by name is one thing.
  @Test func namesBelongToRules() throws {
    #expect(try settings("adam", #"{"learning_rate": 0.01}"#) == .adam(learningRate: 0.01))
    #expect(try settings("sgd", #"{"momentum": 0.9}"#) == .sgd(momentum: 0.9))
    #expect(try settings("adamw") == .adamW() && settings("rmsprop") == .rmsprop())
    #expect(try settings("adam", #"{"clip_value": 2}"#) == .adam(clipping: .value(2)))
    var optimizer = OptimizerSettings.sgd()
    optimizer.rule = .adam()
    #expect(optimizer.name == "adam")
  }

  @Test(arguments: [
    ("sgd", #"{"momentum": 0.9, "nesterov": true, "weight_decay": 0.1, "clip_norm": 3}"#),
    ("adam", #"{"beta_1": 0.5, "ema_decay": 0.99, "decay_all": true}"#), ("adamw", "{}"),
    ("adam", #"{"epsilon_hat": true, "clip_value": 0.5}"#), ("sgd", #"{"clip_norm_each": 2}"#),
    ("sgd", #"{"gradient_accumulation_steps": 3}"#),
    ("rmsprop", #"{"rho": 0.5, "momentum": 0.1, "centered": true, "epsilon_inside_root": true}"#),
  ])
  func settingsSurviveStorage(_ name: String, _ text: String) throws {
    let settings = try settings(name, text)
    #expect(try OptimizerSettings(settings.json, "optimizer") == settings)
  }

  @Test(arguments: [
    ("sgd", #"{"learning_rate": -1}"#, "learning_rate is -1"), ("sgd", #"{"momentum": 2}"#, "momentum is 2"),
    ("sgd", #"{"nesterov": true}"#, "momentum is 0.0; expected above 0, since nesterov"),
    ("sgd", #"{"clip_norm": 0}"#, "clip_norm is 0"), ("sgd", #"{"clip_value": -1}"#, "clip_value is -1"),
    ("adam", #"{"clip_norm_each": 0}"#, "clip_norm_each is 0"),
    ("sgd", #"{"clip_norm": 1, "clip_value": 1}"#, "clip_norm and clip_value are given; expected one"),
    ("sgd", #"{"ema_decay": 1}"#, "ema_decay is 1"), ("adam", #"{"beta_1": 1}"#, "beta_1 is 1"),
    ("adam", #"{"epsilon": "x"}"#, "'epsilon': expected a number"), ("rmsprop", #"{"rho": -0.1}"#, "rho is -0.1"),
    ("sgd", #"{"weight_decay": -1}"#, "weight_decay is -1"),
    ("sgd", #"{"gradient_accumulation_steps": 0}"#, "gradient_accumulation_steps is 0; expected 1 or more"),
  ])
  func settingsOutOfRangeAreNamed(_ name: String, _ text: String, _ message: String) {
    expectError(.invalidArgument, message) { _ = try settings(name, text) }
  }

  @Test func unknownNamesSuggestTheNearest() {
    expectError(.unknownName, "did you mean 'adam'?") { _ = try settings("adan") }
    expectError(.unknownName, "did you mean 'momentum'?") { _ = try settings("sgd", #"{"momentun": 1}"#) }
    // A setting of another optimizer is not silently taken.
    expectError(.unknownName, "unknown option 'rho'") { _ = try settings("adam", #"{"rho": 0.9}"#) }
  }
}
