import CNNCore
import CNNGraph
import CNNPictures
import Glibc

/// A class that a model finds in a picture.
public struct Classification: Sendable, Equatable {
  /// Its place in the model's output.
  public let index: Int
  /// Its name; where the model has no names, the index as text.
  public let name: String
  /// From 0 to 1.
  public let probability: Float
}

extension Model {
  /// Whether the output is logits: as `compile` was told, else whether it comes directly from a dense layer or a
  /// convolution.
  public var givesLogits: Bool { lock.reading { training?.settings.fromLogits ?? network.endsInLogits } }

  /// The most probable classes of a picture file, most probable first.
  ///
  ///     for found in try model.classify("photo.jpg") { print(found.name, found.probability) }
  ///
  /// - Parameters:
  ///   - path: a JPEG or PNG file.
  ///   - top: how many at most; fewer where the model has fewer.
  /// - Throws: what reading the file throws, `.shapeMismatch` where the model does not read pictures or its output is no
  ///   row of classes.
  public func classify(_ path: String, top: Int = 5) throws(CNNError) -> [Classification] {
    try classify(Picture(contentsOf: path, as: pictureColor()), top: top)
  }

  /// The most probable classes of a picture.
  public func classify(_ picture: Picture, top: Int = 5) throws(CNNError) -> [Classification] {
    let prepared = try preprocess(picture)
    return try prepared.withPixels { (pixels) throws(CNNError) in
      guard let base = pixels.baseAddress else { return [] }
      let shape = [1, prepared.height, prepared.width, prepared.channels]
      return try classify(batch: TensorView(.uint8, shape: shape, base: base), top: top)[0]
    }
  }

  /// The most probable classes of each of several samples that are prepared already, as `predict` takes them.
  ///
  /// Outputs that are logits are made probabilities.
  public func classify(batch x: some ModelInput, top: Int = 5, batchSize: Int = 32) throws(CNNError)
    -> [[Classification]]
  {
    try requireOneInput(for: "classify")
    guard top >= 1 else { throw CNNError(.invalidArgument, "top is \(top); expected 1 or more") }
    let (names, hasLogits) = (classNames, givesLogits)
    let scores = try predict(x, batchSize: batchSize)
    guard scores.shape.count == 2, let classes = scores.shape.last else {
      throw CNNError(
        .shapeMismatch, "the output has shape \(describe(scores.shape)); expected [N, classes], as of a classifier")
    }
    var values = scores.values
    if hasLogits {
      for start in stride(from: 0, to: values.count, by: classes) {
        softmax(&values[start..<start + classes])
      }
    }
    return stride(from: 0, to: values.count, by: classes).map { start in
      let row = values[start..<start + classes]
      // What is not a number comes last, and equals come in the order of their classes.
      func key(_ index: Int) -> Float { row[index].isNaN ? -.infinity : row[index] }
      let order = row.indices.sorted { (key($0), $1) > (key($1), $0) }
      return order.prefix(top).map { position in
        let index = position - start
        return Classification(index: index, name: names?[index] ?? String(index), probability: row[position])
      }
    }
  }
}

/// Turns logits into probabilities, in place.
private func softmax(_ values: inout ArraySlice<Float>) {
  let largest = values.max() ?? 0
  var sum: Float = 0
  for index in values.indices {
    values[index] = exp(values[index] - largest)
    sum += values[index]
  }
  for index in values.indices { values[index] /= sum }
}
