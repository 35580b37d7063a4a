import CNNCompiler
import CNNCore
import CNNGraph

/// Which residual branches of a model can leave at least harm: what the scores of some images change by without one, for what
/// it takes.
struct BranchHarm {
  private let model: Model
  private let images: [Samples]
  private let inBytes: Bool

  private static let imageCount = 64

  /// - Parameter inBytes: whether what it takes is bytes; else it is time, as placement foretells it.
  init(_ model: Model, _ images: Samples, inBytes: Bool) {
    (self.model, self.inBytes) = (model, inBytes)
    let wanted = min(Self.imageCount, images.count)
    self.images = wanted > 0 ? images.spread(wanted, atOnce: min(16, wanted)).map { images[$0] } : []
  }

  /// The additions that branches end in, the least harm first.
  func order() throws(CNNError) -> [String] {
    let network = model.graph, branches = try network.residualBranches()
    if branches.isEmpty { return [] }
    let scores = try scores(model), amount = try amount(network)
    var harms: [(addition: String, harm: Double)] = []
    for branch in branches {
      let without = try model.withoutBranches([branch.addition])
      let change = zip(scores, try self.scores(without)).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
      let gain = max(amount - (try self.amount(without.graph)), 1)
      harms.append((branch.addition, change.isFinite ? change / gain : .infinity))
    }
    return harms.sorted { $0.harm < $1.harm }.map(\.addition)
  }

  private func scores(_ model: Model) throws(CNNError) -> [Float] {
    var scores: [Float] = []
    for batch in images {
      let result = try model.predict(batch)
      withExtendedLifetime(result) { scores += result.floats }
    }
    return scores
  }

  private func amount(_ network: Graph) throws(CNNError) -> Double {
    if inBytes {
      return network.parameters.reduce(0) { $0 + Double($1.shape.reduce(1, *)) }
    }
    return try Compiler.predictedCycles(
      of: network, inputs: network.typesOfOneImage(), normalization: model.pixelNormalization, threads: Threads.count,
      precision: model.chosenPrecision.prediction
    ).reduce(0) { $0 + $1.cycles }
  }
}

extension Model {
  /// This model without the residual branches that end in these additions; this one stays as it is.
  func withoutBranches(_ additions: Set<String>) throws(CNNError) -> Model {
    try lock.reading { () throws(CNNError) in try model(of: networkWithFlags.removingBranches(additions), [:]) }
  }
}
