import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// Runs the model on `x` `[N, height, width, channels]`, float32 or uint8 pixels.
  /// - Parameters:
  ///   - batchSize: how many samples run at once.
  ///   - output: the name of an intermediate tensor to give instead of the output.
  /// - Returns: float32 `[N, ...]`.
  /// - Throws: `.shapeMismatch` where `x` does not fit, `.unknownName` for an output, `.outOfMemory`.
  public func predict(_ x: TensorView, batchSize: Int = 32, output: String? = nil) throws(CNNError) -> Tensor {
    let result = try Tensor(zeros: outputShape(for: x, output: output))
    try predict(x, batchSize: batchSize, output: output, into: result.floats)
    return result
  }

  /// As `predict(_:batchSize:output:)`, into memory of the caller.
  /// - Throws: as well `.shapeMismatch` where `destination` has not exactly the output's number of elements.
  public func predict(
    _ x: TensorView, batchSize: Int = 32, output: String? = nil, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(CNNError) {
    guard batchSize >= 1 else { throw CNNError(.invalidArgument, "batch_size is \(batchSize); expected 1 or more") }
    try lock.reading { () throws(CNNError) in
      try checkInput(x)
      var start = 0
      while start < x.sampleCount {
        let end = start + min(batchSize, x.sampleCount - start)
        let batch = x.samples(start..<end)
        try withPredictionContext(batch, output) { (context) throws(CNNError) in
          let perSample = context.output(0).count / (end - start)
          let expected = try Checked.product([perSample, x.sampleCount], "output")
          guard destination.count == expected else {
            throw CNNError(
              .shapeMismatch, "there is room for \(destination.count) results; the output has \(expected)")
          }
          try context.run(parameters: parameters, inputs: [batch.base])
          guard let base = destination.baseAddress, let source = context.output(0).baseAddress else { return }
          (base + start * perSample).update(from: source, count: perSample * (end - start))
        }
        start = end
      }
    }
  }

  private func withPredictionContext(
    _ x: TensorView, _ output: String?, _ body: (ExecutionContext) throws(CNNError) -> Void
  ) throws(CNNError) {
    let type = try x.validated("x")
    let key = PlanCache.Key(purpose: .prediction(output: output), input: type, threads: Threads.count)
    try plans.withContext(
      key,
      makePlan: { () throws(CNNError) in
        let graph = try Compiler.inferenceGraph(
          network, input: type, normalization: pixelNormalization, outputs: output.map { [$0] } ?? [])
        try requireResult(graph)
        return try Plan(graph, threads: key.threads)
      }, body)
  }

  /// The shape of the output (or of an intermediate tensor) for an input of this shape.
  public func outputShape(for x: TensorView, output: String? = nil) throws(CNNError) -> [Int] {
    try lock.reading { () throws(CNNError) in try lockedOutputShape(for: x, output: output) }
  }

  /// The shape of the output (or of an intermediate tensor), with nil for the batch and for sizes that vary with the
  /// input's.
  /// - Throws: `.unknownName` with the nearest name, `.invalidArgument` for a parameter.
  public func tensorShape(_ name: String? = nil) throws(CNNError) -> [Int?] {
    try lock.reading { () throws(CNNError) in
      let graph = try name.map { (name) throws(CNNError) in try network.selectingOutputs([name]) } ?? network
      try requireResult(graph)
      return [nil] + graph.shape(of: graph.outputs[0].value).dropFirst()
    }
  }

  /// Throws unless the output is computed, or the input.
  private func requireResult(_ graph: Graph) throws(CNNError) {
    guard let output = graph.outputs.first, graph.parameter(defining: output.value) != nil else { return }
    throw CNNError(.invalidArgument, "'\(output.name)' is a parameter, not a result")
  }

  /// As `outputShape`, by a caller who has the model.
  func lockedOutputShape(for x: TensorView, output: String? = nil) throws(CNNError) -> [Int] {
    try checkInput(x)
    let bound = try network.rebound([network.inputs[0].name: TensorType(.float32, [1] + x.sampleShape)])
    let graph = try output.map { (name) throws(CNNError) in try bound.selectingOutputs([name]) } ?? bound
    try requireResult(graph)
    return [x.sampleCount] + graph.type(of: graph.outputs[0].value).shape.dropFirst()
  }

  /// Checks an input against the network's.
  func checkInput(_ x: TensorView) throws(CNNError) {
    let expected = lockedInputShape
    func fits(_ shape: [Int]) -> Bool {
      shape.count == expected.count && zip(shape, expected).allSatisfy { $1 == nil || $0 == $1 }
    }
    guard !x.shape.isEmpty, fits(x.sampleShape) else {
      let hint = fits(x.shape) ? "; add the batch axis" : ""
      let wanted = expected.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
      throw CNNError(.shapeMismatch, "x has shape \(describe(x.shape)); expected [N, \(wanted)]\(hint)")
    }
    _ = try x.validated("x")
    guard x.element != .int32 else {
      throw CNNError(.shapeMismatch, "x has element type int32; expected float32, or uint8 pixels")
    }
  }
}
