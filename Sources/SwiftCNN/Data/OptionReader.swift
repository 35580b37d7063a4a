import CNNCore

/// Goes through the options of a thing, each of which is declared by the call that reads it: its key, its type, what it
/// is where nothing is said, the values it may have, and what it is for. What is read, checked, written and described is
/// so the same; see `Configurable`. Messages name an option as the caller's language does: in Swift it has its key in camel
/// case, where `swift` gives no other name.
struct OptionReader {
  /// What a visit is for.
  enum Purpose {
    /// Values are taken from an object, and checked.
    case reading
    /// The values that are there are checked.
    case checking
    /// The values that are there are told, whatever they are.
    case describing
  }

  let purpose: Purpose
  private let object: JSONObject
  private(set) var declarations: [OptionDeclaration] = []

  /// Reads `object` with `body`, then refuses keys that `body` did not ask for.
  /// - Parameter foreign: what to do in place of other libraries' keys.
  /// - Throws: `.invalidArgument` for a value of the wrong kind, `.unknownName` with the nearest key for an unknown one.
  static func read(
    _ object: JSONObject, foreign: [String: String] = [:], _ body: (inout OptionReader) throws(CNNError) -> Void
  ) throws(CNNError) {
    var reader = OptionReader(.reading, object)
    do throws(CNNError) {
      try body(&reader)
    } catch {
      // The JSON readers speak of files; here the text is an argument.
      throw error.code == .malformedFile ? error.coded(.invalidArgument) : error
    }
    let known = reader.declarations.map(\.name)
    for key in object.keys where !known.contains(key) {
      if let advice = foreign[key] { throw CNNError(.unknownName, "unknown option '\(key)': \(advice)") }
      throw unknownName("option", key, among: known)
    }
  }

  init(_ purpose: Purpose, _ object: JSONObject = JSONObject()) { (self.purpose, self.object) = (purpose, object) }

  /// What is given for a key: nil where it is missing, or null and nothing but that.
  private func given(_ key: String) -> JSON? { object[key].flatMap { $0 == .null ? nil : $0 } }

  /// The one of several things that is given, each by an option of its own; nil where none is.
  /// - Parameter expected: what a message says of how many may be.
  static func onlyOne<Thing>(of things: KeyValuePairs<String, Thing?>, expected: String) throws(CNNError) -> Thing? {
    let given = things.filter { $0.value != nil }
    guard given.count <= 1 else {
      let names = given.map(\.key).joined(separator: " and ")
      throw CNNError(.invalidArgument, "\(names) are given; expected \(expected)")
    }
    return given.first?.value
  }

  // MARK: Declaring

  /// Declares an option that somebody else reads: its value as it was given, and null where it was not.
  mutating func raw(
    _ key: String, _ type: String, default usual: JSON, among choices: [String], in domain: Domain,
    _ documentation: String
  ) -> JSON? {
    var declaration = OptionDeclaration(key, type, object[key] ?? usual, documentation)
    (declaration.choices, declaration.domain) = (choices, domain)
    declarations.append(declaration)
    return object[key]
  }

  /// Whether there is a value for the key.
  func isGiven(_ key: String) -> Bool { given(key) != nil }

  @inline(never)
  private mutating func declare(
    _ key: String, swift: String? = nil, _ type: String, _ value: JSON, needed: Bool = false, in domain: Domain = .any,
    among choices: [String] = [], nullable: Bool = false, _ documentation: String
  ) throws(CNNError) {
    var declaration = OptionDeclaration(key, type, value, documentation)
    (declaration.isNeeded, declaration.isNullable) = (needed, nullable)
    (declaration.domain, declaration.choices) = (domain, choices)
    declarations.append(declaration)
    guard purpose != .describing else { return }
    if needed, purpose == .reading, given(key) == nil {
      let expected = type == "text" ? "a text" : choices.isEmpty ? "a number \(domain.text)" : quoted(choices)
      throw CNNError(.invalidArgument, "'\(key)' is missing; expected \(expected)")
    }
    for number in value.numberValue.map({ [$0] }) ?? value.numbersValue ?? [] where !domain.contains(number) {
      throw CNNError(.invalidArgument, "\(option: key, swift: swift) is \(value.shown); expected \(domain.text)")
    }
  }

  /// Adds to the last declaration what Keras has where nothing is said.
  private mutating func note(keras value: JSON?) {
    if !declarations.isEmpty { declarations[declarations.count - 1].kerasValue = value }
  }

  // MARK: Single values

  /// A number.
  mutating func number(
    _ key: String, swift: String? = nil, _ value: inout Double, needed: Bool = false, in domain: Domain = .any,
    keras: Double? = nil, _ documentation: String
  ) throws(CNNError) {
    value = try object.optionalNumber(key) ?? value
    try declare(key, swift: swift, "number", .number(value), needed: needed, in: domain, documentation)
    note(keras: keras.map { .number($0) })
  }

  /// A number or nothing.
  mutating func number(
    _ key: String, swift: String? = nil, _ value: inout Double?, in domain: Domain = .any, _ documentation: String
  ) throws(CNNError) {
    value = try object.optionalNumber(key) ?? value
    try declare(key, swift: swift, "number", value.map { .number($0) } ?? .null, in: domain, documentation)
  }

  /// A whole number.
  mutating func integer(
    _ key: String, swift: String? = nil, _ value: inout Int, needed: Bool = false, in domain: Domain = .any,
    _ documentation: String
  ) throws(CNNError) {
    value = try object.optionalInteger(key) ?? value
    try declare(key, swift: swift, "integer", .integer(Int64(value)), needed: needed, in: domain, documentation)
  }

  /// A whole number or nothing.
  mutating func integer(
    _ key: String, swift: String? = nil, _ value: inout Int?, in domain: Domain = .any, _ documentation: String
  ) throws(CNNError) {
    value = try object.optionalInteger(key) ?? value
    try declare(key, swift: swift, "integer", value.map { .integer(Int64($0)) } ?? .null, in: domain, documentation)
  }

  /// A seed: any whole number, its bits taken as they are.
  mutating func seed(_ value: inout UInt64, _ documentation: String) throws(CNNError) {
    value = try object.optionalInteger("seed").map { UInt64(bitPattern: Int64($0)) } ?? value
    try declare("seed", "integer", .integer(Int64(bitPattern: value)), documentation)
  }

  /// A truth value.
  mutating func flag(_ key: String, _ value: inout Bool, keras: Bool? = nil, _ documentation: String)
    throws(CNNError)
  {
    value = try object.optionalBool(key) ?? value
    try declare(key, "flag", .bool(value), documentation)
    note(keras: keras.map { .bool($0) })
  }

  /// A truth value or nothing.
  mutating func flag(_ key: String, _ value: inout Bool?, _ documentation: String) throws(CNNError) {
    value = try object.optionalBool(key) ?? value
    try declare(key, "flag", value.map { .bool($0) } ?? .null, documentation)
  }

  /// A text.
  mutating func text(_ key: String, _ value: inout String, needed: Bool = false, _ documentation: String)
    throws(CNNError)
  {
    value = try object.optionalString(key) ?? value
    try declare(key, "text", .string(value), needed: needed, documentation)
  }

  /// A text or nothing.
  mutating func text(_ key: String, _ value: inout String?, _ documentation: String) throws(CNNError) {
    value = try object.optionalString(key) ?? value
    try declare(key, "text", value.map { .string($0) } ?? .null, documentation)
  }

  /// One of the words of `Choice`.
  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ value: inout Choice, needed: Bool = false, _ documentation: String
  ) throws(CNNError) where Choice.RawValue == String {
    let word = try word(
      key, value.rawValue, among: Choice.allCases.map(\.rawValue), needed: needed, documentation)
    value = word.flatMap(Choice.init) ?? value
  }

  /// One of the words of `Choice` or nothing.
  /// - Parameter nullable: whether null means nothing, where a missing key does not.
  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ value: inout Choice?, nullable: Bool = false, _ documentation: String
  ) throws(CNNError) where Choice.RawValue == String {
    if nullable, object[key] == .null { value = nil }
    let word = try word(
      key, value?.rawValue, among: Choice.allCases.map(\.rawValue), nullable: nullable, documentation)
    value = word.flatMap(Choice.init)
  }

  @inline(never)
  private mutating func word(
    _ key: String, _ usual: String?, among words: [String], needed: Bool = false, nullable: Bool = false,
    _ documentation: String
  ) throws(CNNError) -> String? {
    let word = try object.optionalString(key) ?? usual
    if let word, !words.contains(word) { throw unknownName(key, word, among: words) }
    try declare(
      key, "choice", word.map { .string($0) } ?? .null, needed: needed, among: words, nullable: nullable, documentation)
    return word
  }

  /// One of some words, or a whole number in their place.
  mutating func choice(
    _ key: String, _ value: inout JSON, among words: [String], orIn domain: Domain, _ documentation: String
  ) throws(CNNError) {
    if let given = given(key) {
      if let word = given.stringValue {
        if !words.contains(word) { throw unknownName(key, word, among: words) }
      } else if given.integerValue == nil {
        throw CNNError(.invalidArgument, "'\(key)': expected \(quoted(words)) or a whole number")
      }
      value = given
    }
    try declare(key, "choice or integer", value, in: domain, among: words, documentation)
  }

  // MARK: Several values

  /// Numbers or nothing.
  mutating func numbers(_ key: String, _ value: inout [Double]?, _ documentation: String) throws(CNNError) {
    if let number = object[key]?.numberValue {
      value = [number]
    } else {
      value = try object.optionalNumbers(key) ?? value
    }
    try declare(key, "numbers", value.map { .numbers($0) } ?? .null, documentation)
  }

  /// Whole numbers or nothing.
  mutating func integers(_ key: String, _ value: inout [Int]?, _ documentation: String) throws(CNNError) {
    value = try object.optionalIntegers(key) ?? value
    let numbers = value.map { $0.map { JSON.integer(Int64($0)) } }
    try declare(key, "integers", numbers.map { .array($0) } ?? .null, documentation)
  }

  /// Texts or nothing.
  mutating func texts(_ key: String, _ value: inout [String]?, _ documentation: String) throws(CNNError) {
    value = try object.optionalStrings(key) ?? value
    try declare(key, "texts", value.map { .strings($0) } ?? .null, documentation)
  }

  /// An object that somebody else reads, or nothing.
  mutating func object(_ key: String, _ value: inout JSONObject?, _ documentation: String) throws(CNNError) {
    value = try object.optionalObject(key) ?? value
    try declare(key, "object", value.map { .object($0) } ?? .null, documentation)
  }

  /// A list that somebody else reads, or nothing.
  mutating func list(_ key: String, _ documentation: String) throws(CNNError) -> [JSON]? {
    let value = try object.optionalArray(key)
    try declare(key, "list", value.map { .array($0) } ?? .null, documentation)
    return value
  }

  /// Sizes, of which null is any, or nothing.
  mutating func sizes(_ key: String, _ value: inout [Int?]?, _ documentation: String) throws(CNNError) {
    value = try object.optionalSizes(key) ?? value
    let list = value.map { sizes in JSON.array(sizes.map { $0.map { .integer(Int64($0)) } ?? .null }) }
    try declare(key, "sizes", list ?? .null, documentation)
  }

  /// A number of pixels or [height, width].
  mutating func size(
    _ key: String, swift: String? = nil, _ height: inout Int, _ width: inout Int, in domain: Domain,
    _ documentation: String
  ) throws(CNNError) {
    if let value = given(key) {
      if let side = value.integerValue {
        (height, width) = (side, side)
      } else {
        guard let sides = value.integersValue, sides.count == 2 else {
          throw CNNError(.invalidArgument, "'\(key)': expected a number of pixels or [height, width]")
        }
        (height, width) = (sides[0], sides[1])
      }
    }
    let value: JSON = height == width ? .integer(Int64(height)) : .integers([height, width])
    try declare(key, swift: swift, "size", value, in: domain, documentation)
  }

  /// A probability, true for 1/2, or false for 0.
  mutating func probability(_ key: String, swift: String? = nil, _ value: inout Double, _ documentation: String)
    throws(CNNError)
  {
    if let flag = object[key]?.boolValue {
      value = flag ? 0.5 : 0
    } else {
      value = try object.optionalNumber(key) ?? value
    }
    try declare(key, swift: swift, "probability", .number(value), in: .within(0...1), documentation)
  }

  /// Two numbers, the first not above the second.
  mutating func range(
    _ key: String, swift: String? = nil, _ value: inout ClosedRange<Double>, in domain: Domain, _ documentation: String
  ) throws(CNNError) {
    if let numbers = try object.optionalNumbers(key) {
      guard numbers.count == 2, numbers[0] <= numbers[1] else {
        throw CNNError(
          .invalidArgument, "\(option: key, swift: swift) is \(numbers); expected two numbers, the smaller one first")
      }
      value = numbers[0]...numbers[1]
    }
    try declare(key, swift: swift, "range", .numbers([value.lowerBound, value.upperBound]), in: domain, documentation)
  }

  // MARK: Things with options of their own

  /// A thing that is there with an object of options or true, and missing with false or null.
  mutating func part<Part>(
    _ key: String, swift: String? = nil, _ value: inout Part?, usual: Part, _ documentation: String,
    _ body: (inout Part, inout OptionReader) throws(CNNError) -> Void
  ) throws(CNNError) {
    if let given = given(key) {
      guard let options = given.boolValue == nil ? given.objectValue : JSONObject() else {
        throw CNNError(.invalidArgument, "'\(key)': expected true, false or an object of options")
      }
      var part = usual
      do throws(CNNError) {
        try OptionReader.read(options) { (reader) throws(CNNError) in try body(&part, &reader) }
      } catch { throw error.prefixed("\(option: key, swift: swift)") }
      value = given.boolValue == false ? nil : part
    }
    let isThere = value != nil
    var part = value ?? usual
    var reader = OptionReader(isThere && purpose != .describing ? .checking : .describing)
    do throws(CNNError) { try body(&part, &reader) } catch { throw error.prefixed("\(option: key, swift: swift)") }
    let told = JSONObject(reader.declarations.map { ($0.name, $0.value) })
    var declaration = OptionDeclaration(key, "part", isThere ? .object(told) : .null, documentation)
    declaration.parts = reader.declarations
    declarations.append(declaration)
  }

  /// A thing that is told by a name, or by an object with a name and options of its own.
  mutating func named<Thing: Named>(_ key: String, _ value: inout Thing, _ documentation: String) throws(CNNError) {
    if let given = given(key) { value = try Thing(given, key) }
    try declare(key, "named", value.json, among: Thing.names, documentation)
    if purpose == .checking { try value.validate() }
  }

  /// Several such things.
  mutating func named<Thing: Named>(_ key: String, _ values: inout [Thing], _ documentation: String) throws(CNNError) {
    if let list = try object.optionalArray(key) {
      values = []
      for given in list { values.append(try Thing(given, key)) }
    }
    try declare(key, "list of named", .array(values.map(\.json)), among: Thing.names, documentation)
    if purpose == .checking { for value in values { try value.validate() } }
  }
}

private func quoted(_ words: [String]) -> String { words.map { "'\($0)'" }.joined(separator: " or ") }

extension JSON {
  /// As a message shows a number or several.
  fileprivate var shown: String {
    if let value = integerValue { return "\(value)" }
    if let value = numberValue { return "\(value)" }
    return (numbersValue ?? []).map { "\($0)" }.joined(separator: " to ")
  }
}
