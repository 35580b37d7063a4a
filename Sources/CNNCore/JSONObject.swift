/// The members of a JSON object, in the order in which they were written; each key at most once.
///
/// The accessors named after a kind of value throw `.malformedFile` with a message that names the key, what was
/// expected and what was found. Those that begin with `optional` return nil if the member is absent or `null`.
///
/// Keys are compared as Swift strings, so two spellings of one text (`é` composed or not) are the same key.
public struct JSONObject: Sendable, Equatable {
  /// The keys in the order of insertion.
  public private(set) var keys: [String] = []
  private var values: [String: JSON] = [:]

  /// An object without members.
  public init() {}

  /// An object with these members; of two with one key the later counts.
  public init(_ members: [(key: String, value: JSON)]) {
    for (key, value) in members { self[key] = value }
  }

  /// The members in the order of insertion.
  public var members: [(key: String, value: JSON)] {
    keys.compactMap { key in values[key].map { (key, $0) } }
  }

  /// The value of the member `key`; nil if there is none. Assigning adds, replaces or (nil) removes the member.
  public subscript(key: String) -> JSON? {
    get { values[key] }
    set {
      guard let newValue else {
        if values.removeValue(forKey: key) != nil { keys.removeAll { $0 == key } }
        return
      }
      if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
    }
  }
}

extension JSONObject {
  /// The boolean `key`.
  public func bool(_ key: String) throws(CNNError) -> Bool { try required(key, "a boolean", \.boolValue) }
  /// The integer `key`.
  public func integer(_ key: String) throws(CNNError) -> Int { try required(key, "an integer", \.integerValue) }
  /// The number `key`, written as an integer or not.
  public func number(_ key: String) throws(CNNError) -> Double { try required(key, "a number", \.numberValue) }
  /// The string `key`.
  public func string(_ key: String) throws(CNNError) -> String { try required(key, "a string", \.stringValue) }
  /// The array `key`.
  public func array(_ key: String) throws(CNNError) -> [JSON] { try required(key, "an array", \.arrayValue) }
  /// The object `key`.
  public func object(_ key: String) throws(CNNError) -> JSONObject { try required(key, "an object", \.objectValue) }
  /// The array of integers `key`.
  public func integers(_ key: String) throws(CNNError) -> [Int] {
    try required(key, "an array of integers", \.integersValue)
  }
  /// The array of numbers `key`.
  public func numbers(_ key: String) throws(CNNError) -> [Double] {
    try required(key, "an array of numbers", \.numbersValue)
  }
  /// The array of strings `key`.
  public func strings(_ key: String) throws(CNNError) -> [String] {
    try required(key, "an array of strings", \.stringsValue)
  }

  /// The boolean `key`, if present.
  public func optionalBool(_ key: String) throws(CNNError) -> Bool? { isPresent(key) ? try bool(key) : nil }
  /// The integer `key`, if present.
  public func optionalInteger(_ key: String) throws(CNNError) -> Int? { isPresent(key) ? try integer(key) : nil }
  /// The number `key`, if present.
  public func optionalNumber(_ key: String) throws(CNNError) -> Double? { isPresent(key) ? try number(key) : nil }
  /// The string `key`, if present.
  public func optionalString(_ key: String) throws(CNNError) -> String? { isPresent(key) ? try string(key) : nil }
  /// The array `key`, if present.
  public func optionalArray(_ key: String) throws(CNNError) -> [JSON]? { isPresent(key) ? try array(key) : nil }
  /// The object `key`, if present.
  public func optionalObject(_ key: String) throws(CNNError) -> JSONObject? { isPresent(key) ? try object(key) : nil }
  /// The array of integers `key`, if present.
  public func optionalIntegers(_ key: String) throws(CNNError) -> [Int]? { isPresent(key) ? try integers(key) : nil }
  /// The array of integers and nulls `key`, if present.
  public func optionalSizes(_ key: String) throws(CNNError) -> [Int?]? {
    guard isPresent(key) else { return nil }
    var sizes: [Int?] = []
    for element in try array(key) {
      guard element == .null || element.integerValue != nil else {
        throw CNNError(.malformedFile, "member '\(key)': expected integers and null, found \(element.shown)")
      }
      sizes.append(element.integerValue)
    }
    return sizes
  }
  /// The array of strings `key`, if present.
  public func optionalStrings(_ key: String) throws(CNNError) -> [String]? { isPresent(key) ? try strings(key) : nil }
  /// The array of numbers `key`, if present.
  public func optionalNumbers(_ key: String) throws(CNNError) -> [Double]? { isPresent(key) ? try numbers(key) : nil }

  /// Checks that there is no member but those named, so that a misspelt or future one is not passed over in silence.
  /// - Throws: `.malformedFile` naming the first unknown key and the nearest known one.
  public func requireKeys(among known: [String]) throws(CNNError) {
    for key in keys where !known.contains(key) {
      throw unknownName("member", key, among: known).coded(.malformedFile)
    }
  }

  private func isPresent(_ key: String) -> Bool { values[key].map { $0 != .null } ?? false }

  private func required<Value>(
    _ key: String, _ expected: String, _ convert: (JSON) -> Value?
  ) throws(CNNError) -> Value {
    guard let value = values[key] else {
      throw CNNError(.malformedFile, "member '\(key)' is missing; expected \(expected)")
    }
    guard let converted = convert(value) else {
      throw CNNError(.malformedFile, "member '\(key)': expected \(expected), found \(value.shown)")
    }
    return converted
  }
}
