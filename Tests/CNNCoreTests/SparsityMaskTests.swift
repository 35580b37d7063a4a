import Testing

@testable import CNNCore

@Suite struct SparsityMaskTests {
  @Test(arguments: [0, 1, 7, 8, 63, 64, 65, 200]) func bytesGiveTheMaskBack(_ count: Int) throws {
    let mask = SparsityMask(count: count) { $0 % 3 == 1 || $0 == 64 }
    let bytes = mask.bytes
    #expect(bytes.count == SparsityMask.byteCount(count))
    #expect(mask.keptCount == (0..<count).count { mask[$0] } && !mask[count] && !mask[-1])
    #expect(bytes.withUnsafeBytes { SparsityMask(count: count, bytes: $0) } == mask)
    #expect((bytes + [0]).withUnsafeBytes { SparsityMask(count: count, bytes: $0) } == nil)
    guard count % 8 != 0 else { return }
    // A bit behind the last.
    let last = bytes.count - 1
    let longer = bytes.enumerated().map { $0 == last ? $1 | 128 : $1 }
    #expect(longer.withUnsafeBytes { SparsityMask(count: count, bytes: $0) } == nil)
  }

  @Test func whatIsLeftOutBecomesZero() {
    let mask = SparsityMask(count: 130) { $0 % 5 == 0 }
    var values = (0..<130).map { _ in Float.nan }
    values.withUnsafeMutableBufferPointer { mask.clear($0) }
    #expect(values.indices.allSatisfy { mask[$0] ? values[$0].isNaN : values[$0] == 0 })
    #expect(abs(mask.sparsity - 0.8) < 1e-12)
    // Another weight's are left alone.
    var others = [Float](repeating: 1, count: 131)
    others.withUnsafeMutableBufferPointer { mask.clear($0) }
    #expect(others.allSatisfy { $0 == 1 })
    #expect(SparsityMask(count: 0) { _ in true }.sparsity == 0)
  }
}
