/// A JSON value (RFC 8259). Integers and other numbers are told apart, and objects keep the order of their members.
public enum JSON: Sendable, Equatable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A number written without fraction and exponent.
  case integer(Int64)
  /// Any other number; finite.
  case number(Double)
  /// A string of Unicode scalars.
  case string(String)
  /// A list of values.
  case array([JSON])
  /// A list of named values.
  case object(JSONObject)
}

extension JSON {
  /// The value of `true` or `false`, else nil.
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The value of an integer, else nil. `1.0` is not an integer.
  public var integerValue: Int? { if case .integer(let value) = self { Int(value) } else { nil } }

  /// The value of an integer or other number, else nil.
  public var numberValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The value of a string, else nil.
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }

  /// The elements of an array, else nil.
  public var arrayValue: [JSON]? { if case .array(let elements) = self { elements } else { nil } }

  /// The members of an object, else nil.
  public var objectValue: JSONObject? { if case .object(let members) = self { members } else { nil } }

  /// The elements of an array of integers; nil if this is not an array or any element is something else.
  public var integersValue: [Int]? { elements(\.integerValue) }

  /// The elements of an array of numbers; nil if this is not an array or any element is something else.
  public var numbersValue: [Double]? { elements(\.numberValue) }

  /// The elements of an array of strings; nil if this is not an array or any element is something else.
  public var stringsValue: [String]? { elements(\.stringValue) }

  private func elements<Value>(_ convert: (JSON) -> Value?) -> [Value]? {
    guard let arrayValue else { return nil }
    let converted = arrayValue.compactMap(convert)
    return converted.count == arrayValue.count ? converted : nil
  }

  /// What this is, for an error message: the value itself, as far as it is short.
  var shown: String {
    guard case .array(let elements) = self else { return shownAlone }
    let first = elements.prefix(6).map(\.shownAlone)
    return "[" + (first + (elements.count > 6 ? ["..."] : [])).joined(separator: ", ") + "]"
  }

  private var shownAlone: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): value.utf8.count > 100 ? "a string" : "'\(value)'"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSON: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// Creates `.bool`.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// Creates `.integer`.
  public init(integerLiteral value: Int64) { self = .integer(value) }
  /// Creates `.number`.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// Creates `.string`.
  public init(stringLiteral value: String) { self = .string(value) }
  /// Creates `.array`.
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// Creates `.object`; of two members with one key the later counts.
  public init(dictionaryLiteral members: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in members { object[key] = value }
    self = .object(object)
  }

  /// An array of integers.
  public static func integers(_ values: some Sequence<Int>) -> JSON { .array(values.map { .integer(Int64($0)) }) }

  /// An array of numbers.
  public static func numbers(_ values: some Sequence<Double>) -> JSON { .array(values.map { .number($0) }) }

  /// An array of strings.
  public static func strings(_ values: some Sequence<String>) -> JSON { .array(values.map { .string($0) }) }
}
