import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels

extension Model {
  /// Times the steps of a prediction of `x`, and measures once what the machine can do at most. Of a batch that is too
  /// large to be computed at once, the images that are computed first.
  /// - Parameter repeats: how often; the times are medians.
  /// - Throws: as `predict`; `.invalidArgument` for fewer repeats than 1 or more than 1,000,000.
  public func profile(_ x: TensorView, repeats: Int = 10) throws(CNNError) -> Profile {
    guard (1...1_000_000).contains(repeats) else {
      throw CNNError(.invalidArgument, "repeats is \(repeats); expected 1 to 1000000")
    }
    return try lock.reading { () throws(CNNError) in
      try checkInput(x)
      guard x.sampleCount > 0 else { throw CNNError(.shapeMismatch, "x has no images; expected one or more") }
      let x = x.samples(0..<min(x.sampleCount, try imagesPerPass(x)))
      let outputs = network.outputs.map(\.name), threads = Threads.count
      let limits = try MachineLimits.measured(threads: threads)
      return try withPredictionContext(x, outputs) { (context) throws(CNNError) in
        let layers = try Compiler.layers(of: context.plan, network: network, outputs: outputs)
        var times: [[Int]] = []
        var fastest: [ExecutionContext.StepTime] = [], shortest = Int.max
        try context.measure(parameters: parameters, inputs: [x.base], repeats: repeats) { run in
          times.append(run.map { $0.end - $0.start })
          let total = (run.last?.end ?? 0) - (run.first?.start ?? 0)
          if total < shortest { (shortest, fastest) = (total, run) }
        }
        var steps: [Profile.Step] = []
        for (index, step) in context.plan.stepCosts.enumerated() {
          let sorted = times.map { $0[index] }.sorted()
          steps.append(
            Profile.Step(
              layers: layers[index], algorithm: step.cost.algorithm, shape: step.cost.shape,
              seconds: Double(max(sorted[sorted.count / 2], 1)) * 1e-9, operations: step.cost.operations,
              byteCount: step.cost.byteCount,
              shortestSeconds: limits.seconds(operations: step.cost.operations, byteCount: step.cost.byteCount)))
        }
        return Profile(
          model: name, imageCount: x.sampleCount, threadCount: threads, repeats: repeats,
          operationsPerSecond: limits.operationsPerSecond, bytesPerSecond: limits.bytesPerSecond, steps: steps,
          fastest: fastest)
      }
    }
  }
}
