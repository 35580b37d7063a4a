/// The names of options in messages: each language has its own spelling, and a message is written once.
///
///     throw CNNError(.invalidArgument, "\(option: "batch_size") is \(batchSize); expected 1 or more")
///
/// From Swift it reads `batchSize is 0; expected 1 or more`, from C and Python `batch_size is 0; ...`.
enum OptionName {
  /// Around a name: no text that is shown has these. Between them is C's spelling, and behind the separator Swift's.
  static let begin: Unicode.Scalar = "\u{2}", separator: Unicode.Scalar = "\u{1F}", end: Unicode.Scalar = "\u{3}"

  /// Swift's spelling of a name that has no other: `batchSize` of `batch_size`.
  static func camelCased(_ name: String) -> String {
    var result = "", isNextUpper = false
    for character in name {
      if character == "_" {
        isNextUpper = true
      } else {
        result += isNextUpper ? character.uppercased() : String(character)
        isNextUpper = false
      }
    }
    return result
  }

  /// A text whose names are marked, as a language has them.
  static func spelled(_ text: String, in language: CNNError.Language) -> String {
    guard text.unicodeScalars.contains(begin) else { return text }
    var result = String.UnicodeScalarView(), isForeign = false
    for scalar in text.unicodeScalars {
      switch scalar {
      case begin: isForeign = language == .swift
      case separator: isForeign = language == .c
      case end: isForeign = false
      default: if !isForeign { result.append(scalar) }
      }
    }
    return String(result)
  }
}

extension DefaultStringInterpolation {
  /// The name of an option in an error's message, which is read in the caller's language.
  /// - Parameters:
  ///   - name: as `include/swiftcnn.h` has it.
  ///   - swift: what it is in Swift; nil where it is the same in camel case.
  package mutating func appendInterpolation(option name: String, swift: String? = nil) {
    appendLiteral(
      "\(OptionName.begin)\(name)\(OptionName.separator)\(swift ?? OptionName.camelCased(name))\(OptionName.end)")
  }
}
