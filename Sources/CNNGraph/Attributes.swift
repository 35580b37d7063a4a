import CNNCore

/// One constant of an operation, such as a stride.
public enum Attribute: Hashable, Sendable {
  /// A whole number.
  case integer(Int)
  /// A list of whole numbers.
  case integers([Int])
  /// A real number.
  case number(Double)
  /// A list of real numbers.
  case numbers([Double])
  /// Yes or no.
  case flag(Bool)
  /// A word.
  case text(String)
}

/// The constants of an operation by name, in the order in which they are printed and stored.
///
/// This is the one form in which files, the C ABI and the printer see an operation; reading it back is strict: a name
/// that no reader asked for is an error (`finish()`), not silence.
public struct Attributes: Equatable, Sendable {
  /// Names and values in order.
  public private(set) var entries: [(name: String, value: Attribute)] = []
  private var unread: Set<String> = []
  /// What a reader has asked for so far, where these are there to describe it; else nil.
  private var asked: [OptionDeclaration]?

  /// No attributes.
  public init() {}

  /// What a reader asks for: as it reads attributes of which only those `given` are there.
  ///
  /// What has no default is then some value of its type, which need not fit anything else.
  public static func declarations(
    given: Attributes = Attributes(), _ read: (inout Attributes) throws(CNNError) -> Void
  ) -> [OptionDeclaration] {
    var attributes = given
    attributes.asked = []
    do throws(CNNError) { try read(&attributes) } catch {}
    return attributes.asked ?? []
  }

  /// Says that an attribute of this name is looked for, once.
  mutating func declare(
    _ name: String, _ type: String, default usual: JSON?, _ domain: Domain = .any, among choices: [String] = []
  ) {
    guard asked?.contains(where: { $0.name == name }) == false else { return }
    // What JSON has no number for is what is meant where nothing is said.
    let isInfinite = usual?.numberValue.map { !$0.isFinite } ?? false
    var declaration = OptionDeclaration(name, type, isInfinite ? .null : usual ?? .null, "")
    (declaration.isNeeded, declaration.domain, declaration.choices) = (usual == nil, domain, choices)
    asked?.append(declaration)
  }

  /// A default, or where readers are described, some value.
  private func fallback<Value>(_ usual: Value?, or any: Value) -> Value? { usual ?? (asked == nil ? nil : any) }

  /// Reads, replaces, or (with nil) does nothing to the attribute of that name.
  public subscript(name: String) -> Attribute? {
    get { entries.first { $0.name == name }?.value }
    set {
      guard let newValue else { return }
      if let index = entries.firstIndex(where: { $0.name == name }) {
        entries[index].value = newValue
      } else {
        entries.append((name, newValue))
      }
      unread.insert(name)
    }
  }

  /// Equal names and values in the same order.
  public static func == (a: Attributes, b: Attributes) -> Bool { a.entries.elementsEqual(b.entries, by: ==) }

  private mutating func take(_ name: String) -> Attribute? {
    unread.remove(name)
    return self[name]
  }

  /// Takes a list of `count` whole numbers; nil where it is missing.
  mutating func optionalIntegers(_ name: String, count: Int) throws(CNNError) -> [Int]? {
    declare(name, "integers", default: .null)
    return contains(name) ? try integers(name, count: count) : nil
  }

  private func wrong(_ name: String, _ expected: String) -> CNNError {
    guard let value = self[name] else { return CNNError(.invalidArgument, "attribute '\(name)' is missing") }
    let text = value.text, shown = text.count > 80 ? text.prefix(80) + "..." : text[...]
    return CNNError(.invalidArgument, "attribute '\(name)' is \(shown); expected \(expected)")
  }

  /// Takes a whole number. Throws `.invalidArgument` where it is missing (and has no default) or something else.
  public mutating func integer(_ name: String, default fallback: Int? = nil) throws(CNNError) -> Int {
    declare(name, "integer", default: fallback.map { .integer(Int64($0)) })
    switch take(name) {
    case .integer(let value): return value
    case nil: if let fallback = self.fallback(fallback, or: 1) { return fallback }
    default: break
    }
    throw wrong(name, "a whole number")
  }

  /// Takes a list of `count` whole numbers (any number of them where `count` is nil).
  public mutating func integers(_ name: String, count: Int? = nil, default fallback: [Int]? = nil) throws(CNNError)
    -> [Int]
  {
    declare(name, "integers", default: fallback.map { .integers($0) })
    switch take(name) {
    case .integers(let values) where count == nil || values.count == count: return values
    // An empty list carries no element type in a file.
    case .numbers(let values) where values.isEmpty && (count == nil || count == 0): return []
    case nil: if let fallback = self.fallback(fallback, or: Array(repeating: 1, count: count ?? 1)) { return fallback }
    default: break
    }
    throw wrong(name, count.map { "\($0) whole numbers" } ?? "a list of whole numbers")
  }

  /// Takes a finite number.
  public mutating func number(_ name: String, default fallback: Double? = nil) throws(CNNError) -> Double {
    declare(name, "number", default: fallback.map { .number($0) })
    switch take(name) {
    case .number(let value) where value.isFinite: return value
    case .integer(let value): return Double(value)
    case nil: if let fallback = self.fallback(fallback, or: 1) { return fallback }
    default: break
    }
    throw wrong(name, "a finite number")
  }

  /// Takes a list of finite numbers; one number by itself is a list of one.
  public mutating func numbers(_ name: String, default fallback: [Double]? = nil) throws(CNNError) -> [Double] {
    declare(name, "numbers", default: fallback.map { .numbers($0) })
    switch take(name) {
    case .numbers(let values):
      guard let wrong = values.first(where: { !$0.isFinite }) else { return values }
      throw CNNError(.invalidArgument, "attribute '\(name)' has \(wrong); expected finite numbers")
    case .integers(let values): return values.map(Double.init)
    case .number(let value) where value.isFinite: return [value]
    case .integer(let value): return [Double(value)]
    case nil: if let fallback = self.fallback(fallback, or: [1]) { return fallback }
    default: break
    }
    throw wrong(name, "a list of finite numbers")
  }

  /// Takes a truth value.
  public mutating func flag(_ name: String, default fallback: Bool? = nil) throws(CNNError) -> Bool {
    declare(name, "flag", default: fallback.map { .bool($0) })
    switch take(name) {
    case .flag(let value): return value
    case nil: if let fallback = self.fallback(fallback, or: false) { return fallback }
    default: break
    }
    throw wrong(name, "true or false")
  }

  /// Takes a word.
  public mutating func text(_ name: String, default fallback: String? = nil) throws(CNNError) -> String {
    declare(name, "text", default: fallback.map { .string($0) })
    switch take(name) {
    case .text(let value): return value
    case nil: if let fallback = self.fallback(fallback, or: "") { return fallback }
    default: break
    }
    throw wrong(name, "a string")
  }

  /// Whether an attribute of that name is there.
  public func contains(_ name: String) -> Bool { self[name] != nil }

  /// Throws `.invalidArgument` if an attribute was never taken.
  public func finish() throws(CNNError) {
    if let name = unread.min() { throw CNNError(.invalidArgument, "attribute '\(name)' is not known here") }
  }
}

extension Attribute {
  /// The value as the printer shows it.
  public var text: String {
    switch self {
    case .integer(let value): "\(value)"
    case .integers(let values): "[\(values.map { "\($0)" }.joined(separator: ", "))]"
    case .number(let value): "\(value)"
    case .numbers(let values): "[\(values.map { "\($0)" }.joined(separator: ", "))]"
    case .flag(let value): "\(value)"
    case .text(let value): "'\(value)'"
    }
  }
}

extension Attributes: ExpressibleByDictionaryLiteral {
  /// The attributes listed, in that order.
  public init(dictionaryLiteral elements: (String, Attribute)...) {
    for (name, value) in elements { self[name] = value }
  }

  /// The same attributes and one more.
  func adding(_ name: String, _ value: Attribute) -> Attributes {
    var result = self
    result[name] = value
    return result
  }

  /// Takes one of the words of `Choice`.
  /// - Throws: `.unknownName` with the nearest word for another one.
  public mutating func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, default fallback: Choice? = nil)
    throws(CNNError) -> Choice where Choice.RawValue == String
  {
    declare(
      name, "choice", default: fallback.map { .string($0.rawValue) }, among: Choice.allCases.map(\.rawValue))
    let word = try text(name, default: fallback?.rawValue ?? (asked == nil ? nil : Choice.allCases.first?.rawValue))
    guard let choice = Choice(rawValue: word) else {
      throw unknownName(name, word, among: Choice.allCases.map(\.rawValue))
    }
    return choice
  }
}
