import Testing

@testable import CNNCore

/// Known answers of philox4x32-10 from Random123's `tests/kat_vectors`: counter, key, result.
@Test(arguments: [
  (
    SIMD4<UInt32>(repeating: 0), SIMD2<UInt32>(repeating: 0),
    SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
  ),
  (
    SIMD4<UInt32>(repeating: .max), SIMD2<UInt32>(repeating: .max),
    SIMD4<UInt32>(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
  ),
  (
    SIMD4<UInt32>(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2<UInt32>(0xa409_3822, 0x299f_31d0),
    SIMD4<UInt32>(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
  ),
])
func philoxGivesTheKnownAnswers(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, expected: SIMD4<UInt32>) {
  func joined(_ low: UInt32, _ high: UInt32) -> UInt64 { UInt64(high) << 32 | UInt64(low) }
  let function = Philox(seed: joined(key[0], key[1]), stream: joined(counter[2], counter[3]))
  #expect(function.words(at: joined(counter[0], counter[1])) == expected)
}

@Test func philoxUnitStaysBelowOne() {
  #expect(Philox.unit(0) == 0)
  #expect(Philox.unit(.max) == Float(1).nextDown)
}

@Test func philoxStreamsDiffer() {
  let first = Philox(seed: 1, stream: 0).words(at: 0)
  #expect(Philox(seed: 1, stream: 1).words(at: 0) != first)
  #expect(Philox(seed: 2, stream: 0).words(at: 0) != first)
  #expect(Philox(seed: 1, stream: 0).words(at: 1) != first)
}

@Test func philoxGeneratorUsesEveryWordOnce() {
  var generator = PhiloxGenerator(seed: 7, stream: 3)
  let drawn = (0..<4).map { _ in generator.next() }
  let function = Philox(seed: 7, stream: 3)
  let expected = (0..<2).flatMap { counter in
    let words = function.words(at: UInt64(counter))
    return [UInt64(words[0]) << 32 | UInt64(words[1]), UInt64(words[2]) << 32 | UInt64(words[3])]
  }
  #expect(drawn == expected)
}

@Test func philoxGeneratorShufflesReproducibly() {
  var first = PhiloxGenerator(seed: 5, stream: 0), second = PhiloxGenerator(seed: 5, stream: 0)
  let shuffled = (0..<100).shuffled(using: &first)
  #expect(shuffled == (0..<100).shuffled(using: &second))
  #expect(shuffled != Array(0..<100))
  #expect(shuffled.sorted() == Array(0..<100))
}
