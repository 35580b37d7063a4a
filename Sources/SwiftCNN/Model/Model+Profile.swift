import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// What one step of a prediction does, and how long it takes.
  public struct StepProfile: Sendable {
    /// The layers that the step computes.
    public let name: String
    /// How it is computed, and how much there is to do.
    public let cost: StepCost
    /// The median time in seconds.
    public let seconds: Double
  }

  /// Times the steps of a prediction of `x`, which is one batch.
  /// - Parameter repeats: how often; the times are medians.
  /// - Throws: as `predict`; `.invalidArgument` for fewer repeats than 1.
  public func profile(_ x: TensorView, repeats: Int = 10) throws(CNNError) -> [StepProfile] {
    guard repeats >= 1 else { throw CNNError(.invalidArgument, "repeats is \(repeats); expected 1 or more") }
    return try lock.reading { () throws(CNNError) in
      try checkInput(x)
      return try withPredictionContext(x, network.outputs.map(\.name)) { (context) throws(CNNError) in
        var times: [[Int]] = []
        for _ in 0..<repeats { times.append(try context.measure(parameters: parameters, inputs: [x.base])) }
        return context.plan.stepCosts.enumerated().map { index, step in
          let sorted = times.map { $0[index] }.sorted()
          return StepProfile(name: step.name, cost: step.cost, seconds: Double(sorted[sorted.count / 2]) * 1e-9)
        }
      }
    }
  }
}
