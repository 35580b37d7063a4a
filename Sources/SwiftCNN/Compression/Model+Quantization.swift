import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Model {
  /// A model that computes in integers of 8 bits what this one does in floats (Jacob et al. 2018): weights with a scale for
  /// each output channel, activations with the range that they have over calibration images.
  ///
  /// This model stays as it is. Batch normalisations become part of the convolutions before them.
  /// - Parameters:
  ///   - calibration: images as `predict` takes them, a few hundred like those that will come.
  ///   - options: how ranges are found, and what stays in floats.
  /// - Throws: `.invalidArgument` where there are no images, or these are constant, or these or weights are no numbers, where
  ///   no layer can be quantised or this is done already; `.unknownName` for a layer to skip that there is not;
  ///   `.shapeMismatch` where images do not fit.
  public func quantized(
    calibration: some ModelInput, options: QuantizationOptions = QuantizationOptions()
  ) throws(CNNError) -> Model {
    guard options.maximumDrop == nil else {
      throw CNNError(
        .invalidArgument,
        "\(option: "max_drop", swift: "maximumDrop") is given without validation; expected samples and their targets, of "
          + "which the accuracy is looked at")
    }
    return try quantized(calibration, nil, options)
  }

  /// The same, with layers that return to floats, in the order of the harm that they do, until the share of validation
  /// samples whose first class is right has fallen by no more than `options.maximumDrop` points of a hundred.
  /// `quantizationReport().returned` names them. Where the processor has tiles of bfloat16, floats become that.
  /// - Parameters:
  ///   - calibration: as above.
  ///   - validation: samples, and their targets: labels, int32 or uint8 `[N]`, or float32 `[N, classes]`, of which the
  ///     largest counts.
  ///   - options: as above.
  /// - Throws: as well `.shapeMismatch` where the validation does not fit, `.invalidArgument` where it is empty or the drop
  ///   is larger with a single layer in integers.
  public func quantized<X: ModelInput, Y: TensorConvertible>(
    calibration: some ModelInput, validation: (x: X, y: Y), options: QuantizationOptions
  ) throws(CNNError) -> Model {
    let y = try validation.y.view
    return try quantized(calibration, { (model) throws(CNNError) in try Validation(model, validation.x, y) }, options)
  }

  private func quantized(
    _ calibration: some ModelInput, _ validation: ((Model) throws(CNNError) -> Validation)?,
    _ options: QuantizationOptions
  ) throws(CNNError) -> Model {
    try options.validate()
    return try lock.reading { () throws(CNNError) in
      guard !hasRoundings else { throw CNNError(.invalidState, "'\(name)' is quantised already") }
      let x = try served(calibration)
      guard x.count > 0 else { throw CNNError(.invalidArgument, "calibration has no images; expected one at least") }
      if network.isRoundedInTraining { return try integers(x, options) }
      try x.requireVariety("calibration")
      let validation = try validation.map { (make) throws(CNNError) in try make(self) }
      var folded = try FoldedNetwork(networkWithFlags) { name in
        self.parameters.position(of: name).map { self.parameters.values(at: $0) }
      }
      if options.equalizes { folded.equalize() }
      let isSkipped = try skipping(options.skip, among: folded.graph)
      if x.isOfPixels(network) {
        let layers = QuantizationPoints(folded.graph, skipping: isSkipped).layers.map { folded.graph.nodes[$0].name }
        try folded.takePixels((pixelNormalization.mean, pixelNormalization.deviation)) { layers.contains($0.name) }
      }
      let points = QuantizationPoints(folded.graph, skipping: isSkipped)
      guard !points.layers.isEmpty else { throw nothingToQuantize(options.skip) }
      if options.strict { try folded.graph.requireNoIslands(skipping: isSkipped) }
      let plain = try model(of: folded.graph, folded.values)
      var rounding = Rounding(plain: plain, options: options, pixels: folded.pixels, images: x, isSkipped: isSkipped)
      var result = try rounding.model(returning: [])
      if let validation, let drop = options.maximumDrop {
        result = try rounding.recovered(result, validation, of: self, maximumDrop: drop)
      }
      try rounding.measure(result, images: options.reportSamples)
      return result
    }
  }

  /// A model of another network with this one's parameters, save those whose numbers are given.
  func model(of graph: Graph, _ values: [String: [Float]]) throws(CNNError) -> Model {
    let result = try Model(
      uninitialized: graph, name: name, mean: pixelNormalization.mean, deviation: pixelNormalization.deviation)
    for (position, parameter) in graph.parameters.enumerated() {
      let target = result.parameters.values(at: position)
      if let numbers = values[parameter.name] {
        _ = target.update(fromContentsOf: numbers)
      } else if let place = parameters.position(of: parameter.name) {
        _ = target.update(fromContentsOf: parameters.values(at: place))
      }
    }
    result.takeDescription(of: self)
    result.forgetLayers()
    return result
  }

  /// That no layer is left.
  func nothingToQuantize(_ skip: [String]) -> CNNError {
    let reason = skip.isEmpty ? "" : " but those that skip names"
    return CNNError(.invalidArgument, "'\(name)' has no layer that can be quantised\(reason)")
  }

  /// Whether a layer of a name is to be skipped.
  func skipping(_ patterns: [String], among graph: Graph) throws(CNNError) -> (String) -> Bool {
    try matching(patterns, "skip", among: graph)
  }

  /// Whether an option that lists layers names one.
  /// - Throws: `.unknownName` for a pattern that no convolution or dense layer has.
  func matching(
    _ patterns: [String], _ option: String, among graph: Graph
  ) throws(CNNError) -> (String) -> Bool {
    let layers = graph.nodes.filter { $0.operation is Convolution2D || $0.operation is Dense }.map(\.name)
    for pattern in patterns where !layers.contains(where: { Glob.matches($0, pattern) }) {
      if graph.nodes.contains(where: { Glob.matches($0.name, pattern) }) {
        throw CNNError(
          .unknownName, "\(option) has '\(pattern)'; expected convolutions and dense layers, which alone can be named")
      }
      throw unknownName("layer", pattern, among: layers)
    }
    return { name in patterns.contains { Glob.matches(name, $0) } }
  }

  /// Rounds a layer's weight to its levels. What that changes of the mean of each of its channels, given those it reads, is
  /// taken from the bias (Nagel et al. 2019, section 4.2).
  /// - Parameter network: the one without roundings that the layer is of.
  func round(_ layer: Node, of network: Graph, _ levels: WeightLevels, _ means: [Float]?) {
    guard let position = parameters.position(of: network.name(of: layer.operands[1])) else { return }
    let shape = parameters.parameters[position].shape, outputs = shape[0]
    let weight = parameters.values(at: position)
    let inputs = shape.count > 1 ? shape[1] : 1, taps = weight.count / outputs / inputs
    let groups = (layer.operation as? Convolution2D)?.groups ?? 1
    let bias = layer.operands.dropFirst(2).first.flatMap { parameters.position(of: network.name(of: $0)) }
      .map { parameters.values(at: $0) }
    guard let first = weight.baseAddress else { return }
    let size = inputs * taps
    Workers(count: Threads.count).forEachRange(of: outputs) { range, _ in
      var old = [Float](repeating: 0, count: size)
      for output in range {
        let new = first + output * size, firstInput = output / (outputs / groups) * inputs
        for index in 0..<size { old[index] = new[index] }
        FakeQuantizeWeightKernels.round(new, levels.scale(output), into: new, size)
        guard let bias, let means, firstInput + inputs <= means.count else { continue }
        var shift = 0.0
        for input in 0..<inputs {
          var change = 0.0
          for index in input * taps..<(input + 1) * taps { change += Double(new[index] - old[index]) }
          shift += change * Double(means[firstInput + input])
        }
        bias[output] -= Float(shift)
      }
    }
  }

  /// The scales of a layer's weight: of its largest magnitudes.
  /// - Throws: `.invalidArgument` where one of its numbers is infinite, or none.
  func weightLevels(of layer: Node, _ options: QuantizationOptions) throws(CNNError) -> WeightLevels {
    let name = network.name(of: layer.operands[1])
    guard let position = parameters.position(of: name) else { return WeightLevels(scales: [1]) }
    let weight = parameters.values(at: position), outputs = parameters.parameters[position].shape[0]
    guard weight.allSatisfy(\.isFinite) else {
      throw CNNError(
        .invalidArgument, "'\(self.name)': the weight '\(name)' has infinite numbers, or none; expected finite ones")
    }
    guard let first = weight.baseAddress else { return WeightLevels(scales: [1]) }
    let size = weight.count / outputs
    var largest = [Float](repeating: 0, count: outputs)
    largest.withUnsafeMutableBufferPointer { largest in
      Workers(count: Threads.count).forEachRange(of: outputs) { range, _ in
        for output in range {
          largest[output] = FakeQuantizeWeightKernels.largestMagnitude(first + output * size, size)
        }
      }
    }
    if !options.perChannel { largest = [largest.max() ?? 0] }
    return WeightLevels(ofLargest: largest)
  }
}

extension Samples {
  /// Whether what a network takes pixels from are such.
  func isOfPixels(_ network: Graph) -> Bool {
    zip(network.inputs, arrays).first { $0.0.name == network.pixelInput?.name }?.1.element == .uint8
  }
}

extension Graph {
  /// Throws where floats are left between integers that skipped layers do not explain.
  /// - Throws: `.invalidArgument` with a list of them.
  func requireNoIslands(skipping isSkipped: (String) -> Bool) throws(CNNError) {
    /// The islands that there are, whatever the levels.
    func islands(_ points: QuantizationPoints) throws(CNNError) -> [FloatIsland] {
      let levels = points.values.compactMap { value in
        ByteLevels(scale: 1, zeroPoint: 0).map { (name(of: value), $0) }
      }
      let weights = points.layers.map { (nodes[$0].name, WeightLevels(scales: [1])) }
      return try rounding(
        Dictionary(levels, uniquingKeysWith: { first, _ in first }),
        weights: Dictionary(weights, uniquingKeysWith: { first, _ in first })
      ).floatIslands()
    }
    let whole = Set(try islands(QuantizationPoints(self)).map(\.layer))
    let left = try islands(QuantizationPoints(self, skipping: isSkipped)).filter {
      whole.contains($0.layer) && !isSkipped($0.layer)
    }
    if left.isEmpty { return }
    let list = left.map { "'\($0.layer)' (\($0.operation)): \($0.reason)" }.joined(separator: "; ")
    throw CNNError(
      .invalidArgument,
      "strict: \(left.count) step\(left.count == 1 ? " is" : "s are") left in floats between integers: \(list)")
  }
}
