extension JSON {
  /// The compact JSON text of this value: no white space, members in order, numbers as short as they can be read back.
  /// Equal values give equal texts, and parsing the text gives the value.
  /// - Throws: `.notFinite` for a NaN or infinity, which JSON cannot express.
  public func serialized() throws(CNNError) -> String {
    var text = ""
    try append(to: &text)
    return text
  }

  private func append(to text: inout String) throws(CNNError) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value):
      guard value.isFinite else { throw CNNError(.notFinite, "JSON has no spelling for the number \(value)") }
      text += value.description
    case .string(let value): JSON.append(quoted: value, to: &text)
    case .array(let elements):
      text += "["
      for (index, element) in elements.enumerated() {
        if index > 0 { text += "," }
        try element.append(to: &text)
      }
      text += "]"
    case .object(let object):
      text += "{"
      for (index, member) in object.members.enumerated() {
        if index > 0 { text += "," }
        JSON.append(quoted: member.key, to: &text)
        text += ":"
        try member.value.append(to: &text)
      }
      text += "}"
    }
  }

  private static func append(quoted string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{0}"..<"\u{20}": text += (scalar.value < 0x10 ? "\\u000" : "\\u00") + String(scalar.value, radix: 16)
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
