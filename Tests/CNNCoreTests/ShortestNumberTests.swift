import Testing

@testable import CNNCore

@Test func aShortestNumberIsTheSameInFloat32() {
  let changed = (0..<200_000).filter { index in
    let value = Float(bitPattern: UInt32(truncatingIfNeeded: index &* 2_654_435_761) & 0x7FFF_FFFF)
    return value.isFinite && Float(value.shortest) != value
  }
  #expect(changed == [])
  #expect(Float(0.1).shortest == 0.1)
  #expect(Float.leastNonzeroMagnitude.shortest > 0)
}
