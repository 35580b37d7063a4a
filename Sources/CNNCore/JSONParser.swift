extension JSON {
  /// How deep arrays and objects may be nested in a text.
  public static let maximumDepth = 64
  /// How many values a text may hold. A value takes many times the memory of its shortest spelling, so a limit on the
  /// size of the text alone would not protect the process.
  public static let maximumValueCount = 1 << 20
  /// How long a key may be, in bytes.
  public static let maximumKeyLength = 4096
  /// How long a number may be, in bytes; the exact decimal expansion of any double that is near 1 fits.
  public static let maximumNumberLength = 1024

  /// Parses one JSON text (RFC 8259, UTF-8, no byte order mark), in time linear in its length.
  /// - Throws: `.malformedFile` with the byte offset if the text is not JSON, has duplicate keys, a lone surrogate, a
  ///   number out of the range of `Int64` or `Double`, or exceeds one of the limits of this type.
  public init(parsing bytes: UnsafeRawBufferPointer) throws(CNNError) {
    var parser = JSONParser(bytes)
    self = try parser.parseDocument()
  }

  /// Parses one JSON text; see `init(parsing:)` for raw bytes.
  public init(parsing bytes: [UInt8]) throws(CNNError) {
    self = try bytes.withUnsafeBufferPointer { (buffer) throws(CNNError) in
      try JSON(parsing: UnsafeRawBufferPointer(buffer))
    }
  }

  /// Parses one JSON text; see `init(parsing:)` for raw bytes.
  public init(parsing text: String) throws(CNNError) { try self.init(parsing: Array(text.utf8)) }
}

/// A recursive-descent parser; `peek` is the only way in which it looks at a byte.
private struct JSONParser {
  private let bytes: UnsafeBufferPointer<UInt8>
  private var position = 0
  private var depth = 0
  private var valueCount = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes.assumingMemoryBound(to: UInt8.self) }

  mutating func parseDocument() throws(CNNError) -> JSON {
    let document = try parseValue()
    skipWhitespace()
    guard position == bytes.count else { throw malformed("expected the end of the text") }
    return document
  }

  /// Parses a value with the white space before it.
  private mutating func parseValue() throws(CNNError) -> JSON {
    skipWhitespace()
    valueCount += 1
    guard valueCount <= JSON.maximumValueCount else {
      throw malformed("there are more than \(JSON.maximumValueCount) values")
    }
    guard let first = peek() else { throw malformed("expected a value") }
    switch first {
    case UInt8(ascii: "{"): return .object(try nested { (parser) throws(CNNError) in try parser.parseMembers() })
    case UInt8(ascii: "["): return .array(try nested { (parser) throws(CNNError) in try parser.parseElements() })
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
    case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
    case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    default: throw malformed("expected a value")
    }
  }

  /// Runs `parse` one level deeper, after the opening bracket.
  private mutating func nested<Value>(
    _ parse: (inout JSONParser) throws(CNNError) -> Value
  ) throws(CNNError) -> Value {
    guard depth < JSON.maximumDepth else { throw malformed("nested deeper than \(JSON.maximumDepth) levels") }
    depth += 1
    position += 1
    let value = try parse(&self)
    depth -= 1
    return value
  }

  private mutating func parseElements() throws(CNNError) -> [JSON] {
    var elements: [JSON] = []
    if skip(UInt8(ascii: "]")) { return elements }
    repeat { elements.append(try parseValue()) } while skip(UInt8(ascii: ","))
    guard skip(UInt8(ascii: "]")) else { throw malformed("expected ',' or ']'") }
    return elements
  }

  private mutating func parseMembers() throws(CNNError) -> JSONObject {
    var object = JSONObject()
    if skip(UInt8(ascii: "}")) { return object }
    repeat {
      skipWhitespace()
      guard peek() == UInt8(ascii: "\"") else { throw malformed("expected a key in quotes") }
      let start = position
      let key = try parseString()
      guard key.utf8.count <= JSON.maximumKeyLength else {
        throw malformed("the key is longer than \(JSON.maximumKeyLength) bytes", at: start)
      }
      guard object[key] == nil else { throw malformed("the key appears twice", at: start) }
      guard skip(UInt8(ascii: ":")) else { throw malformed("expected ':'") }
      object[key] = try parseValue()
    } while skip(UInt8(ascii: ","))
    guard skip(UInt8(ascii: "}")) else { throw malformed("expected ',' or '}'") }
    return object
  }

  private mutating func parseWord(_ word: StaticString, _ value: JSON) throws(CNNError) -> JSON {
    for index in 0..<word.utf8CodeUnitCount {
      guard peek() == word.utf8Start[index] else { throw malformed("expected \(word)") }
      position += 1
    }
    return value
  }

  // MARK: Strings

  private mutating func parseString() throws(CNNError) -> String {
    let start = position
    position += 1
    var unescaped: [UInt8] = []
    var runStart = position
    while let byte = peek() {
      switch byte {
      case UInt8(ascii: "\""):
        let run = UnsafeBufferPointer(rebasing: bytes[runStart..<position])
        position += 1
        // Escapes stand for whole scalars, so bytes around one cannot be joined to something valid.
        let string =
          unescaped.isEmpty
          ? String(validating: run, as: UTF8.self) : String(validating: unescaped + run, as: UTF8.self)
        guard let string else { throw malformed("the string is not UTF-8", at: start) }
        return string
      case UInt8(ascii: "\\"):
        unescaped += bytes[runStart..<position]
        unescaped += String(Character(try parseEscape())).utf8
        runStart = position
      case 0..<0x20: throw malformed("a control character in a string must be escaped")
      default: position += 1
      }
    }
    throw malformed("the string does not end", at: start)
  }

  private mutating func parseEscape() throws(CNNError) -> Unicode.Scalar {
    let start = position
    position += 1
    guard let letter = peek() else { throw malformed("the escape does not end", at: start) }
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var code = try parseHexadecimal()
      if 0xD800..<0xDC00 ~= code, peek() == UInt8(ascii: "\\") {
        position += 1
        guard peek() == UInt8(ascii: "u") else { throw malformed("lone surrogate", at: start) }
        position += 1
        let low = try parseHexadecimal()
        guard 0xDC00..<0xE000 ~= low else { throw malformed("lone surrogate", at: start) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw malformed("lone surrogate", at: start) }
      return scalar
    default: throw malformed("unknown escape", at: start)
    }
  }

  private mutating func parseHexadecimal() throws(CNNError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw malformed("expected four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  // MARK: Numbers

  private mutating func parseNumber() throws(CNNError) -> JSON {
    let start = position
    advance(over: UInt8(ascii: "-"))
    if advance(over: UInt8(ascii: "0")) {
      if let next = peek(), isDigit(next) { throw malformed("a number may not begin with 0", at: start) }
    } else {
      try parseDigits()
    }
    let integerEnd = position
    if advance(over: UInt8(ascii: ".")) { try parseDigits() }
    if advance(over: UInt8(ascii: "e")) || advance(over: UInt8(ascii: "E")) {
      if !advance(over: UInt8(ascii: "+")) { advance(over: UInt8(ascii: "-")) }
      try parseDigits()
    }
    guard position - start <= JSON.maximumNumberLength else {
      throw malformed("the number is longer than \(JSON.maximumNumberLength) bytes", at: start)
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if position == integerEnd {
      guard let integer = Int64(text) else { throw malformed("the integer is out of range", at: start) }
      return .integer(integer)
    }
    guard let number = Double(text), number.isFinite else { throw malformed("the number is out of range", at: start) }
    return .number(number)
  }

  private mutating func parseDigits() throws(CNNError) {
    let start = position
    while let byte = peek(), isDigit(byte) { position += 1 }
    if position == start { throw malformed("expected a digit") }
  }

  private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

  // MARK: Bytes

  private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipWhitespace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  /// Skips `byte`, if it comes next.
  @discardableResult
  private mutating func advance(over byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  /// Skips white space and then `byte`, if it comes next.
  private mutating func skip(_ byte: UInt8) -> Bool {
    skipWhitespace()
    return advance(over: byte)
  }

  private func malformed(_ problem: String, at offset: Int? = nil) -> CNNError {
    CNNError(.malformedFile, "JSON at byte \(offset ?? position): \(problem)")
  }
}
