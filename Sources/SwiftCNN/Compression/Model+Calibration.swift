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
    let names = points.map(network.name(of:))
    let inputs = options.correctsBias ? layers.map { network.name(of: $0.operands[0]) } : []
    let stateCount = options.method == .minmax ? TensorStatistics.rangeCount : TensorStatistics.histogramCount
    let (observed, ranges, sums) = try network.observing(
      names, stateCount: stateCount, means: Array(Set(inputs)).sorted())
    let own = zip(parameters.parameters, parameters.tensors).map { ($0.name, $1) }
    let storage = try ParameterStorage(
      observed.parameters, sharing: Dictionary(own, uniquingKeysWith: { first, _ in first }))
    let batch = min(x.count, try imagesPerPass(x)), wanted = min(options.samples, x.count)
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
}

extension Samples {
  /// Ranges of `count` samples together, `atOnce` at most in each, spread over all samples, which may be sorted by class.
  func spread(_ wanted: Int, atOnce: Int) -> [Range<Int>] {
    let batches = (wanted + atOnce - 1) / atOnce
    return (0..<batches).map { index in
      let size = min(atOnce, wanted - index * atOnce)
      let start = batches == 1 ? 0 : (count - size) * index / (batches - 1)
      return start..<start + size
    }
  }
}

extension Optional {
  fileprivate func orThrow(_ name: String) throws(CNNError) -> Wrapped {
    guard let self else { throw CNNError(.internalFault, "'\(name)' has no levels") }
    return self
  }
}
