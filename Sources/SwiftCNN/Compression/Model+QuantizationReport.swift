import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime
import Glibc

extension Model {
  /// What this model computes in integers, with which levels, and the noise of that, as it was measured on some of the
  /// calibration images when the model was made. After training nothing is known of noise: give images then.
  /// - Throws: `.invalidState` where the model has no roundings.
  public func quantizationReport() throws(CNNError) -> QuantizationReport {
    try lock.reading { () throws(CNNError) in
      try requireRoundings()
      return try report(knownQuantization?.noise, .original)
    }
  }

  /// The same, with the noise measured on images.
  /// - Parameters:
  ///   - x: images as `predict` takes them; all of them are looked at.
  ///   - reference: the model of floats that this one was made of; nil measures against this one's own weights without the
  ///     roundings of activations.
  /// - Throws: `.invalidState` where the model has no roundings, `.invalidArgument` where there are no images, these have
  ///   numbers that are not finite, or `reference` is another network.
  public func quantizationReport(
    _ x: some ModelInput, reference: Model? = nil
  ) throws(CNNError) -> QuantizationReport {
    let exact: Model
    if let reference {
      let (layers, isEqualized) = try lock.reading { () throws(CNNError) in
        try requireRoundings()
        return (quantizedLayers, quantization?.record.isEqualized ?? false)
      }
      exact = try reference.lock.reading { () throws(CNNError) in
        guard !reference.hasRoundings else {
          throw CNNError(.invalidArgument, "reference is a model in integers itself; expected one of floats")
        }
        return try reference.model(of: reference.folded(readingPixelsOf: self, layers, isEqualized: isEqualized))
      }
    } else {
      exact = try lock.reading { () throws(CNNError) in
        try requireRoundings()
        return try withoutRoundings()
      }
    }
    return try lock.reading { () throws(CNNError) in
      let x = try served(x)
      guard x.count > 0 else { throw CNNError(.invalidArgument, "x has no images; expected one at least") }
      do throws(CNNError) { try x.requireFinite(lockedInputNames) } catch { throw error.prefixed("x") }
      let noise: QuantizationNoise
      do throws(CNNError) {
        noise = try self.noise(of: x, count: x.count, against: exact)
      } catch {
        let isOfReference = reference != nil && [.invalidArgument, .shapeMismatch].contains(error.code)
        throw isOfReference ? error.prefixed("reference").coded(.invalidArgument) : error
      }
      return try report(noise, reference == nil ? .ownWeights : .given)
    }
  }

  /// Whether activations are rounded to levels.
  var hasRoundings: Bool {
    !network.isRoundedInTraining && network.nodes.contains { $0.operation is FakeQuantize }
  }

  /// The value of this network that is rounded to pixels, and their levels; nil where there is none.
  var pixelRounding: (name: String, levels: PixelLevels)? {
    for node in network.nodes {
      if let levels = (node.operation as? FakeQuantize)?.pixelLevels {
        return (network.name(of: node.operands[0]), levels)
      }
    }
    return nil
  }

  private func requireRoundings() throws(CNNError) {
    guard hasRoundings else { throw CNNError(.invalidState, "'\(name)' is not quantised; make it so first") }
  }

  /// How this model was made; without the noise where weights have changed since. nil where that is not known.
  var knownQuantization: QuantizationRecord? {
    guard var result = quantization else { return nil }
    if result.noiseVersion != parameters.version { result.record.noise = nil }
    return result.record
  }

  /// Says how this model was made, with the weights that it has now.
  func setQuantization(_ record: QuantizationRecord?) { quantization = record.map { ($0, parameters.version) } }

  /// The names of the layers whose weights are rounded.
  var quantizedLayers: Set<String> {
    Set(
      network.nodes.filter { node in
        node.operands.dropFirst().first.flatMap(network.node(defining:)).map(network.isRoundingOfParameter) ?? false
      }.map(\.name))
  }

  /// This model's network with its batch normalisations folded, and its weights equalised or not, reading pixels where
  /// another does.
  private func folded(
    readingPixelsOf other: Model, _ layers: Set<String>, isEqualized: Bool
  ) throws(CNNError) -> FoldedNetwork {
    var result = try FoldedNetwork(networkWithFlags) { name in
      self.parameters.position(of: name).map { self.parameters.values(at: $0) }
    }
    if isEqualized { result.equalize() }
    if let pixels = other.pixelRounding {
      try result.takePixels(
        (pixelNormalization.mean, pixelNormalization.deviation), step: Double(pixels.levels.scale)
      ) { layers.contains($0.name) }
    }
    return result
  }

  private func model(of folded: FoldedNetwork) throws(CNNError) -> Model {
    try model(of: folded.graph, folded.values)
  }

  /// The same weights in a network that rounds nothing.
  private func withoutRoundings() throws(CNNError) -> Model {
    let graph = try network.inferenceForm().rewriting { rewriter, node throws(CNNError) in
      guard node.operation is FakeQuantize else { return false }
      rewriter.map(node.results[0], to: try rewriter.image(of: node.operands[0]))
      return true
    }
    return try model(of: graph, [:])
  }

  /// What the roundings change on `count` of the images. The caller has the model; nobody else has `exact`.
  func noise(of x: Samples, count: Int, against exact: Model) throws(CNNError) -> QuantizationNoise {
    var shared: [String: ParameterTensor] = [:]
    for (parameter, tensor) in zip(parameters.parameters, parameters.tensors) { shared[parameter.name] = tensor }
    for (parameter, tensor) in zip(exact.parameters.parameters, exact.parameters.tensors) {
      shared[RoundingComparison.exactPrefix + parameter.name] = tensor
    }
    // As few as there is work in for all: what is kept for gradients, of both networks, grows with them.
    let atOnce = min(count, Threads.count)
    func comparison(_ images: Samples) throws(CNNError) -> RoundingComparison {
      try RoundingComparison(network, exact: exact.network, inputs: images.types())
    }
    let first = try comparison(x[0..<atOnce]), storage = try ParameterStorage(first.graph.parameters, sharing: shared)
    var context: (images: Int, context: ExecutionContext)?
    var interruption = Interruption()
    for range in x.spread(count, atOnce: atOnce) {
      try interruption.check()
      let images = x[range]
      if context?.images != images.count {
        let plan = try Compiler.comparisonPlan(
          images.count == atOnce ? first : comparison(images), inputs: images.types(),
          normalization: pixelNormalization, threads: Threads.count)
        context = (images.count, try ExecutionContext(plan))
      }
      guard let running = context?.context else { continue }
      try running.run(parameters: storage, inputs: images.bases)
      running.applyUpdates(to: storage)
    }
    func sums(_ parameter: String) -> UnsafeMutableBufferPointer<Float>? {
      storage.position(of: parameter).map { storage.values(at: $0) }
    }
    var result = QuantizationNoise(images: count)
    for (name, parameter) in first.noise {
      guard let sums = sums(parameter), sums[0] > 0, sums[1] > 0 else { continue }
      let decibels = 10 * log10(Double(sums[0]) / Double(sums[1]))
      if decibels.isFinite { result.decibels[name] = decibels }
    }
    let harms = first.harms.compactMapValues { sums($0).map { Double($0[0]) } }
    let total = harms.values.reduce(0, +)
    if total.isFinite, total > 0 { result.shares = harms.mapValues { $0 / total } }
    return result
  }

  /// The rows of a report. The caller has the model.
  private func report(
    _ noise: QuantizationNoise?, _ reference: QuantizationReport.Reference
  ) throws(CNNError) -> QuantizationReport {
    let record = quantization?.record ?? QuantizationRecord(), islands = try network.floatIslands()
    let reasons = Dictionary(islands.map { ($0.layer, $0.reason) }, uniquingKeysWith: { first, _ in first })
    let steps = try outlineForOne().map { step in
      QuantizationReport.Step(
        layers: step.layers, operation: step.operation,
        type: step.cost.element.rawValue, instruction: step.cost.productInstruction,
        scale: step.levels.map { Double($0.scale) }, zeroPoint: step.levels.map { Int($0.zeroPoint) },
        weightScales: step.weight.flatMap { weight in
          guard let least = weight.scales.min(), let most = weight.scales.max() else { return nil }
          return Double(least)...Double(most)
        }, signalToNoise: noise?.decibels[step.result], errorShare: noise.flatMap { $0.share(of: step) },
        reason: step.cost.isOfIntegers
          ? "" : record.reason(step.layers) ?? step.layers.compactMap { reasons[$0] }.first ?? "")
    }
    return QuantizationReport(
      model: name, reference: noise == nil ? nil : reference, imageCount: noise?.images ?? 0, steps: steps,
      islands: islands.map { island in
        FloatIsland(
          layer: island.layer, operation: island.operation, reason: record.reason([island.layer]) ?? island.reason)
      }, skipped: record.skipped, returned: record.returned,
      accuracy: record.accuracy.map { .init(samples: $0.samples, floats: $0.floats, integers: $0.integers) })
  }

  /// The steps of a prediction of one sample of the size that the network was built with: of pixels where it reads them. The
  /// caller has the model.
  func outlineForOne() throws(CNNError) -> [StepOutline] {
    let readsPixels = pixelRounding != nil
    var types: [TensorType] = []
    for input in network.inputs {
      let isPixels = readsPixels && input.name == network.pixelInput?.name
      types.append(
        try TensorType(isPixels ? .uint8 : .float32, [1] + network.type(of: input.value).shape.dropFirst()))
    }
    let plan = try Compiler.inferencePlan(
      networkWithFlags, inputs: types, normalization: pixelNormalization, threads: Threads.count,
      precision: chosenPrecision.prediction)
    return try Compiler.outline(of: plan, network: network)
  }
}

extension QuantizationNoise {
  /// The share of a step's weights and of the rounding that ends it; nil where neither was looked at.
  func share(of step: StepOutline) -> Double? {
    let known = ([step.result] + step.parameters).compactMap { shares[$0] }
    return known.isEmpty ? nil : known.reduce(0, +)
  }
}

extension QuantizationRecord {
  /// Why layers are in floats, where it was asked for or decided.
  fileprivate func reason(_ layers: [String]) -> String? {
    if layers.contains(where: { layer in skipped.contains { Glob.matches(layer, $0) } }) { return "it is skipped" }
    return layers.contains(where: returned.contains) ? "it has returned to floats so that the accuracy holds" : nil
  }
}
