/// What is known of an option: the one place in which its reader, its messages and the library's description of itself
/// have it from.
public struct OptionDeclaration: Sendable, Equatable {
  /// The key.
  public var name: String
  /// The kind of value, as `include/swiftcnn.h` lists them for `scnn_describe`.
  public var type: String
  /// The value, or in a description, where nothing is said; null for none.
  public var value: JSON
  /// What Keras has where nothing is said, where that is something else.
  public var kerasValue: JSON?
  /// Whether it has to be given.
  public var isNeeded = false
  /// Whether null is a value of its own, and not the same as nothing.
  public var isNullable = false
  /// The numbers it may have.
  public var domain = Domain.any
  /// The words it may have; empty for any.
  public var choices: [String] = []
  /// The options of its value, which is an object.
  public var parts: [OptionDeclaration] = []
  /// What it is, in a sentence.
  public var documentation: String

  /// A declaration.
  public init(_ name: String, _ type: String, _ value: JSON, _ documentation: String) {
    (self.name, self.type, self.value, self.documentation) = (name, type, value, documentation)
  }

  /// As a member of a description.
  public var json: JSON {
    var object = JSONObject()
    object["type"] = .string(type)
    object["default"] = isNeeded ? .null : value
    object["keras"] = kerasValue
    if isNeeded { object["needed"] = true }
    if isNullable { object["nullable"] = true }
    if let minimum = domain.minimum {
      object[domain.excludesMinimum ? "exclusive_minimum" : "minimum"] = .number(minimum)
    }
    if let maximum = domain.maximum {
      object[domain.excludesMaximum ? "exclusive_maximum" : "maximum"] = .number(maximum)
    }
    if domain != .any { object["expected"] = .string(domain.text) }
    if !choices.isEmpty { object["choices"] = .strings(choices) }
    if !parts.isEmpty { object["options"] = Self.json(parts) }
    if !documentation.isEmpty { object["doc"] = .string(documentation) }
    return .object(object)
  }

  /// Several, as an object by name.
  public static func json(_ declarations: [OptionDeclaration]) -> JSON {
    var object = JSONObject()
    for declaration in declarations { object[declaration.name] = declaration.json }
    return .object(object)
  }
}
