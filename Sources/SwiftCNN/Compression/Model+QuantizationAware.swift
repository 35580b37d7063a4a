import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Model {
  /// A model that is trained for integers: this one, with its weights and activations rounded as `quantized` rounds them,
  /// whose scales are found in training (Jacob et al. 2018, section 3). `compile` and `fit` train it as ever; `quantized`
  /// then makes the model in integers, which gives the same scores but for the rounding of biases and of sums.
  ///
  ///     let trained = try model.quantizationAware(calibration: images)
  ///     try trained.compile(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd(learningRate: 1e-3))
  ///     try trained.fit(images, labels, options: FitOptions(epochs: 4))
  ///     let small = try trained.quantized()
  ///
  /// This model stays as it is.
  /// - Parameters:
  ///   - calibration: images as `predict` takes them, of which the first ranges are found.
  ///   - options: how ranges are found, and what stays in floats.
  /// - Throws: as `quantized`.
  public func quantizationAware(
    calibration: some ModelInput, options: QuantizationAwareOptions = QuantizationAwareOptions()
  ) throws(CNNError) -> Model {
    try lock.reading { () throws(CNNError) in
      let x = try served(calibration)
      guard x.count > 0 else { throw CNNError(.invalidArgument, "calibration has no images; expected one at least") }
      try x.requireVariety("calibration")
      return try roundedInTraining(x, options)
    }
  }

  /// The same without calibration images: the first ranges are those of the first batch that it is trained on.
  /// - Throws: as well `.invalidArgument` where ranges are learned: these have to begin somewhere.
  public func quantizationAware(
    options: QuantizationAwareOptions = QuantizationAwareOptions()
  ) throws(CNNError) -> Model {
    guard options.ranges == .tracked else {
      throw CNNError(
        .invalidArgument, "ranges is 'learned' and calibration is not given; expected images of which ranges are found")
    }
    return try lock.reading { () throws(CNNError) in try roundedInTraining(nil, options) }
  }

  private func roundedInTraining(_ x: Samples?, _ options: QuantizationAwareOptions) throws(CNNError) -> Model {
    try options.validate()
    guard !hasRoundings, !network.isRoundedInTraining else {
      throw CNNError(
        .invalidState, "'\(name)' is \(hasRoundings ? "quantised" : "made to be trained for integers") already")
    }
    let isSkipped = try skipping(options.skip, among: network)
    let readsPixels = x.map { $0.isOfPixels(network) } ?? (trainedOn == .pixels)
    if readsPixels, let reading = try readingPixels(isSkipped) {
      let model = try model(of: reading.graph, reading.values)
      return try model.roundedInTraining(x, options, isSkipped, pixels: [reading.name: reading.levels])
    }
    return try roundedInTraining(x, options, isSkipped, pixels: [:])
  }

  /// This network, to be trained, whose first layers read pixels as they come; nil where they do not.
  private func readingPixels(_ isSkipped: (String) -> Bool) throws(CNNError) -> PixelReading? {
    let network = networkWithFlags, (mean, deviation) = (pixelNormalization.mean, pixelNormalization.deviation)
    let layers = QuantizationPoints(network, skipping: isSkipped).layers.map { network.nodes[$0].name }
    return try network.readingPixels(
      (mean, deviation), step: PixelReading.step(deviation),
      numbers: { name in self.parameters.position(of: name).map { Array(self.parameters.values(at: $0)) } ?? [] },
      isLayer: { layers.contains($0.name) })
  }

  /// - Parameter pixels: by the name of a value that is pixels less one of each channel, their levels.
  private func roundedInTraining(
    _ x: Samples?, _ options: QuantizationAwareOptions, _ isSkipped: (String) -> Bool, pixels: [String: PixelLevels]
  ) throws(CNNError) -> Model {
    let folded = try FoldedNetwork(networkWithFlags) { name in
      self.parameters.position(of: name).map { self.parameters.values(at: $0) }
    }
    let points = QuantizationPoints(folded.graph, skipping: isSkipped)
    guard !points.layers.isEmpty else { throw nothingToQuantize(options.skip) }
    // What a convolution gives there, its batch normalisation gives here.
    func place(_ value: Value) -> String {
      let name = folded.graph.name(of: value)
      return folded.normalizations[name] ?? name
    }
    var rounding = TrainedRounding()
    (rounding.learnsScales, rounding.momentum) = (options.ranges == .learned, options.momentum)
    (rounding.freeze, rounding.perChannel) = (options.freeze, options.perChannel)
    let layers = points.layers.map { folded.graph.nodes[$0].name }
    let (graph, parameters) = try networkWithFlags.roundingInTraining(
      points.values.map(place), pixels: pixels,
      weights: Dictionary(layers.map { ($0, folded.normalizations[$0]) }, uniquingKeysWith: { first, _ in first }),
      rounding)
    var values: [String: [Float]] = [:]
    if let x {
      let plain = try model(of: folded.graph, folded.values)
      let known = try plain.calibrated(points.values, [], x, options.quantization)
      for value in points.values {
        guard let levels = known.levels[folded.graph.name(of: value)], let names = parameters[place(value)] else {
          continue
        }
        (values[names.scale], values[names.zeroPoint]) = ([levels.scale], [Float(levels.zeroPoint)])
      }
    }
    return try model(of: graph, values)
  }

  /// The model in integers of one that was trained for them; see `quantizationAware`. Where layers are rounded, and with which
  /// levels, that one knows.
  /// - Parameter options: of these `strict` alone; others may not be but their defaults.
  /// - Throws: `.invalidArgument` where the model was not made for that, since calibration images are needed then, where a
  ///   weight is no number, and for options that it decides; `.invalidState` where it has not been trained since, and there
  ///   were no images.
  public func quantized(options: QuantizationOptions = QuantizationOptions()) throws(CNNError) -> Model {
    try options.validate()
    return try lock.reading { () throws(CNNError) in
      guard network.isRoundedInTraining else {
        throw CNNError(
          .invalidArgument,
          "calibration is not given; expected images, since '\(name)' is not made by "
            + "\(option: "quantization_aware", swift: "quantizationAware")")
      }
      return try integers(nil, options)
    }
  }

  /// The model in integers of this one, which was trained for them. The caller has the model.
  /// - Parameter x: images on which the noise is measured that the report tells.
  func integers(_ x: Samples?, _ options: QuantizationOptions) throws(CNNError) -> Model {
    try requireNoChoice(options)
    var options = options
    options.perChannel = roundsPerChannel
    let whole = try model(of: networkWithFlags.withoutTrainedRoundings(), roundedWeights())
    let folded = try FoldedNetwork(whole.network) { name in
      whole.parameters.position(of: name).map { whole.parameters.values(at: $0) }
    }
    let plain = try whole.model(of: folded.graph, folded.values)
    let convolutions = Dictionary(
      folded.normalizations.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    var levels: [String: ByteLevels] = [:]
    for node in network.nodes where node.operation is FakeQuantizeActivation {
      let name = network.name(of: node.operands[0])
      levels[convolutions[name] ?? name] = try trainedLevels(of: node)
    }
    let rounded = Set(
      network.nodes.filter { node in
        node.operands.contains { network.node(defining: $0)?.operation is FakeQuantizeWeight }
      }.map(\.name))
    if options.strict { try folded.graph.requireNoIslands { !rounded.contains($0) } }
    let layers = folded.graph.nodes.filter { rounded.contains($0.name) }
    let pixels = pixelRounding.map { [$0.name: $0.levels] } ?? [:]
    let result = try plain.rounded(levels, pixels: pixels, layers, options)
    var record = QuantizationRecord()
    record.skipped = folded.graph.nodes.filter {
      ($0.operation is Convolution2D || $0.operation is Dense) && !rounded.contains($0.name)
    }.map(\.name)
    if let x, x.count > 0, options.reportSamples > 0 {
      result.setQuantization(record)
      record.noise = try result.noise(of: x, count: min(options.reportSamples, x.count), against: plain)
    }
    result.setQuantization(record)
    return result
  }

  /// Whether weights have a scale for each output channel.
  private var roundsPerChannel: Bool {
    network.nodes.lazy.compactMap { ($0.operation as? FakeQuantizeWeight)?.perChannel }.first ?? true
  }

  /// Throws for options about what this model has decided.
  private func requireNoChoice(_ options: QuantizationOptions) throws(CNNError) {
    let usual = QuantizationOptions()
    func require(_ isLeft: Bool, _ given: String, _ expected: String) throws(CNNError) {
      guard !isLeft else { return }
      throw CNNError(
        .invalidArgument,
        "\(given), but '\(name)' was trained with its own ranges, scales, layers and biases; expected \(expected)")
    }
    try require(
      options.method == usual.method, "method is '\(options.method.rawValue)'",
      "the default, '\(usual.method.rawValue)'")
    try require(
      options.percentile == usual.percentile, "percentile is \(options.percentile)", "the default, \(usual.percentile)")
    try require(options.skip.isEmpty, "skip is \(options.skip)", "none")
    try require(
      options.correctsBias, "\(option: "bias_correction", swift: "correctsBias") is false", "the default, true")
    try require(!options.equalizes, "\(option: "equalize", swift: "equalizes") is true", "the default, false")
    try require(
      options.maximumDrop == nil,
      "\(option: "max_drop", swift: "maximumDrop") is \(options.maximumDrop.map { "\($0)" } ?? "nothing")", "none")
    // Its default says nothing, so that it need not be repeated.
    try require(
      options.perChannel == usual.perChannel || options.perChannel == roundsPerChannel,
      "\(option: "per_channel") is \(options.perChannel)", "\(roundsPerChannel), as it was trained")
  }

  /// The levels that a rounding of this network has.
  private func trainedLevels(of node: Node) throws(CNNError) -> ByteLevels {
    let numbers = node.operands.dropFirst().map { operand in
      network.parameter(defining: operand).flatMap { parameters.position(of: $0.name) }
        .flatMap { parameters.values(at: $0).first } ?? 0
    }
    guard let levels = TrainedLevels(scale: numbers[0], zeroPoint: numbers[1]),
      let result = ByteLevels(scale: levels.scale, zeroPointNear: numbers[1])
    else {
      throw CNNError(
        .invalidState,
        "the range of '\(network.name(of: node.operands[0]))' is not known; train '\(name)' first, or make it with "
          + "calibration images")
    }
    return result
  }

  /// By name, the weights that this network rounds, as it does.
  private func roundedWeights() throws(CNNError) -> [String: [Float]] {
    func numbers(_ operand: Value) -> UnsafeMutableBufferPointer<Float> {
      network.parameter(defining: operand).flatMap { parameters.position(of: $0.name) }
        .map { parameters.values(at: $0) } ?? .init(start: nil, count: 0)
    }
    let workers = Workers(count: Threads.count)
    var result: [String: [Float]] = [:]
    for node in network.nodes {
      guard let rounding = node.operation as? FakeQuantizeWeight else { continue }
      let weight = numbers(node.operands[0]), outputs = network.type(of: node.operands[0]).shape[0]
      var levels = [Float](repeating: 0, count: weight.count)
      let size = weight.count / outputs
      // None of a layer that no batch normalisation follows.
      let factors = zip(node.operands.dropFirst(), node.operands.dropFirst(2)).flatMap { gamma, variance in
        zip(numbers(gamma), numbers(variance)).map {
          BatchNormalization.factor(gamma: $0, variance: $1, epsilon: rounding.epsilon)
        }
      }
      factors.withUnsafeBufferPointer { factors in
        levels.withUnsafeMutableBufferPointer { levels in
          guard let weight = weight.baseAddress, let levels = levels.baseAddress else { return }
          FakeQuantizeWeightKernels.apply(
            weight, times: factors.isEmpty ? nil : factors.baseAddress, perChannel: rounding.perChannel, into: levels,
            outputs: outputs, size: size, workers: workers)
        }
      }
      result[network.name(of: node.operands[0])] = levels
    }
    return result
  }
}
