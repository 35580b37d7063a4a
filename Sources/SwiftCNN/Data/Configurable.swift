import CNNCore

/// What is told as a JSON object of options. One visit of its options reads, checks, writes and describes them.
protocol Configurable {
  /// Gives each of the options to `options`, beginning with what they are where nothing is said.
  mutating func visit(_ options: inout OptionReader) throws(CNNError)
}

extension Configurable {
  /// Takes the options that an object has.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  mutating func read(_ json: JSONObject) throws(CNNError) {
    var result = self
    try OptionReader.read(json) { (options) throws(CNNError) in try result.visit(&options) }
    self = result
  }

  /// Throws `.invalidArgument` naming an option that is out of its domain.
  func validate() throws(CNNError) {
    var copy = self, reader = OptionReader(.checking)
    try copy.visit(&reader)
  }

  /// The options as they are.
  var declarations: [OptionDeclaration] {
    var copy = self, reader = OptionReader(.describing)
    // What does not go together is no matter of a description.
    do throws(CNNError) { try copy.visit(&reader) } catch {}
    return reader.declarations
  }

  /// The object that `read` takes.
  var options: JSONObject { JSONObject(declarations.map { ($0.name, $0.value) }) }
}

/// One of several things with options of their own, told by a name or by an object with a name.
protocol Named: Configurable {
  /// What such a thing is called in messages.
  static var sort: String { get }
  /// All names.
  static var names: [String] { get }
  /// The thing of that name with its usual options; nil where there is none.
  init?(usual name: String)
  /// The name that it is told by.
  var optionName: String { get }
  /// What it is, in a sentence.
  var documentation: String { get }
}

extension Named {
  /// Reads the thing of a name with options.
  init(named name: String, _ settings: JSONObject) throws(CNNError) {
    guard var result = Self(usual: name) else { throw unknownName(Self.sort, name, among: Self.names) }
    try result.read(settings)
    self = result
  }

  /// Reads a name, or an object with a "name" and options.
  init(_ value: JSON, _ key: String) throws(CNNError) {
    if let name = value.stringValue {
      try self.init(named: name, JSONObject())
      return
    }
    guard var settings = value.objectValue else {
      throw CNNError(.invalidArgument, "'\(key)': expected a name, or an object with a name")
    }
    guard let name = settings["name"]?.stringValue else {
      throw CNNError(.invalidArgument, "'\(key)': the object has no name")
    }
    settings["name"] = nil
    try self.init(named: name, settings)
  }

  /// The form that is read.
  var json: JSON { .object(JSONObject([("name", .string(optionName))] + options.members)) }

  /// Every thing by name, with what it is and its options.
  static var description: JSON {
    .object(
      JSONObject(
        names.compactMap { name in
          Self(usual: name).map { thing in
            (name, ["doc": .string(thing.documentation), "options": OptionDeclaration.json(thing.declarations)])
          }
        }))
  }
}
