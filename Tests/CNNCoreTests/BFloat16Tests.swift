import Testing

@testable import CNNCore

@Test(
  arguments: [
    (0x3F80_0000, 0x3F80),  // 1
    (0x3F80_7FFF, 0x3F80), (0x3F80_8000, 0x3F80), (0x3F80_8001, 0x3F81),  // round half 1: to even below
    (0x3F81_7FFF, 0x3F81), (0x3F81_8000, 0x3F82), (0x3F81_8001, 0x3F82),  // and above
    (0xBF81_8000, 0xBF82), (0x8000_0000, 0x8000),
    (0x3FFF_8000, 0x4000),  // carries into the exponent
    (0x7F7F_7FFF, 0x7F7F), (0x7F7F_8000, 0x7F80), (0x7F80_0000, 0x7F80), (0xFF80_0000, 0xFF80),  // the end of the range
    (0x0000_8000, 0x0000), (0x0000_8001, 0x0001), (0x0001_8000, 0x0002), (0x007F_8000, 0x0080),  // subnormals
    (0x7F80_0001, 0x7FC0), (0xFFFF_FFFF, 0xFFFF), (0x7FFF_8000, 0x7FFF), (0xFFA0_1234, 0xFFE0),  // NaNs
  ] as [(UInt32, UInt16)])
func bfloat16RoundsToNearestEven(bits: UInt32, expected: UInt16) {
  #expect(BFloat16(Float(bitPattern: bits)).bitPattern == expected)
}

@Test func bfloat16KeepsEveryNumberItHas() {
  let changed = (UInt16.min...UInt16.max).filter { bits in
    let value = Float(BFloat16(bitPattern: bits))
    let again = BFloat16(value)
    // A NaN keeps its sign and becomes quiet.
    guard value.isNaN else { return value.bitPattern != UInt32(bits) << 16 || again.bitPattern != bits }
    return !Float(again).isNaN || again.bitPattern & 0x8040 != bits & 0x8000 | 0x40
  }
  #expect(changed == [])
}

/// The nearest of the two neighbours, found by distances, which doubles hold exactly.
@Test func bfloat16IsTheNearest() {
  let function = Philox(seed: 19, stream: 1)
  for counter in 0..<500 as Range<UInt64> {
    let words = function.words(at: counter)
    for lane in words.indices where Float(bitPattern: words[lane]).isFinite {
      let value = Float(bitPattern: words[lane])
      let below = BFloat16(bitPattern: UInt16(truncatingIfNeeded: words[lane] >> 16))
      let above = BFloat16(bitPattern: below.bitPattern + 1)
      guard Float(above).isFinite else { continue }
      func distance(_ number: BFloat16) -> Double { abs(Double(Float(number)) - Double(value)) }
      let even = below.bitPattern % 2 == 0 ? below : above
      let expected =
        distance(below) == distance(above) ? even : distance(below) < distance(above) ? below : above
      #expect(BFloat16(value) == expected)
    }
  }
}

@Test(arguments: [0, 1, 7, 16, 33, 1000])
func bfloat16BuffersAreConvertedAsNumbersAre(count: Int) {
  let source = (0..<count).map { Float($0) * 1.001 - 17 }
  var stored = [BFloat16](repeating: BFloat16(0), count: count)
  var back = [Float](repeating: .nan, count: count)
  source.withUnsafeBufferPointer { source in stored.withUnsafeMutableBufferPointer { BFloat16.convert(source, to: $0) }
  }
  stored.withUnsafeBufferPointer { stored in back.withUnsafeMutableBufferPointer { BFloat16.convert(stored, to: $0) } }
  #expect(stored == source.map { BFloat16($0) })
  #expect(back == stored.map { Float($0) })
}
