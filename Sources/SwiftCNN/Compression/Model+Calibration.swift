import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Model {
  /// What calibration images tell.
  struct Calibration {
    /// The levels of activations, by the names of their values.
    var levels: [String: ByteLevels] = [:]
    /// The mean of each channel that a layer reads, by the layer's name.
    var means: [String: [Float]] = [:]
  }

  /// Looks at calibration images: each goes through the network once, and of what it was there only statistics are kept.
  /// - Parameters:
  ///   - points: the values of this network whose ranges are wanted.
  ///   - layers: the layers of which the means are wanted of what they read, where biases are corrected.
  ///   - x: the images, of which `options.samples` at most are looked at.
  /// - Throws: `.invalidArgument` where a value was infinite.
  func calibrated(
    _ points: [Value], _ layers: [Node], _ x: Samples, _ options: QuantizationOptions
  ) throws(CNNError) -> Calibration {
    let inputs = options.correctsBias ? layers.map { network.name(of: $0.operands[0]) } : []
    let names = points.map(network.name(of:))
    let (observed, places) = try network.observing(names, hasHistograms: options.method != .minmax, means: inputs)
    let own = zip(parameters.parameters, parameters.tensors).map { ($0.name, $1) }
    let storage = try ParameterStorage(
      observed.parameters, sharing: Dictionary(own, uniquingKeysWith: { first, _ in first }))
    // Of small images fewer than a prediction takes together: each value is read once more, better from a near cache.
    let perPass = try imagesPerPass(x), wanted = min(options.samples, x.count)
    let most = min(wanted, perPass, max(16, perPass / 4))
    // Batches of one size, where that is not much less, need one plan.
    let batch = ((most + 1) / 2...most).last { wanted.isMultiple(of: $0) } ?? most
    var context: (images: Int, context: ExecutionContext)?
    var interruption = Interruption()
    for range in x.spread(wanted, atOnce: batch) {
      try interruption.check()
      let images = x[range], count = range.count
      if context?.images != count {
        let plan = try Compiler.inferencePlan(
          observed, inputs: images.types(), normalization: pixelNormalization, threads: Threads.count)
        context = (count, try ExecutionContext(plan))
      }
      guard let running = context?.context else { continue }
      try running.run(parameters: storage, inputs: images.bases)
      running.applyUpdates(to: storage)
    }
    func known(_ name: String) -> (StatisticsState, UnsafeBufferPointer<Float>)? {
      guard let place = places[name], let position = storage.position(of: place.parameter) else { return nil }
      return (place.state, UnsafeBufferPointer(storage.values(at: position)))
    }
    // To search the ranges of a hundred values takes as long as to look at some images.
    var found: [Result<ByteLevels, CNNError>?] = Array(repeating: nil, count: names.count)
    found.withUnsafeMutableBufferPointer { found in
      Workers(count: Threads.count).share(names.count) { _, next in
        while let some = next() {
          for index in some {
            guard let (state, numbers) = known(names[index]) else { continue }
            found[index] = Result { () throws(CNNError) in try Self.levels(state, numbers, options, names[index]) }
          }
        }
      }
    }
    var result = Calibration()
    for (name, levels) in zip(names, found) { result.levels[name] = try levels?.get() }
    for (layer, input) in zip(layers, inputs) {
      if let (state, numbers) = known(input) { result.means[layer.name] = state.means(numbers) }
    }
    return result
  }

  private static func levels(
    _ state: StatisticsState, _ numbers: UnsafeBufferPointer<Float>, _ options: QuantizationOptions, _ name: String
  ) throws(CNNError) -> ByteLevels {
    guard let whole = state.range(numbers), (whole.highest - whole.lowest).isFinite else {
      throw CNNError(
        .invalidArgument, "calibration: '\(name)' was infinite, or no number; expected finite numbers")
    }
    let range =
      switch options.method {
      case .minmax: whole
      case .percentile: CalibrationRange.percentile(options.percentile, whole, state.counts(numbers))
      case .entropy: CalibrationRange.leastDivergence(whole, state.counts(numbers))
      case .mse: CalibrationRange.leastError(whole, state.counts(numbers))
      }
    // What was always 0 has any scale.
    return try (ByteLevels(lowest: range.lowest, highest: range.highest) ?? ByteLevels(scale: 1, zeroPoint: 0))
      .orThrow(name)
  }
}

extension Samples {
  /// Ranges of `wanted` samples together, `atOnce` at most in each and none twice, spread over all samples, which may be
  /// sorted by class.
  func spread(_ wanted: Int, atOnce: Int) -> [Range<Int>] {
    let batches = (wanted + atOnce - 1) / atOnce
    return (0..<batches).map { index in
      let first = index * atOnce, left = (count - wanted) * index / max(1, batches - 1)
      return first + left..<min(first + atOnce, wanted) + left
    }
  }
}

extension Optional {
  fileprivate func orThrow(_ name: String) throws(CNNError) -> Wrapped {
    guard let self else { throw CNNError(.internalFault, "'\(name)' has no levels") }
    return self
  }
}
