import Testing

@testable import CNNKernels

@Test func normalizedPixelsAreExactlyTheFormula() {
  var data = RandomData(seed: 30)
  for (pixels, channels) in [(1, 1), (5, 1), (13, 2), (4, 3), (9001, 3), (33, 4), (7, 5), (3000, 17), (12_345, 1)] {
    let x = data.bytes(pixels * channels)
    let mean = data.floats(channels, in: 0.2...0.6)
    let deviation = data.floats(channels, in: 0.1...0.4)
    let y = KernelChecks.floats(x.count) { y, workers in
      Pixels.normalize(
        x: x, y: y, pixels: pixels, channels: channels, mean: mean, standardDeviation: deviation, workers: workers)
    }
    let expected = x.indices.map { (Float(x[$0]) / 255 - mean[$0 % channels]) / deviation[$0 % channels] }
    #expect(y == expected)
  }
}

@Test func floatImagesAreCopied() {
  var data = RandomData(seed: 31)
  for count in [0, 1, 50_001] {
    let x = data.floats(count)
    #expect(KernelChecks.floats(count) { Pixels.copy(x: x, y: $0, count: count, workers: $1) } == x)
  }
}
