import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

extension Model {
  /// Runs the model on `x` `[N, height, width, channels]`: pixels, uint8 or int32 from 0 to 255, which it normalises, or
  /// float32, which is taken as it stands; of a model with several inputs, on an array for each.
  /// - Parameters:
  ///   - x: the samples.
  ///   - batchSize: how many samples run at once at most; fewer where so many would not stay in the caches.
  ///   - output: the name of an intermediate tensor to give instead of the output.
  /// - Returns: float32 `[N, ...]`.
  /// - Throws: `.shapeMismatch` where `x` does not fit, `.invalidArgument` for integers that are no pixels, `.unknownName`
  ///   for an output, `.outOfMemory`.
  public func predict(_ x: some ModelInput, batchSize: Int = 32, output: String? = nil) throws(CNNError) -> Tensor {
    let result = try Tensor(zeros: outputShape(for: x, output: output))
    try predict(x, batchSize: batchSize, output: output, into: result.floats)
    return result
  }

  /// As `predict(_:batchSize:output:)`, into memory of the caller.
  /// - Throws: as well `.shapeMismatch` where `destination` has not exactly the output's number of elements.
  public func predict(
    _ x: some ModelInput, batchSize: Int = 32, output: String? = nil,
    into destination: UnsafeMutableBufferPointer<Float>
  ) throws(CNNError) {
    let name = output ?? outputNames[0]
    try predict(x, batchSize: batchSize, outputs: [name], into: [destination])
  }

  /// Runs the model on `x` and gives several results: outputs, or intermediate tensors, each of `tensorNames` once.
  /// - Throws: as `predict(_:batchSize:output:)`; `.invalidArgument` for a name that is given twice.
  public func predict(_ x: some ModelInput, batchSize: Int = 32, outputs: [String]) throws(CNNError) -> [Tensor] {
    var results: [Tensor] = []
    for name in outputs { results.append(try Tensor(zeros: outputShape(for: x, output: name))) }
    try predict(x, batchSize: batchSize, outputs: outputs, into: results.map(\.floats))
    return results
  }

  /// As `predict(_:batchSize:outputs:)`, into memory of the caller, one block for each result.
  public func predict(
    _ x: some ModelInput, batchSize: Int = 32, outputs: [String], into destinations: [UnsafeMutableBufferPointer<Float>]
  ) throws(CNNError) {
    guard batchSize >= 1 else {
      throw CNNError(.invalidArgument, "\(option: "batch_size") is \(batchSize); expected 1 or more")
    }
    guard !outputs.isEmpty, outputs.count == destinations.count else {
      throw CNNError(
        .invalidArgument, "\(outputs.count) results are asked for with room for \(destinations.count) of them")
    }
    try lock.reading { () throws(CNNError) in
      let x = try served(x)
      try lockedPredict(x, batchSize: batchSize, outputs: outputs, into: destinations)
      withExtendedLifetime(x) {}
    }
  }

  /// As `predict(_:batchSize:outputs:into:)`, of what `served` gives; by a caller who has the model.
  func lockedPredict(
    _ x: Samples, batchSize: Int, outputs: [String], into destinations: [UnsafeMutableBufferPointer<Float>]
  ) throws(CNNError) {
    let atOnce = min(batchSize, try imagesPerPass(x))
    // Where there is a plan its own check comes soon enough; else before a plan is made, which may take long.
    if try !plans.hasPlan(predictionKey(x[0..<min(atOnce, x.count)], outputs)) {
      try checkRoom(destinations, outputs, x)
    }
    var interruption = Interruption()
    var start = 0
    while start < x.count {
      if start > 0 { try interruption.check() }
      let end = start + min(atOnce, x.count - start)
      let batch = x[start..<end]
      try withPredictionContext(batch, outputs) { (context) throws(CNNError) in
        for (index, destination) in destinations.enumerated() {
          try requireRoom(destination, [x.count, context.output(index).count / (end - start)])
        }
        try context.run(parameters: parameters, inputs: batch.bases)
        for (index, destination) in destinations.enumerated() {
          let values = context.output(index), perSample = values.count / (end - start)
          guard let base = destination.baseAddress, let source = values.baseAddress else { continue }
          (base + start * perSample).update(from: source, count: values.count)
        }
      }
      start = end
    }
  }

  /// Throws unless each result has just the room that it needs.
  private func checkRoom(
    _ destinations: [UnsafeMutableBufferPointer<Float>], _ outputs: [String], _ x: Samples
  ) throws(CNNError) {
    if x.count == 0 { return }
    let graph = try networkForOne(of: x.arrays.map(\.sampleShape)).selectingOutputs(outputs)
    try requireResults(graph, samples: 1)
    for (destination, output) in zip(destinations, graph.outputs) {
      try requireRoom(destination, [x.count] + graph.type(of: output.value).shape.dropFirst())
    }
  }

  private func requireRoom(_ destination: UnsafeMutableBufferPointer<Float>, _ shape: [Int]) throws(CNNError) {
    let expected = try Checked.product(shape, "output")
    guard destination.count == expected else {
      throw CNNError(.shapeMismatch, "there is room for \(destination.count) results; the output has \(expected)")
    }
  }

  /// How many of the samples are computed at once.
  func imagesPerPass(_ x: Samples) throws(CNNError) -> Int {
    let threads = Threads.count
    return x.count <= threads ? threads : try imagesPerPass(x, threads: threads)
  }

  /// How many samples like these are computed at once of as many as there may be.
  func imagesPerPass(_ x: Samples, threads: Int) throws(CNNError) -> Int {
    try plans.imagesPerPass(x.arrays.map(\.sampleShape), threads: threads) { () throws(CNNError) in
      try Compiler.imagesPerPass(networkForOne(of: x.arrays.map(\.sampleShape)), threads: threads)
    }
  }

  /// The network for one of the samples. Inferring all shapes anew takes a millisecond, and they are known for the size
  /// that the network was built with.
  private func networkForOne(of sampleShapes: [[Int]]) throws(CNNError) -> Graph {
    var types: [String: TensorType] = [:]
    for (input, shape) in zip(network.inputs, sampleShapes) {
      types[input.name] = try TensorType(.float32, [1] + shape)
    }
    let isAsBuilt = network.inputs.allSatisfy { network.type(of: $0.value) == types[$0.name] }
    return isAsBuilt ? network : try network.rebound(types)
  }

  private func predictionKey(_ x: Samples, _ outputs: [String]) throws(CNNError) -> PlanCache.Key {
    PlanCache.Key(
      purpose: .prediction(outputs: outputs), inputs: try x.types(), threads: Threads.count,
      precision: chosenPrecision.prediction, maskVersion: parameters.maskVersion)
  }

  func withPredictionContext<Result>(
    _ x: Samples, _ outputs: [String], _ body: (ExecutionContext) throws(CNNError) -> Result
  ) throws(CNNError) -> Result {
    let key = try predictionKey(x, outputs)
    return try plans.withContext(
      key,
      makePlan: { () throws(CNNError) in
        let plan = try Compiler.inferencePlan(
          networkWithFlags, inputs: key.inputs, normalization: pixelNormalization, outputs: outputs,
          threads: key.threads,
          precision: key.precision)
        try requireResults(plan.graph, samples: x.count)
        return plan
      }, body)
  }

  /// The names of the model's outputs: one, or several of a model that only predicts.
  public var outputNames: [String] { lock.reading { network.outputs.map(\.name) } }

  /// The shape of the output (or of an intermediate tensor) for an input of this shape.
  public func outputShape(for x: some ModelInput, output: String? = nil) throws(CNNError) -> [Int] {
    try lock.reading { () throws(CNNError) in try lockedOutputShape(for: samples(x), output: output) }
  }

  /// The shape of the output (or of an intermediate tensor), with nil for the batch and for sizes that vary with the
  /// input's.
  /// - Throws: `.unknownName` with the nearest name, `.invalidArgument` for a parameter.
  public func tensorShape(_ name: String? = nil) throws(CNNError) -> [Int?] {
    try lock.reading { () throws(CNNError) in
      let graph = try name.map { (name) throws(CNNError) in try network.selectingOutputs([name]) } ?? network
      try requireResults(graph, samples: 1)
      return [nil] + graph.shape(of: graph.outputs[0].value).dropFirst()
    }
  }

  /// Throws unless every output is computed, or the input, and has a row for each of `samples`.
  private func requireResults(_ graph: Graph, samples: Int) throws(CNNError) {
    for output in graph.outputs {
      if graph.parameter(defining: output.value) != nil {
        throw CNNError(.invalidArgument, "'\(output.name)' is a parameter, not a result")
      }
      let shape = graph.type(of: output.value).shape
      guard shape.first == samples else {
        throw CNNError(
          .shapeMismatch,
          "'\(output.name)' has shape \(describe(shape)): it does not have one row for each sample, so it is no result")
      }
    }
  }

  /// As `outputShape`, by a caller who has the model.
  func lockedOutputShape(for x: Samples, output: String? = nil) throws(CNNError) -> [Int] {
    [x.count] + (try lockedResultShape(of: output, forSamples: x.arrays.map(\.sampleShape)))
  }

  /// The shape of the output (or of an intermediate tensor) for one sample; by a caller who has the model.
  func lockedResultShape(of output: String?, forSamples sampleShapes: [[Int]]) throws(CNNError) -> [Int] {
    try plans.resultShape(sampleShapes, output) { () throws(CNNError) in
      let bound = try networkForOne(of: sampleShapes)
      let graph = try output.map { (name) throws(CNNError) in try bound.selectingOutputs([name]) } ?? bound
      try requireResults(graph, samples: 1)
      return Array(graph.type(of: graph.outputs[0].value).shape.dropFirst())
    }
  }
}
