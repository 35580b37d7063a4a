import Glibc
import Testing

@testable import CNNCore

/// Mutates valid texts: whatever comes out is either refused with `.malformedFile`, or survives writing and reading.
/// `SWIFTCNN_FUZZ_COUNT` sets the number of mutations for a long run.
@Test func jsonSurvivesMutatedTexts() throws {
  let count = getenv("SWIFTCNN_FUZZ_COUNT").flatMap { Int(String(cString: $0)) } ?? 20_000
  let seeds = [
    #"{"__metadata__":{"format":"pt"},"conv.weight":{"dtype":"F32","shape":[8,3,3,3],"data_offsets":[0,864]}}"#,
    #"[1,-2.5e-10,true,false,null,"\u00e9\ud83d\ude00\n\\ é😀",{"a":{"b":[[],[{}]]}},9223372036854775807]"#,
  ].map { Array($0.utf8) }
  let tokens = ["\"", "\\", "{", "}", "[", "]", ",", ":", "-", "0", "9", ".", "e", "\\u", "\\ud800", "\u{0}", "null"]
    .map { Array($0.utf8) }
  var generator = PhiloxGenerator(seed: 2024, stream: 1)
  var accepted = 0
  for _ in 0..<count {
    var text = seeds[Int.random(in: 0..<seeds.count, using: &generator)]
    for _ in 0..<Int.random(in: 1...4, using: &generator) where !text.isEmpty {
      let place = Int.random(in: 0..<text.count, using: &generator)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: text[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
      case 1: text[place] = UInt8.random(in: 0...255, using: &generator)
      case 2: text.removeSubrange(place..<min(text.count, place + Int.random(in: 1...8, using: &generator)))
      case 3: text.insert(contentsOf: tokens[Int.random(in: 0..<tokens.count, using: &generator)], at: place)
      case 4: text.insert(contentsOf: text[place..<min(text.count, place + 20)], at: place)
      default: text.removeSubrange(place...)
      }
    }
    do throws(CNNError) {
      let value = try JSON(parsing: text)
      accepted += 1
      let again = try JSON(parsing: value.serialized())
      #expect(again == value)
    } catch {
      #expect(error.code == .malformedFile)
    }
  }
  #expect(accepted > count / 100, "mutations that are all refused test little")
}
