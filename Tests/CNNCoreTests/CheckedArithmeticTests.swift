import Testing

@testable import CNNCore

@Test func checkedProductOfFactors() throws {
  #expect(try Checked.product([2, 3, 4], "x") == 24)
  #expect(try Checked.product([], "x") == 1)
  #expect(try Checked.product([5, 0], "x") == 0)
}

@Test(arguments: [[Int.max, 2], [1 << 32, 1 << 31], [-1, 3], [0, -1], [Int.min, -1]])
func checkedProductRefusesWhatDoesNotFit(factors: [Int]) {
  let error = #expect(throws: CNNError.self) { try Checked.product(factors, "the image") }
  #expect(error?.code == .outOfMemory)
  #expect(error?.message.contains("the image") == true)
}

@Test func checkedSum() throws {
  #expect(try Checked.sum([1, 2, 3], "x") == 6)
  #expect(try Checked.sum([Int.max, 0], "x") == Int.max)
  let error = #expect(throws: CNNError.self) { try Checked.sum([Int.max, 1], "the arena") }
  #expect(error?.code == .outOfMemory)
  #expect(error?.message.contains("the arena") == true)
}
