import CNNCore
import CNNGraph

/// How a network is rounded while it is trained for integers.
public struct TrainedRounding: Sendable {
  /// Whether the scales of activations are learned (Esser et al. 2020), or follow the ranges of batches.
  public var learnsScales = false
  /// The share of a batch in a range that is tracked.
  public var momentum = 0.01
  /// The share of a training run after which ranges and statistics stand.
  public var freeze = 0.75
  /// Whether each output channel of a weight has a scale of its own.
  public var perChannel = true

  /// The usual rounding.
  public init() {}
}

extension Graph {
  /// The network with roundings whose scales are parameters, to be trained: as `rounding(_:pixels:weights:)` else.
  /// - Parameters:
  ///   - values: the names of the values that are rounded.
  ///   - pixels: by the name of a value that is pixels less one of each channel, their levels, which stand.
  ///   - weights: the layers whose weights are, each with the batch normalisation that becomes part of it, by name; nil for
  ///     none.
  /// - Returns: as well, by the name of a value, those of the parameters with its scale and its zero point.
  public func roundingInTraining(
    _ values: [String], pixels: [String: PixelLevels] = [:], weights: [String: String?], _ options: TrainedRounding
  ) throws(CNNError) -> (graph: Graph, parameters: [String: (scale: String, zeroPoint: String)]) {
    var names = self, parameters: [String: (scale: String, zeroPoint: String)] = [:]
    for value in values where pixels[value] == nil {
      // Two for a value, whose names nothing has yet.
      parameters[value] = (names.uniqueName("\(value).scale"), names.uniqueName("\(value).zero_point"))
    }
    let operation = FakeQuantizeActivation(
      momentum: options.learnsScales ? 0 : options.momentum, freeze: options.freeze)
    let scaleRole: Parameter.Role = options.learnsScales ? .quantizationScale : .statistic
    let graph = try rounding { value in
      if let levels = pixels[value] { return (FakeQuantize(levels), []) }
      return parameters[value].map { names in
        let scale = Parameter(name: names.scale, shape: [1], role: scaleRole, initializer: .zeros)
        let zero = Parameter(name: names.zeroPoint, shape: [1], role: .statistic, initializer: .zeros)
        return (operation, [scale, zero])
      }
    } weight: { layer in
      weights[layer].map { normalization in
        guard !options.perChannel, let name = normalization,
          let node = value(named: name).flatMap(node(defining:)), let layer = node.operation as? BatchNormalization
        else { return (FakeQuantizeWeight(perChannel: options.perChannel), []) }
        let statistics = [node.operands[1], node.operands[4]].compactMap { parameter(defining: $0) }
        return (FakeQuantizeWeight(perChannel: false, epsilon: layer.epsilon), statistics)
      }
    }
    return (graph, parameters)
  }

  /// Whether it rounds with scales that are parameters.
  public var isRoundedInTraining: Bool {
    nodes.contains { $0.operation is FakeQuantizeActivation || $0.operation is FakeQuantizeWeight }
  }

  /// The network that was rounded in training, without that.
  public func withoutTrainedRoundings() throws(CNNError) -> Graph {
    try rewriting { rewriter, node throws(CNNError) in
      guard
        node.operation is FakeQuantizeActivation || node.operation is FakeQuantizeWeight
          || (node.operation as? FakeQuantize)?.pixelLevels != nil
      else { return false }
      rewriter.map(node.results[0], to: try rewriter.image(of: node.operands[0]))
      return true
    }.removingDeadParameters()
  }
}
