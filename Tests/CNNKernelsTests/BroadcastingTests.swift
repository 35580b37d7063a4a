import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

@Suite struct BroadcastingTests {
  /// Added one after the other, four million numbers would be off by a thousandth and more.
  @Test(arguments: [
    ([2048, 2048, 1], [true, true, true]), ([2048, 1, 2048], [true, false, true]), ([2048, 2048], [true, true]),
    ([1, 4096, 1024, 1], [false, true, true, true]), ([4_194_304, 1], [true, false]),
    ([1 << 20, 2, 2], [true, false, true]),
  ])
  func longSumsKeepTheirDigits(_ shape: [Int], _ isReduced: [Bool]) throws {
    let x = Array(repeating: Float(0.1), count: shape.reduce(1, *))
    var y = [Float](repeating: 0, count: zip(shape, isReduced).reduce(1) { $0 * ($1.1 ? 1 : $1.0) })
    try x.withUnsafeBufferPointer {
      Broadcasting.sum(
        try #require($0.baseAddress), Broadcasting.Axes(shape: shape, isReduced: isReduced), times: 1, into: &y,
        workers: Workers(count: 1))
    }
    let exact = Double(Float(0.1)) * Double(x.count / y.count)
    #expect(y.allSatisfy { abs(Double($0) / exact - 1) < 5e-6 }, "\(y.map { Double($0) / exact - 1 })")
  }
}
