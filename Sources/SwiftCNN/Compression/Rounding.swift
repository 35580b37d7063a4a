import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

/// Makes models in integers of one of floats, with these or those layers left in floats. What images tell is kept.
struct Rounding {
  /// The model of floats, its batch normalisations folded.
  let plain: Model
  let options: QuantizationOptions
  /// The value that is pixels less one of each channel, and their levels; nil where there is none.
  let pixels: (name: String, levels: PixelLevels)?
  /// The calibration images.
  let images: Samples
  let isSkipped: (String) -> Bool
  /// What the images told; nil before they are looked at.
  private var known: Model.Calibration?

  init(
    plain: Model, options: QuantizationOptions, pixels: (name: String, levels: PixelLevels)?, images: Samples,
    isSkipped: @escaping (String) -> Bool
  ) {
    (self.plain, self.options, self.pixels, self.images) = (plain, options, pixels, images)
    self.isSkipped = isSkipped
  }

  /// The model of which these layers stay in floats, and those that are skipped.
  mutating func model(returning returned: [String]) throws(CNNError) -> Model {
    let graph = plain.network, isSkipped = isSkipped
    let points = QuantizationPoints(graph) { isSkipped($0) || returned.contains($0) }
    let layers = points.layers.map { graph.nodes[$0] }
    // Floats read the pixels as they are.
    let pixels = pixels.flatMap { pixels in
      layers.contains { graph.name(of: $0.operands[0]) == pixels.name } ? [pixels.name: pixels.levels] : nil
    }
    var known = self.known ?? Model.Calibration()
    let unknown = points.values.filter { value in
      let name = graph.name(of: value)
      return pixels?[name] == nil && known.levels[name] == nil
    }
    // Images are looked at again where a layer that has returned leaves something to be rounded that was not.
    if self.known == nil || !unknown.isEmpty {
      let new = try plain.calibrated(unknown, known.means.isEmpty ? layers : [], images, options)
      known.levels.merge(new.levels) { old, _ in old }
      known.means.merge(new.means) { old, _ in old }
      self.known = known
    }
    let names = Set(points.values.map(graph.name(of:)))
    let result = try plain.rounded(
      known.levels.filter { names.contains($0.key) }, pixels: pixels ?? [:], layers, means: known.means, options)
    var record = QuantizationRecord()
    (record.skipped, record.returned, record.isEqualized) = (options.skip, returned, options.equalizes)
    result.setQuantization(record)
    return result
  }

  /// Measures the noise of a model that this one has made, on so many of the calibration images.
  func measure(_ model: Model, images count: Int) throws(CNNError) {
    guard count > 0, var record = model.knownQuantization else { return }
    record.noise = try model.noise(of: images, count: min(count, images.count), against: plain)
    model.setQuantization(record)
  }
}

extension Model {
  /// This model with roundings of activations, and of the weights of layers.
  /// - Parameters:
  ///   - levels: by the name of a value, how it is rounded.
  ///   - pixels: by the name of a value that is pixels less one of each channel, their levels.
  ///   - means: by the name of a layer, the mean of each channel that it reads, where biases are corrected.
  func rounded(
    _ levels: [String: ByteLevels], pixels: [String: PixelLevels] = [:], _ layers: [Node],
    means: [String: [Float]] = [:],
    _ options: QuantizationOptions
  ) throws(CNNError) -> Model {
    var weights: [String: WeightLevels] = [:]
    for layer in layers { weights[layer.name] = try weightLevels(of: layer, options) }
    let result = try model(of: network.rounding(levels, pixels: pixels, weights: weights), [:])
    for layer in layers {
      if let levels = weights[layer.name] { result.round(layer, of: network, levels, means[layer.name]) }
    }
    return result
  }
}
