import Testing
import X86Assembler

@testable import CNNRuntime

@Suite struct MachineLimitsTests {
  @Test func theRateOfTilesIsMeasuredWhereItIsAskedForAndNotForgotten() throws {
    let threads = 3  // Which no other test asks for.
    #expect(try MachineLimits.measured(threads: threads, of: [.vectors]).tileOperationsPerSecond == nil)
    let limits = try MachineLimits.measured(threads: threads, of: [.vectors, .tiles])
    let rate = limits.tileOperationsPerSecond
    #expect((rate != nil) == (InstructionSet.selected.contains(.amxBF16) && TilePermission.refusal == nil))
    // Each product is of 16 x 16 x 32 numbers and takes 16 cycles, beside two of 16 numbers in one; with a neighbour on the
    // same processor a quarter of that was seen.
    if let rate { #expect(rate > 1.5 * limits.operationsPerSecond) }
    let later = try MachineLimits.measured(threads: threads, of: [.tiles]).tileOperationsPerSecond
    #expect(later.map { $0 >= rate ?? 0 } == rate.map { _ in true })
    #expect(try MachineLimits.measured(threads: threads, of: [.vectors]).tileOperationsPerSecond == later)
  }

  @Test func theRateOfIntegersIsMeasuredOnceWhereItIsAskedFor() throws {
    let threads = 5  // Which no other test asks for.
    #expect(try MachineLimits.measured(threads: threads, of: [.vectors]).integerOperationsPerSecond == nil)
    let limits = try MachineLimits.measured(threads: threads, of: [.integers])
    let set = InstructionSet.selected
    #expect((limits.integerOperationsPerSecond != nil) == set.contains(.avx2))
    if let rate = limits.integerOperationsPerSecond {
      // Four products of bytes in the time of one of float32, or two of 16 bits in that of two at most; with a neighbour on
      // the same processor half of a rate was seen.
      let hasByteProducts = set.contains(set.contains(.avx512) ? .avx512VNNI : .avxVNNI)
      #expect(rate > (hasByteProducts ? 1.5 : 0.4) * limits.operationsPerSecond)
    }
    #expect(try MachineLimits.measured(threads: threads, of: [.integers]) == limits)
  }

  @Test func whatAUnitDoesTakesAsLongAsItsRateOrTheMemorySays() {
    var limits = MachineLimits(
      operationsPerSecond: 100, integerOperationsPerSecond: 400, tileOperationsPerSecond: 1600, bytesPerSecond: 10,
      cyclesPerSecond: nil)
    #expect(limits.seconds(operations: 800, by: .vectors, byteCount: 1) == 8)
    #expect(limits.seconds(operations: 800, by: .integers, byteCount: 1) == 2)
    #expect(limits.seconds(operations: 800, by: .tiles, byteCount: 1) == 0.5)
    #expect(limits.seconds(operations: 800, by: .tiles, byteCount: 20) == 2)
    limits.tileOperationsPerSecond = nil
    #expect(limits.seconds(operations: 800, by: .tiles, byteCount: 1) == 8)
  }
}
