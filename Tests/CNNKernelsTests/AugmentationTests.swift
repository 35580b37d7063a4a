import CNNCore
import Testing

@testable import CNNKernels

/// torchvision's `RandomCrop(size, padding=p)` at a place, then `hflip`, written plainly.
private func augmented(_ x: [Float], _ s: Augmentation.Settings, _ choice: ImageCopy.Place) -> [Float] {
  var result: [Float] = []
  for y in 0..<s.height {
    for column in 0..<s.width {
      let sourceY = y + choice.top
      let sourceX = (choice.isFlipped ? s.width - 1 - column : column) + choice.left
      let isInside = sourceY >= 0 && sourceY < s.height && sourceX >= 0 && sourceX < s.width
      for c in 0..<s.channels { result.append(isInside ? x[(sourceY * s.width + sourceX) * s.channels + c] : 0) }
    }
  }
  return result
}

@Test func batchesAreGatheredCroppedAndFlipped() {
  var data = RandomData(seed: 50)
  for (height, width, channels) in [
    (1, 1, 1), (28, 28, 1), (5, 7, 3), (3, 2, 5), (32, 32, 3), (4, 1, 3), (4, 9, 2), (4, 9, 4), (3, 19, 1), (2, 17, 12),
    (3, 6, 16),
  ] {
    for (padding, flips) in [(0, false), (0, true), (2, false), (4, true)] {
      let settings = Augmentation.Settings(
        height: height, width: width, channels: channels, cropPadding: padding, flipsHorizontally: flips)
      let length = height * width * channels
      let bytes = data.bytes(11 * length)
      let floats = bytes.map(Float.init)
      let indices = data.labels(67, classes: 11)
      let expected = indices.flatMap { index in
        augmented(
          Array(floats[Int(index) * length..<(Int(index) + 1) * length]), settings,
          Augmentation.place(settings, Philox(seed: 9, stream: 3), sample: Int(index)))
      }
      let batch = KernelChecks.floats(67 * length) { batch, workers in
        Augmentation.gather(
          floats, indices: indices, count: 67, settings: settings, seed: 9, epoch: 3, into: batch, workers: workers)
      }
      #expect(batch == expected)
      let byteBatch = KernelChecks.output(67 * length, initial: UInt8(77)) { batch, workers in
        Augmentation.gather(
          bytes, indices: indices, count: 67, settings: settings, seed: 9, epoch: 3, into: batch, workers: workers)
      }
      #expect(byteBatch.map(Float.init) == expected)
    }
  }
}

@Test func choicesAreUniformAndChangeWithTheEpoch() {
  let settings = Augmentation.Settings(height: 32, width: 32, channels: 3, cropPadding: 4, flipsHorizontally: true)
  let choices = (0..<9000).map { Augmentation.place(settings, Philox(seed: 1, stream: 0), sample: $0) }
  for offset in -4...4 {
    #expect(abs(choices.filter { $0.top == offset }.count - 1000) < 150)
    #expect(abs(choices.filter { $0.left == offset }.count - 1000) < 150)
  }
  #expect(abs(choices.filter(\.isFlipped).count - 4500) < 250)
  #expect(choices.allSatisfy { abs($0.top) <= 4 && abs($0.left) <= 4 })
  #expect(choices != (0..<9000).map { Augmentation.place(settings, Philox(seed: 1, stream: 1), sample: $0) })
}

@Test func shuffleIsAPermutationThatSeedAndStreamDecide() {
  func shuffled(_ count: Int, seed: UInt64 = 1, stream: UInt64 = 0) -> [Int32] {
    var order = [Int32](repeating: -1, count: count)
    order.withUnsafeMutableBufferPointer { Augmentation.shuffle($0, seed: seed, stream: stream) }
    return order
  }
  for count in [0, 1, 2, 3, 1000] { #expect(shuffled(count).sorted() == Array(0..<Int32(count))) }
  #expect(shuffled(1000) == shuffled(1000))
  #expect(shuffled(1000) != shuffled(1000, seed: 2))
  #expect(shuffled(1000) != shuffled(1000, stream: 1))
  // Each of the six orders of three things turns up as often as any other.
  var counts: [[Int32]: Int] = [:]
  for stream in 0..<6000 { counts[shuffled(3, stream: UInt64(stream)), default: 0] += 1 }
  #expect(counts.count == 6 && counts.values.allSatisfy { abs($0 - 1000) < 150 })
}
