import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// What the library says of its options, against what it reads.
@Suite struct DescriptionTests {
  /// How the options of each section are read.
  static let sections: [(name: String, read: @Sendable (JSONObject) throws -> Void)] = [
    ("compile", { _ = try TrainingSettings(json: $0) }), ("fit", { _ = try FitOptions(json: $0) }),
    ("model", { _ = try ModelOptions(json: $0) }), ("graph_model", { _ = try CustomModelOptions(json: $0) }),
    ("image_folder", { _ = try ImageFolderOptions(json: $0) }), ("preprocessing", { _ = try Preprocessing(json: $0) }),
    ("stage", { _ = try EfficientNetStage(json: $0) }), ("drawing", { _ = try DrawingOptions(json: $0) }),
    ("quantization", { _ = try QuantizationOptions(json: $0) }),
    ("quantization_aware", { _ = try QuantizationAwareOptions(json: $0) }),
    ("sparsity", { _ = try SparsityOptions(json: $0) }),
    ("pruning", { _ = try PruningOptions(json: $0) }),
    ("distillation", { _ = try DistillationOptions(json: $0) }), ("profile", { _ = try ProfileOptions(json: $0) }),
  ]

  /// How the things of each section are read, by name.
  static let namedSections: [(name: String, read: @Sendable (String, JSONObject) throws -> Void)] = [
    ("losses", { _ = try compiled("loss", $0, $1) }), ("metrics", { _ = try NamedMetric(named: $0, $1) }),
    ("optimizers", { _ = try OptimizerSettings(named: $0, $1) }),
    ("schedules", { _ = try LearningRateSchedule(named: $0, $1) }),
    ("initializers", { _ = try NamedInitialValues(named: $0, $1) }),
    ("distillation_losses", { _ = try DistillationTerm(named: $0, $1) }),
  ]

  private static func compiled(_ key: String, _ name: String, _ options: JSONObject) throws {
    var thing = options
    thing["name"] = .string(name)
    _ = try TrainingSettings(json: JSONObject([(key, .object(thing))]))
  }

  private static let description = Description.json.objectValue ?? JSONObject()

  /// A value of an option that has to be given.
  private func example(_ option: JSONObject) throws -> JSON {
    if let word = try option.optionalStrings("choices")?.first { return .string(word) }
    if try option.string("type") == "text" { return "layer" }
    return .integer(1)
  }

  /// Checks that `read` takes each option with its default, and nothing that is not described.
  private func check(_ options: JSONObject, base: JSONObject = JSONObject(), _ read: (JSONObject) throws -> Void) throws
  {
    var base = base
    for (key, value) in options.members {
      let option = try #require(value.objectValue)
      if try option.optionalBool("needed") == true, base[key] == nil { base[key] = try example(option) }
    }
    #expect(throws: Never.self) { try read(base) }
    var unknown = base
    unknown["no_such_option"] = 1
    expectError(containing: "no_such_option") { try read(unknown) }
    for (key, value) in options.members {
      let option = try #require(value.objectValue)
      let isNeeded = try option.optionalBool("needed") == true
      var given = base
      if !isNeeded { given[key] = option["default"] }
      #expect(throws: Never.self, "\(key)") { try read(given) }
      if isNeeded {
        given[key] = nil
        expectError(containing: key) { try read(given) }
      }
      for (bound, excluded, sign) in [("minimum", "exclusive_minimum", -1.0), ("maximum", "exclusive_maximum", 1.0)] {
        guard let end = try option.optionalNumber(bound) ?? option.optionalNumber(excluded) else { continue }
        let outside = option[excluded] == nil ? end + sign : end
        let type = try option.string("type")
        given[key] = type == "range" ? .numbers([outside, outside]) : whole(outside)
        let expected = try option.string("expected")
        expectError(containing: key, expected) { try read(given) }
      }
      if let words = try option.optionalStrings("choices") {
        #expect(!words.isEmpty)
        let word: JSON = "no such word"
        given[key] = try option.string("type") == "list of named" ? JSON.array([word]) : word
        expectError(containing: "no such word") { try read(given) }
      }
      if let parts = try option.optionalObject("options") {
        try check(parts) { part in
          var outer = base
          outer[key] = .object(part)
          try read(outer)
        }
      }
    }
  }

  private func whole(_ number: Double) -> JSON { Int64(exactly: number).map { .integer($0) } ?? .number(number) }

  private func expectError(containing texts: String..., from body: () throws -> Void) {
    do {
      try body()
      Issue.record("nothing was thrown; expected an error with \(texts)")
    } catch {
      let message = (error as? CNNError)?.message(in: .c) ?? "\(error)"
      for text in texts { #expect(message.contains(text), "\(message)") }
    }
  }

  @Test(arguments: sections.map(\.name)) func optionsAreReadAsDescribed(_ name: String) throws {
    let section = try #require(Self.sections.first { $0.name == name })
    try check(Self.description.object(name), section.read)
  }

  @Test(arguments: namedSections.map(\.name)) func namedThingsAreReadAsDescribed(_ name: String) throws {
    let section = try #require(Self.namedSections.first { $0.name == name })
    let things = try Self.description.object(name)
    #expect(things.keys.count >= 4)
    for (thing, value) in things.members {
      let description = try #require(value.objectValue)
      #expect(try !description.string("doc").isEmpty)
      try check(description.object("options")) { try section.read(thing, $0) }
    }
    expectError(containing: "no_such_thing") { try section.read("no_such_thing", JSONObject()) }
  }

  @Test func layersAreReadAsDescribed() throws {
    let layers = try Self.description.object("layers")
    for (kind, value) in layers.members {
      let sample = try #require(others[kind] ?? LayerTableTests.layers.first { $0.kind == kind }?.options)
      let base = try #require(JSON(parsing: sample).objectValue)
      try check(try #require(value.objectValue).object("options"), base: base) { options in
        var builder = GraphBuilder()
        // As many channels as a group normalisation has groups where nothing is said.
        let x = try builder.input(shape: [8, 6, kind == "group_norm" ? 32 : 4])
        let count = ["add", "multiply", "maximum", "minimum", "concat"].contains(kind) ? 2 : 1
        _ = try builder.layer(kind, name: nil, options: options, operands: Array(repeating: x, count: count))
      }
    }
  }

  private let others = [
    "add": "{}", "multiply": "{}", "maximum": "{}", "minimum": "{}", "concat": "{}", "group_norm": "{}",
    "resize": #"{"size": 3}"#,
  ]

  @Test func activationsAreReadAsDescribed() throws {
    for (function, value) in try Self.description.object("activations").members {
      try check(
        try #require(value.objectValue).object("options"), base: JSONObject([("function", .string(function))])
      ) { options in
        var builder = GraphBuilder()
        let x = try builder.input(shape: [8, 6, 4])
        _ = try builder.layer("activation", name: nil, options: options, operands: [x])
      }
    }
  }

  /// All options with their defaults are the same as none.
  @Test func defaultsAreWhatCountsWhereNothingIsSaid() throws {
    #expect(try FitOptions(json: FitOptions().options) == FitOptions())
    #expect(try TrainingSettings(json: TrainingSettings.usual.json) == TrainingSettings(json: JSONObject()))
    for name in OptimizerSettings.names {
      let usual = try #require(OptimizerSettings(usual: name))
      #expect(try OptimizerSettings(named: name, usual.options) == usual)
    }
    for options in [ImageFolderOptions().declarations, ModelOptions().declarations] {
      #expect(Set(options.map(\.name)).count == options.count)
    }
  }

  @Test func everyNameIsDescribed() throws {
    #expect(try Self.description.object("optimizers").keys == OptimizerSettings.names)
    #expect(try Self.description.object("activations").keys == ActivationFunction.allCases.map(\.rawValue))
    let layers = GraphBuilder.parametricLayers + GraphBuilder.plainLayers.map { $0.name }
    #expect(try Self.description.object("layers").keys == layers)
    let momentum = try Self.description.object("optimizers").object("sgd").object("options").object("momentum")
    #expect(try momentum.number("minimum") == 0 && momentum.number("maximum") == 1)
    #expect(try momentum.string("expected") == "0 to 1")
  }
}
