import Testing

@testable import CNNCore

@Test func jsonParsesEveryKindOfValue() throws {
  let text = #" { "a" : [ 1 , -2.5e1 , true , false , null ] , "b" : { } , "c" : [ ] , "d" : "x" } "# + "\r\n\t"
  let expected: JSON = ["a": [1, -25.0, true, false, .null], "b": [:], "c": [], "d": "x"]
  #expect(try JSON(parsing: text) == expected)
}

@Test(arguments: [
  ("0", JSON.integer(0)), ("-0", .integer(0)), ("-7", .integer(-7)),
  ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
  ("1.0", .number(1)), ("1e2", .number(100)), ("1E+2", .number(100)), ("125e-3", .number(0.125)),
  ("0.1", .number(0.1)), ("-0.0", .number(-0.0)), ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)),
  ("5e-324", .number(.leastNonzeroMagnitude)), ("1e-9999", .number(0)),
])
func jsonParsesNumbers(text: String, expected: JSON) throws {
  #expect(try JSON(parsing: text) == expected)
}

@Test(arguments: [
  (#""""#, ""), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u00e9\u4E2d""#, "é中"),
  (#""\ud83d\ude00!""#, "😀!"), ("\"é中😀\"", "é中😀"), (#""a\u0000b""#, "a\0b"), ("\"\u{7F}\"", "\u{7F}"),
])
func jsonParsesStrings(text: String, expected: String) throws {
  #expect(try JSON(parsing: text) == .string(expected))
}

@Test(arguments: [
  ("", 0), (" ", 1), ("nul", 3), ("nulL", 3), ("True", 0), ("NaN", 0), ("Infinity", 0), ("-Infinity", 1), ("'a'", 0),
  ("01", 0), ("-01", 0), ("00", 0), ("+1", 0), (".5", 0), ("1.", 2), ("1.e1", 2), ("1e", 2), ("1e+", 3), ("-", 1),
  ("0x10", 1), ("1 2", 2), ("1]", 1), ("null,", 4), ("9223372036854775808", 0), ("-9223372036854775809", 0),
  ("1e999", 0), ("-1e999", 0), ("[", 1), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[,1]", 1), ("[1 2]", 3), ("]", 0),
  ("{", 1), ("{1:2}", 1), (#"{"a"}"#, 4), (#"{"a":}"#, 5), (#"{"a":1,}"#, 7), (#"{"a":1 "b":2}"#, 7), ("{]", 1),
  (#"{"a":1,"a":2}"#, 7), (#"{"é":1,"e\u0301":2}"#, 8), ("\"abc", 0), (#""\"#, 1), (#""\x""#, 1), (#""\u12""#, 5),
  (#""\u12g4""#, 5), (#""\ud800""#, 1), (#""\ud800\n""#, 1), (#""\ud800\u0041""#, 1), (#""\udc00""#, 1),
  ("\"a\nb\"", 2), ("\"\u{0}\"", 1), ("\u{FEFF}1", 0), ("/**/1", 0), ("\u{A0}1", 0), ("[\u{0C}1]", 1),
])
func jsonRefusesWhatIsNotJSON(text: String, offset: Int) {
  let error = #expect(throws: CNNError.self) { try JSON(parsing: text) }
  #expect(error?.code == .malformedFile)
  #expect(error?.message.hasPrefix("JSON at byte \(offset): ") == true, "\(error?.message ?? "")")
}

@Test(arguments: [
  [0x80], [0xC3], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF8], [0xFF],
  [0xC3, 0x5C, 0x6E, 0xA9],
])
func jsonRefusesBadUTF8(bytes: [UInt8]) {
  #expect(throws: CNNError.self) { try JSON(parsing: [0x22] + bytes + [0x22]) }
}

@Test func jsonLimitsDepth() throws {
  func nested(_ depth: Int) -> String {
    String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
  }
  _ = try JSON(parsing: nested(JSON.maximumDepth))
  _ = try JSON(parsing: "[" + Array(repeating: nested(JSON.maximumDepth - 1), count: 3).joined(separator: ",") + "]")
  #expect(throws: CNNError.self) { try JSON(parsing: nested(JSON.maximumDepth + 1)) }
  #expect(throws: CNNError.self) { try JSON(parsing: nested(1_000_000)) }
  #expect(throws: CNNError.self) { try JSON(parsing: String(repeating: #"{"a":"#, count: 10_000)) }
}

@Test func jsonLimitsWhatTakesMoreMemoryThanText() throws {
  let digits = String(repeating: "1", count: JSON.maximumNumberLength)
  #expect(throws: CNNError.self) { try JSON(parsing: "0.\(digits)") }
  let key = String(repeating: "k", count: JSON.maximumKeyLength)
  #expect(try JSON(parsing: #"{"\#(key)":1}"#).objectValue?.keys == [key])
  #expect(throws: CNNError.self) { try JSON(parsing: #"{"k\#(key)":1}"#) }
  let values = [UInt8](repeating: UInt8(ascii: "0"), count: 1) + Array(String(repeating: ",0", count: 1 << 20).utf8)
  #expect(throws: CNNError.self) { try JSON(parsing: [UInt8(ascii: "[")] + values + [UInt8(ascii: "]")]) }
}

@Test func jsonObjectKeepsOrder() throws {
  var object = JSONObject()
  for key in ["z", "a", "m"] { object[key] = .string(key) }
  object["a"] = 1
  #expect(object.keys == ["z", "a", "m"])
  object["z"] = nil
  object["none"] = nil
  #expect(object.members.map(\.key) == ["a", "m"])
  #expect(try JSON.object(object).serialized() == #"{"a":1,"m":"m"}"#)
}

@Test func jsonWritesCompactText() throws {
  let value: JSON = [
    "null": .null, "yes": true, "no": false, "integer": -3, "number": 0.1, "whole": 1.0, "small": 1e-7,
    "text": "a\"\\/\n\r\t\u{8}\u{F}\u{10}\u{1F}\u{7F}é😀", "list": [1, [], [:]],
  ]
  let text =
    #"{"null":null,"yes":true,"no":false,"integer":-3,"number":0.1,"whole":1.0,"small":1e-07,"#
    + #""text":"a\"\\/\n\r\t\u0008\u000f\u0010\u001f\#u{7F}é😀","list":[1,[],{}]}"#
  #expect(try value.serialized() == text)
  #expect(try JSON(parsing: text) == value)
}

@Test func jsonNumbersSurviveTheRoundTrip() throws {
  var generator = PhiloxGenerator(seed: 11, stream: 0)
  for _ in 0..<20_000 {
    let bits = generator.next()
    let number = Double(bitPattern: bits)
    guard number.isFinite else { continue }
    let values: [JSON] = [.number(number), .integer(Int64(bitPattern: bits)), .number(Double(bits >> 11))]
    for value in values { #expect(try JSON(parsing: value.serialized()) == value) }
  }
}

@Test(arguments: [Double.nan, .infinity, -.infinity])
func jsonDoesNotWriteNumbersThatItCannotExpress(number: Double) {
  let error = #expect(throws: CNNError.self) { try JSON.array([.number(number)]).serialized() }
  #expect(error?.code == .notFinite)
}

@Test func jsonAccessorsReturnTheirKind() throws {
  let text =
    #"{"b":true,"i":3,"n":2.5,"s":"x","a":[1,"y"],"o":{},"is":[1,2],"ns":[1,2.5],"ss":["p","q"],"null":null}"#
  let object = try #require(try JSON(parsing: text).objectValue)
  #expect(try object.bool("b"))
  #expect(try object.integer("i") == 3)
  #expect(try object.number("n") == 2.5)
  #expect(try object.number("i") == 3)
  #expect(try object.string("s") == "x")
  #expect(try object.array("a") == [1, "y"])
  #expect(try object.object("o") == JSONObject())
  #expect(try object.integers("is") == [1, 2])
  #expect(try object.numbers("ns") == [1, 2.5])
  #expect(try object.strings("ss") == ["p", "q"])
  #expect(try object.optionalInteger("i") == 3)
  #expect(try object.optionalInteger("null") == nil)
  #expect(try object.optionalString("absent") == nil)
}

@Test func jsonAccessorsNameTheKeyAndWhatWasExpected() throws {
  let object = try #require(try JSON(parsing: #"{"stride":"two","shape":[1,2.0]}"#).objectValue)
  func message(_ body: () throws(CNNError) -> Void) -> String {
    do throws(CNNError) {
      try body()
      return ""
    } catch { return error.code == .malformedFile ? error.message : "wrong code" }
  }
  #expect(
    message { () throws(CNNError) in _ = try object.integer("stride") }
      == "member 'stride': expected an integer, found 'two'")
  #expect(
    message { () throws(CNNError) in _ = try object.optionalBool("stride") }
      == "member 'stride': expected a boolean, found 'two'")
  #expect(
    message { () throws(CNNError) in _ = try object.integers("shape") }
      == "member 'shape': expected an array of integers, found [1, 2.0]")
  #expect(
    message { () throws(CNNError) in _ = try object.string("name") }
      == "member 'name' is missing; expected a string")
  #expect(
    message { () throws(CNNError) in try object.requireKeys(among: ["strides", "shape"]) }
      == "unknown member 'stride'; did you mean 'strides'?")
  #expect(message { () throws(CNNError) in try object.requireKeys(among: ["stride", "shape", "more"]) } == "")
}
