import CNNCore

/// What the target is of, as measured of models.
struct CompressionCost {
  private let original: Model
  /// Milliseconds of the original.
  let reference: Double
  let isOfSize: Bool

  /// By how much a target may be missed: times of the same code differ by some hundredths from one measurement to the next,
  /// bytes do not.
  var tolerance: Double { isOfSize ? 0.02 : 0.05 }

  /// - Parameter reference: milliseconds of the original, where they were measured before.
  init(_ original: Model, isOfSize: Bool, reference: Double?) throws(CNNError) {
    (self.original, self.isOfSize) = (original, isOfSize)
    if let reference {
      self.reference = reference
    } else {
      var rounds: [Double] = []
      for _ in 0..<Self.rounds { rounds.append(try Self.seconds(original)) }
      self.reference = 1e3 * Self.median(rounds)
    }
  }

  private static let rounds = 5

  /// Milliseconds of a prediction of an image: what the original took when it was measured, times what the model takes of the
  /// original's time now. Both are measured in turns, since the speed of a machine is not the same all day.
  func latency(_ model: Model) throws(CNNError) -> Double {
    if model === original { return reference }
    var mine: [Double] = [], theirs: [Double] = []
    for _ in 0..<Self.rounds {
      theirs.append(try Self.seconds(original))
      mine.append(try Self.seconds(model))
    }
    return reference * Self.median(mine) / max(Self.median(theirs), 1e-12)
  }

  /// Bytes of the model's file.
  func bytes(_ model: Model) throws(CNNError) -> Int {
    try model.write(into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
  }

  /// Milliseconds, or megabytes.
  func callAsFunction(_ model: Model) throws(CNNError) -> Double {
    isOfSize ? 1e-6 * Double(try bytes(model)) : try latency(model)
  }

  private static func seconds(_ model: Model) throws(CNNError) -> Double {
    try model.lock.reading { () throws(CNNError) in try model.lockedLatency(repeats: 10) }
  }

  private static func median(_ numbers: [Double]) -> Double { numbers.sorted()[numbers.count / 2] }
}
