import CNNCore

/// Reads options from a JSON object: every key that is read is known, any other is an error.
struct OptionReader {
  private let object: JSONObject
  private var known: [String] = []

  /// Reads `object` with `body`, then refuses keys that `body` did not ask for.
  /// - Throws: `.invalidArgument` for a value of the wrong kind, `.unknownName` with the nearest key for an unknown one.
  static func read(_ object: JSONObject, _ body: (inout OptionReader) throws(CNNError) -> Void) throws(CNNError) {
    var reader = OptionReader(object: object)
    do throws(CNNError) {
      try body(&reader)
    } catch {
      // The JSON readers speak of files; here the text is an argument.
      throw error.code == .malformedFile ? CNNError(.invalidArgument, error.message) : error
    }
    for key in object.keys where !reader.known.contains(key) {
      throw unknownName("option", key, among: reader.known)
    }
  }

  private init(object: JSONObject) { self.object = object }

  /// Whether the key is there, even as null.
  func contains(_ key: String) -> Bool { object[key] != nil }

  /// Reads a key with one of `JSONObject`'s accessors.
  mutating func take<Result>(_ key: String, _ read: (JSONObject) -> (String) throws(CNNError) -> Result)
    throws(CNNError) -> Result
  {
    known.append(key)
    return try read(object)(key)
  }

  /// A number; `fallback` where the key is missing or null.
  mutating func number(_ key: String, _ fallback: Double) throws(CNNError) -> Double {
    try take(key, JSONObject.optionalNumber) ?? fallback
  }

  /// A number or nothing.
  mutating func optionalNumber(_ key: String) throws(CNNError) -> Double? {
    try take(key, JSONObject.optionalNumber)
  }

  /// A whole number; `fallback` where the key is missing or null.
  mutating func integer(_ key: String, _ fallback: Int) throws(CNNError) -> Int {
    try take(key, JSONObject.optionalInteger) ?? fallback
  }

  /// A truth value; `fallback` where the key is missing or null.
  mutating func flag(_ key: String, _ fallback: Bool) throws(CNNError) -> Bool {
    try take(key, JSONObject.optionalBool) ?? fallback
  }

  /// A seed: any whole number, its bits taken as they are.
  mutating func seed(_ key: String) throws(CNNError) -> UInt64 { UInt64(bitPattern: Int64(try integer(key, 0))) }

  /// One of the words of `Choice`, or nil where the key is missing or null.
  mutating func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, of type: Choice.Type)
    throws(CNNError) -> Choice? where Choice.RawValue == String
  {
    try word(key, among: Choice.allCases.map(\.rawValue)).flatMap(Choice.init)
  }

  /// One of some words, or nil where the key is missing or null.
  @inline(never)
  private mutating func word(_ key: String, among words: [String]) throws(CNNError) -> String? {
    guard let word = try take(key, JSONObject.optionalString) else { return nil }
    guard words.contains(word) else { throw unknownName(key, word, among: words) }
    return word
  }

  /// A name, or an object with a "name" and settings of its own; nil where the key is missing or null.
  mutating func named(_ key: String) throws(CNNError) -> (name: String, settings: JSONObject)? {
    known.append(key)
    guard let value = object[key], value != .null else { return nil }
    return try Self.named(value, key)
  }

  /// A name, or an object with a "name" and settings of its own.
  static func named(_ value: JSON, _ key: String) throws(CNNError) -> (name: String, settings: JSONObject) {
    if let name = value.stringValue { return (name, JSONObject()) }
    guard let object = value.objectValue else {
      throw CNNError(.invalidArgument, "'\(key)': expected a name, or an object with a name")
    }
    guard let name = object["name"]?.stringValue else {
      throw CNNError(.invalidArgument, "'\(key)': the object has no name")
    }
    var settings = JSONObject()
    for (member, value) in object.members where member != "name" { settings[member] = value }
    return (name, settings)
  }
}
