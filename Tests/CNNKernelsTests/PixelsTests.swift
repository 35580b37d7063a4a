import Testing

@testable import CNNKernels

@Test func normalizedPixelsAreExactlyTheFormula() {
  var data = RandomData(seed: 30)
  for (pixels, channels) in [(1, 1), (5, 1), (13, 2), (4, 3), (9001, 3), (33, 4), (7, 5), (3000, 17), (12_345, 1)] {
    let x = data.bytes(pixels * channels)
    let mean = data.floats(channels, in: 50...150)
    let deviation = data.floats(channels, in: 25...100)
    let y = KernelChecks.floats(x.count) { y, workers in
      Pixels.normalize(
        x: x, y: y, pixels: pixels, channels: channels, mean: mean, standardDeviation: deviation, workers: workers)
    }
    let expected = x.indices.map { (Float(x[$0]) - mean[$0 % channels]) / deviation[$0 % channels] }
    #expect(y == expected)
  }
}
