import CNNCore

/// What the layer `Normalization` of a file of Keras's means for a model: the mean and deviation of its pixels, with the
/// scalings around that layer in them; or where the model has such a layer itself, whether that is the same.
struct KerasPixels {
  /// The mean and deviation of pixels in units of their full range; nil where nothing is to be set.
  private(set) var normalization: (mean: [Double], deviation: [Double])?
  /// What does not fit, in sentences.
  private(set) var faults: [String] = []

  /// The deviations by which Keras's EfficientNets divide a second time where they have ImageNet's weights.
  private static let imagenetDeviation = [0.229, 0.224, 0.225]

  /// A factor and an offset, of each channel or of all.
  private struct Scaling {
    var factor = [1.0]
    var offset = [0.0]

    init(factor: [Double] = [1]) { self.factor = factor }

    /// Of a layer `Rescaling`; that of another layer changes nothing.
    init(_ row: JSONObject?) throws(CNNError) {
      guard let row, row["class_name"] == "Rescaling", let config = row["config"]?.objectValue else { return }
      factor = try Self.numbers(config, "scale") ?? factor
      offset = try Self.numbers(config, "offset") ?? offset
    }

    private static func numbers(_ config: JSONObject, _ key: String) throws(CNNError) -> [Double]? {
      guard let value = config[key] else { return nil }
      if let number = value.numberValue { return [number] }
      return try config.numbers(key)
    }
  }

  /// From "pixels" of what `scnn_match_layers` takes.
  init(_ json: JSONObject) throws(CNNError) {
    try json.requireKeys(among: ["stored", "own", "has_reader", "channels", "network", "rescalings"])
    let (stored, own) = (try Self.objects(json, "stored"), try Self.objects(json, "own"))
    let (channels, hasReader) = (try json.integer("channels"), try json.bool("has_reader"))
    guard (1...1 << 16).contains(channels) else {
      throw CNNError(.malformedFile, "'channels' is \(channels); expected 1 to 65536")
    }
    guard let first = stored.first else { return }
    let label = try first.string("label"), mean = try first.numbers("mean"), variance = try first.numbers("variance")
    guard stored.count == 1, own.count <= 1, !own.isEmpty || hasReader,
      [mean, variance].allSatisfy({ $0.count == 1 || $0.count == channels })
    else {
      for layer in stored { faults.append("\(try layer.string("label")): the model has no place for it") }
      return
    }
    let told = "\(label): mean \(mean) and variance \(variance)"
    if let layer = own.first {
      let (ownMean, ownVariance) = (try layer.optionalNumbers("mean"), try layer.optionalNumbers("variance"))
      if !Self.isClose(ownMean, mean) || !Self.isClose(ownVariance, variance) {
        let (here, there) = (ownMean.map { "\($0)" } ?? "none", ownVariance.map { "\($0)" } ?? "none")
        faults = [
          "\(told), where layer '\(try layer.string("name"))' has \(here) and \(there): make it with the file's"
        ]
      }
      return
    }
    let name = try first.string("name")
    var before = Scaling(factor: [1.0 / 255]), after = Scaling()
    if let network = json["network"]?.objectValue, let found = try Self.scalings(in: network, around: name) {
      (before, after) = found
    } else if try json.integer("rescalings") > 1 {
      after = Scaling(factor: Self.imagenetDeviation.map { 1 / $0.squareRoot() })
    }
    let all = [mean, variance, before.factor, before.offset, after.factor, after.offset]
    guard all.allSatisfy({ $0.count == 1 || $0.count == channels }) else {
      faults = ["\(label): \(mean.count) means do not fit the \(channels) channels of the model"]
      return
    }
    var found: (mean: [Double], deviation: [Double]) = ([], [])
    for channel in 0..<channels {
      func at(_ numbers: [Double]) -> Double { numbers.count == 1 ? numbers[0] : numbers[channel] }
      let deviation = max(at(variance).squareRoot(), 1e-7)
      let constant = (at(before.offset) - at(mean)) / deviation * at(after.factor) + at(after.offset)
      found.deviation.append(1 / (255 * at(before.factor) / deviation * at(after.factor)))
      found.mean.append(-constant * found.deviation[channel])
    }
    guard (found.mean + found.deviation).allSatisfy(\.isFinite), found.deviation.allSatisfy({ $0 > 0 }) else {
      faults = ["\(told) are no such"]
      return
    }
    normalization = found
  }

  /// As `scnn_match_layers` tells it.
  var json: JSON {
    guard let normalization else { return .null }
    let (mean, deviation) = (normalization.mean, normalization.deviation)
    return ["mean": .array(mean.map { .number($0) }), "std": .array(deviation.map { .number($0) })]
  }

  private static func objects(_ json: JSONObject, _ key: String) throws(CNNError) -> [JSONObject] {
    let objects = try json.array(key).map(\.objectValue)
    guard let found = objects as? [JSONObject] else { throw CNNError(.malformedFile, "'\(key)': expected objects") }
    return found
  }

  private static func isClose(_ ours: [Double]?, _ theirs: [Double]) -> Bool {
    guard let ours, ours.count == 1 || ours.count == theirs.count else { return false }
    return theirs.indices.allSatisfy { index in
      abs((ours.count == 1 ? ours[0] : ours[index]) - theirs[index]) <= 1e-7 + 1e-5 * abs(theirs[index])
    }
  }

  /// The scalings before and after the normalisation of a name, in the network that has it or in one within.
  private static func scalings(
    in network: JSONObject, around name: String
  ) throws(CNNError) -> (Scaling, Scaling)? {
    let rows = (network["config"]?.objectValue?["layers"]?.arrayValue ?? []).map(\.objectValue)
    for (index, row) in rows.enumerated() {
      guard let row else { continue }
      if row["class_name"] == "Normalization", row["config"]?.objectValue?["name"] == .string(name) {
        let after = index + 1 < rows.count ? rows[index + 1] : nil
        return (try Scaling(index > 0 ? rows[index - 1] : nil), try Scaling(after))
      }
      if let found = try scalings(in: row, around: name) { return found }
    }
    return nil
  }
}
