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
  /// - Throws: `.invalidArgument` where there are no images, or these are no numbers, where no layer can be quantised or
  ///   this is done already; `.unknownName` for a layer to skip that there is not; `.shapeMismatch` where images do not fit.
  public func quantized(
    calibration: some ModelInput, options: QuantizationOptions = QuantizationOptions()
  ) throws(CNNError) -> Model {
    try options.validate()
    return try lock.reading { () throws(CNNError) in
      guard !network.nodes.contains(where: { $0.operation is FakeQuantize }) else {
        throw CNNError(.invalidState, "'\(name)' is quantised already")
      }
      let x = try served(calibration)
      guard x.count > 0 else { throw CNNError(.invalidArgument, "calibration has no images; expected one at least") }
      var folded = try FoldedNetwork(network) { name in
        self.parameters.position(of: name).map { self.parameters.values(at: $0) }
      }
      let isSkipped = try skipping(options.skip, among: folded.graph)
      if let pixels = zip(network.inputs, x.arrays).first(where: { $0.0.name == network.pixelInput?.name }),
        pixels.1.element == .uint8
      {
        let layers = QuantizationPoints(folded.graph, skipping: isSkipped).layers.map { folded.graph.nodes[$0].name }
        try folded.takePixels((pixelNormalization.mean, pixelNormalization.deviation)) { layers.contains($0.name) }
      }
      let points = QuantizationPoints(folded.graph, skipping: isSkipped)
      guard !points.layers.isEmpty else {
        throw CNNError(.invalidArgument, "'\(name)' has no layer that can be quantised")
      }
      let plain = try model(of: folded.graph, folded.values)
      let layers = points.layers.map { folded.graph.nodes[$0] }
      let calibration = try plain.calibrated(points, layers, x, options)
      var weights: [String: WeightLevels] = [:]
      for layer in layers { weights[layer.name] = plain.weightLevels(of: layer, options) }
      for layer in layers {
        if let levels = weights[layer.name] { plain.round(layer, levels, calibration.means[layer.name]) }
      }
      let pixels = folded.pixels.map { [$0.name: $0.zeroPoints] } ?? [:]
      return try plain.model(of: folded.graph.rounding(calibration.levels, pixels: pixels, weights: weights), [:])
    }
  }

  /// A model of another network with this one's parameters, save those whose numbers are given.
  private func model(of graph: Graph, _ values: [String: [Float]]) throws(CNNError) -> Model {
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
    return result
  }

  /// Whether a layer of a name is to be skipped.
  private func skipping(
    _ patterns: [String], among graph: Graph
  ) throws(CNNError) -> (String) -> Bool {
    let layers = graph.nodes.filter { $0.operation is Convolution2D || $0.operation is Dense }.map(\.name)
    for pattern in patterns where !layers.contains(where: { Glob.matches($0, pattern) }) {
      throw unknownName("layer", pattern, among: layers)
    }
    return { name in patterns.contains { Glob.matches(name, $0) } }
  }

  /// What calibration images tell.
  private struct Calibration {
    /// The levels of activations, by the names of their values.
    var levels: [String: ByteLevels] = [:]
    /// The mean of each channel that a layer reads, by the layer's name.
    var means: [String: [Float]] = [:]
  }

  private func calibrated(
    _ points: QuantizationPoints, _ layers: [Node], _ x: Samples, _ options: QuantizationOptions
  ) throws(CNNError) -> Calibration {
    let names = points.values.map(network.name(of:))
    let inputs = options.correctsBias ? layers.map { network.name(of: $0.operands[0]) } : []
    let stateCount = options.method == .minmax ? TensorStatistics.rangeCount : TensorStatistics.histogramCount
    let (observed, ranges, sums) = try network.observing(
      names, stateCount: stateCount, means: Array(Set(inputs)).sorted())
    let own = zip(parameters.parameters, parameters.tensors).map { ($0.name, $1) }
    let storage = try ParameterStorage(
      observed.parameters, sharing: Dictionary(own, uniquingKeysWith: { first, _ in first }))
    let batch = min(x.count, try imagesPerPass(x)), wanted = min(options.samples, x.count)
    let batches = (wanted + batch - 1) / batch
    var context: (images: Int, context: ExecutionContext)?
    var interruption = Interruption()
    for index in 0..<batches {
      try interruption.check()
      // Spread over all images, which may be sorted by class.
      let count = min(batch, wanted - index * batch)
      let start = batches == 1 ? 0 : (x.count - count) * index / (batches - 1)
      let images = x[start..<start + count]
      if context?.images != count {
        let plan = try Compiler.inferencePlan(
          observed, inputs: images.types(), normalization: pixelNormalization, threads: Threads.count)
        context = (count, try ExecutionContext(plan))
      }
      guard let running = context?.context else { continue }
      try running.run(parameters: storage, inputs: images.bases)
      running.applyUpdates(to: storage)
    }
    var result = Calibration()
    for (name, parameter) in ranges {
      guard let position = storage.position(of: parameter) else { continue }
      result.levels[name] = try Self.levels(UnsafeBufferPointer(storage.values(at: position)), options, name)
    }
    for layer in layers {
      guard let parameter = sums[network.name(of: layer.operands[0])], let position = storage.position(of: parameter),
        let pixels = storage.values(at: position).last
      else { continue }
      result.means[layer.name] = storage.values(at: position).dropLast().map { $0 / pixels }
    }
    return result
  }

  private static func levels(
    _ state: UnsafeBufferPointer<Float>, _ options: QuantizationOptions, _ name: String
  ) throws(CNNError) -> ByteLevels {
    let range =
      switch options.method {
      case .minmax: CalibrationRange.whole(state)
      case .percentile: CalibrationRange.percentile(options.percentile, state)
      case .entropy: CalibrationRange.leastDivergence(state)
      case .mse: CalibrationRange.leastError(state)
      }
    guard range.lowest.isFinite, range.highest.isFinite else {
      throw CNNError(
        .invalidArgument, "calibration: '\(name)' was from \(range.lowest) to \(range.highest); expected finite numbers"
      )
    }
    let width = range.highest - range.lowest, scale = width / 255
    // What was always 0 has any scale.
    guard scale.isNormal, let levels = ByteLevels(scale: scale, zeroPoint: zeroPoint(range, scale)) else {
      return try ByteLevels(scale: 1, zeroPoint: 0).orThrow(name)
    }
    return levels
  }

  private static func zeroPoint(_ range: CalibrationRange, _ scale: Float) -> UInt8 {
    UInt8(min(max((-range.lowest / scale).rounded(.toNearestOrEven), 0), 255))
  }

  /// Rounds a layer's weight to its levels. What that changes of the mean of each of its channels, given those it reads, is
  /// taken from the bias (Nagel et al. 2019, section 4.2).
  private func round(_ layer: Node, _ levels: WeightLevels, _ means: [Float]?) {
    guard let position = parameters.position(of: network.name(of: layer.operands[1])) else { return }
    let shape = parameters.parameters[position].shape, outputs = shape[0]
    let weight = parameters.values(at: position), size = weight.count / outputs
    let inputs = shape.count > 1 ? shape[1] : 1, taps = size / inputs
    let groups = (layer.operation as? Convolution2D)?.groups ?? 1
    let bias = layer.operands.dropFirst(2).first.flatMap { parameters.position(of: network.name(of: $0)) }
    for output in 0..<outputs {
      let scale = levels.scale(output), firstInput = output / (outputs / groups) * inputs
      var shift = 0.0
      for index in 0..<size {
        let old = weight[output * size + index], new = Float(levels.rounded(old / scale)) * scale
        weight[output * size + index] = new
        if let means, means.indices.contains(firstInput + index / taps) {
          shift += Double(new - old) * Double(means[firstInput + index / taps])
        }
      }
      if let bias { parameters.values(at: bias)[output] -= Float(shift) }
    }
  }

  /// The scales of a layer's weight: of its largest magnitudes.
  private func weightLevels(of layer: Node, _ options: QuantizationOptions) -> WeightLevels {
    let name = network.name(of: layer.operands[1])
    guard let position = parameters.position(of: name) else { return WeightLevels(scales: [1]) }
    let weight = parameters.values(at: position), outputs = parameters.parameters[position].shape[0]
    let size = weight.count / outputs
    var largest = (0..<outputs).map { output in
      weight[output * size..<(output + 1) * size].reduce(Float(0)) { max($0, $1.magnitude) }
    }
    if !options.perChannel { largest = [largest.max() ?? 0] }
    return WeightLevels(
      scales: largest.map {
        let scale = $0 / 127
        return scale.isNormal && (1 / scale).isNormal ? scale : 1
      })
  }
}

extension Optional {
  fileprivate func orThrow(_ name: String) throws(CNNError) -> Wrapped {
    guard let self else { throw CNNError(.internalFault, "'\(name)' has no levels") }
    return self
  }
}
