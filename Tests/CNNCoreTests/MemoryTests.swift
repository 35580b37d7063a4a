import Testing

@testable import CNNCore

@Test(arguments: [0, 1, 63, 64, 1000, 1 << 20])
func memoryIsAlignedAndZeroed(byteCount: Int) throws {
  let memory = try Memory(byteCount: byteCount, for: "x")
  #expect(memory.byteCount == byteCount)
  #expect(UInt(bitPattern: memory.base) % UInt(Memory.alignment) == 0)
  #expect(UnsafeRawBufferPointer(start: memory.base, count: byteCount).allSatisfy { $0 == 0 })
}

@Test func memoryCountsElements() throws {
  #expect(try Memory(count: 10, of: .float32, for: "x").floats.count == 10)
  #expect(try Memory(count: 10, of: .uint8, for: "x").byteCount == 10)
}

@Test(arguments: [-1, Int.min, Int.max, Memory.physicalByteCount + 1])
func memoryRefusesImpossibleSizes(byteCount: Int) {
  let error = #expect(throws: CNNError.self) { try Memory(byteCount: byteCount, for: "the arena") }
  #expect(error?.code == .outOfMemory)
  #expect(error?.message.contains("the arena") == true)
}

@Test func memoryRefusesElementCountsThatOverflow() {
  #expect(throws: CNNError.self) { try Memory(count: Int.max / 2, of: .float32, for: "x") }
}
