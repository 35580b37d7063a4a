import CNNCore
import Testing

@testable import CNNKernels

private func dropout(_ x: [Float], rate: Float, seed: UInt64 = 5, stream: UInt64 = 7) -> [Float] {
  KernelChecks.floats(x.count) { y, workers in
    DropoutKernels.apply(x: x, y: y, count: x.count, rate: rate, seed: seed, stream: stream, workers: workers)
  }
}

private func stochasticDepth(_ x: [Float], samples: Int, rate: Float) -> [Float] {
  KernelChecks.floats(x.count) { y, workers in
    DropoutKernels.applyToSamples(
      x: x, y: y, samples: samples, sampleLength: x.count / samples, rate: rate, seed: 5, stream: 7, workers: workers)
  }
}

@Test func dropoutKeepsWhatItsWordsSay() {
  var data = RandomData(seed: 20)
  let random = Philox(seed: 5, stream: 7)
  for count in [1, 2, 3, 4, 5, 17, 4099, 20_001] {
    let x = data.floats(count)
    let y = dropout(x, rate: 0.25)
    let expected = x.indices.map { i in
      random.words(at: UInt64(i / 4))[i % 4] < 1 << 30 ? 0 : x[i] * Float(4.0 / 3)
    }
    #expect(y == expected)
  }
}

@Test func dropoutDropsItsShareAndDependsOnSeedAndStream() {
  let ones = [Float](repeating: 1, count: 100_000)
  let y = dropout(ones, rate: 0.3)
  let dropped = y.filter { $0 == 0 }.count
  #expect(abs(dropped - 30_000) < 600)
  #expect(Set(y) == [0, Float(1 / (1 - Double(Float(0.3))))])
  #expect(y != dropout(ones, rate: 0.3, seed: 6))
  #expect(y != dropout(ones, rate: 0.3, stream: 8))
}

@Test func dropoutAtItsLimitsCopiesOrClears() {
  let x: [Float] = [1, -2, .infinity, 4, .nan]
  #expect(dropout(x, rate: 0)[..<4] == x[..<4])
  #expect(dropout(x, rate: 1) == [0, 0, 0, 0, 0])
  #expect(stochasticDepth(x, samples: 5, rate: 0)[..<4] == x[..<4])
  #expect(stochasticDepth(x, samples: 5, rate: 1) == [0, 0, 0, 0, 0])
  #expect(dropout(x, rate: Float(1).nextDown).allSatisfy { $0 == 0 || !$0.isFinite || abs($0) > 1e6 })
}

@Test func dropoutWorksInPlace() {
  var data = RandomData(seed: 21)
  let x = data.floats(1003)
  let inPlace = KernelChecks.floats(x.count) { y, workers in
    y.update(from: x, count: x.count)
    DropoutKernels.apply(x: y, y: y, count: x.count, rate: 0.5, seed: 5, stream: 7, workers: workers)
  }
  #expect(inPlace == dropout(x, rate: 0.5))
}

@Test func stochasticDepthKeepsOrDropsWholeSamples() {
  var data = RandomData(seed: 22)
  let random = Philox(seed: 5, stream: 7)
  for (samples, length) in [(1, 1), (9, 3), (401, 7), (1000, 33)] {
    let x = data.floats(samples * length)
    let y = stochasticDepth(x, samples: samples, rate: 0.5)
    let expected = x.indices.map { random.words(at: UInt64($0 / length))[0] < 1 << 31 ? 0 : x[$0] * 2 }
    #expect(y == expected)
  }
}
