import CNNCore

/// What a teacher says of the samples of one training run, each once. It lasts as long as the run, so that it is of no other
/// data. For whoever has the model alone.
final class TeacherCache {
  /// For each result the numbers of a sample, and those of all.
  private let sizes: [Int], values: [Memory]
  private var isKnown: [Bool]

  /// Room for so many samples.
  /// - Parameter sizes: how many numbers each result has of a sample.
  /// - Throws: `.outOfMemory`.
  init(samples: Int, sizes: [Int]) throws(CNNError) {
    var values: [Memory] = []
    for size in sizes {
      values.append(
        try Memory(count: Checked.product([samples, size], "cache"), of: .float32, for: "the teacher's cache"))
    }
    (self.sizes, self.values) = (sizes, values)
    isKnown = Array(repeating: false, count: samples)
  }

  /// Copies what is known of these samples; false, and nothing, where something is not.
  func read(_ samples: UnsafeBufferPointer<Int32>, into results: [UnsafeMutableBufferPointer<Float>]) -> Bool {
    guard samples.allSatisfy({ isKnown[Int($0)] }) else { return false }
    move(samples, results) { mine, theirs, size in theirs.update(from: mine, count: size) }
    return true
  }

  /// Keeps what the teacher said of these samples.
  func write(_ samples: UnsafeBufferPointer<Int32>, from results: [UnsafeMutableBufferPointer<Float>]) {
    move(samples, results) { mine, theirs, size in mine.update(from: theirs, count: size) }
    for sample in samples { isKnown[Int(sample)] = true }
  }

  private func move(
    _ samples: UnsafeBufferPointer<Int32>, _ results: [UnsafeMutableBufferPointer<Float>],
    _ copy: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
  ) {
    for (index, size) in sizes.enumerated() {
      guard let mine = values[index].floats.baseAddress, let theirs = results[index].baseAddress else { continue }
      for (position, sample) in samples.enumerated() { copy(mine + Int(sample) * size, theirs + position * size, size) }
    }
  }
}
