import Testing

@testable import X86Assembler

@Suite struct TileConfigurationTests {
  @Test func shapesAreAtTheirPlacesInTheSixtyFourBytes() {
    var tiles = TileConfiguration()
    #expect(tiles.words == [1] + [UInt32](repeating: 0, count: 15))
    tiles[.tmm0] = .init(rows: 16, rowByteCount: 64)
    tiles[.tmm3] = .init(rows: 5, rowByteCount: 0x1234)
    tiles[.tmm7] = .init(rows: 1, rowByteCount: 4)
    var expected: [UInt32] = [1] + [UInt32](repeating: 0, count: 15)
    // Bytes of a row in 16 bits each from 16 on, rows in 8 bits from 48 on.
    expected[4] = 64
    expected[5] = 0x1234_0000
    expected[7] = 0x0004_0000
    expected[12] = 0x0500_0010
    expected[13] = 0x0100_0000
    #expect(tiles.words == expected)
    tiles[.tmm3] = nil
    #expect(tiles.words[5] == 0 && tiles.words[12] == 16)
  }
}
