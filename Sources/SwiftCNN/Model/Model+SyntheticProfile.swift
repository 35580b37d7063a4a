import CNNCore
import CNNGraph

/// What is profiled where there are no images.
package struct ProfileOptions: Sendable, Equatable {
  var training = false
  /// As `fit` takes it by default.
  var batchSize = FitOptions().batchSize
  var repeats = 10
}

extension ProfileOptions: Configurable {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_model_profile_synthetic`.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.flag("training", &training, "Whether a training step is measured, and not a prediction.")
    try options.integer("batch_size", &batchSize, in: .within(1...1_048_576), "The images of the batch.")
    try options.integer("repeats", &repeats, in: .within(1...1_000_000), "How often; the times are medians.")
  }
}

extension Model {
  /// Times the steps of a prediction, or of a training step, of random numbers: images of the size that the model takes, and
  /// targets that its loss takes.
  /// - Parameters:
  ///   - training: whether it is a training step, for which the model must be compiled. It trains nothing.
  ///   - batchSize: the number of images. Of more than a prediction computes at once, those that are computed first.
  ///   - repeats: how often; the times are medians.
  /// - Throws: as the other `profile`s; `.invalidArgument` for a batch size below 1 or above 1,048,576, `.invalidState`
  ///   where the size of the model's images varies.
  public func profile(training: Bool = false, batchSize: Int = 32, repeats: Int = 10) throws(CNNError) -> Profile {
    try profile(ProfileOptions(training: training, batchSize: batchSize, repeats: repeats))
  }

  /// The same, with options.
  package func profile(_ options: ProfileOptions) throws(CNNError) -> Profile {
    try options.validate()
    let data = try lock.reading { () throws(CNNError) in try syntheticData(options) }
    guard let y = data.y else { return try profile(data.x, repeats: options.repeats) }
    return try profile(data.x, y, repeats: options.repeats)
  }

  private func syntheticData(_ options: ProfileOptions) throws(CNNError) -> (x: [Tensor], y: Tensor?) {
    let loss = options.training ? try compiled().settings.lossOperation(for: network) : nil
    var x: [Tensor] = []
    for (index, shape) in lockedInputShapes.enumerated() {
      let known = shape.compactMap { $0 }
      guard known.count == shape.count else {
        let sizes = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
        throw CNNError(
          .invalidState,
          "\(inputRole(lockedInputNames[index])) has the shape [N, \(sizes)], of which images cannot be "
            + "made up; profile images of the size that matters")
      }
      x.append(try .random([options.batchSize] + known, seed: UInt64(index)))
    }
    guard let loss else { return (x, nil) }
    let prediction = try TensorType(.float32, lockedOutputShape(for: samples(x)))
    let target = try loss.targetType(for: prediction)
    if target.element == .float32 { return (x, try .random(target.shape, seed: UInt64(x.count))) }
    // Every class in its turn.
    let labels = try Tensor(.int32, zeros: target.shape), classes = max(prediction.shape.last ?? 1, 1)
    withExtendedLifetime(labels) {
      let numbers = labels.base.assumingMemoryBound(to: Int32.self)
      for index in 0..<target.count { numbers[index] = Int32(truncatingIfNeeded: index % classes) }
    }
    return (x, labels)
  }
}

extension Tensor {
  /// Numbers from 0 to 1.
  fileprivate static func random(_ shape: [Int], seed: UInt64) throws(CNNError) -> Tensor {
    let tensor = try Tensor(zeros: shape)
    withExtendedLifetime(tensor) {
      tensor.floats.fillUniform(from: 0, to: 1, Philox(seed: seed, stream: 0))
    }
    return tensor
  }
}
