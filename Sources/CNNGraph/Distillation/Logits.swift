import CNNCore

/// The numbers of a network's prediction that a softmax or a sigmoid makes probabilities of.
public struct Logits: Sendable, Equatable {
  /// The numbers.
  public let value: Value
  /// Whether each is a yes or no by itself, or they are classes, over the last axis; nil where nothing tells.
  public let isBinary: Bool?
}

extension Graph {
  /// What the softmax or the sigmoid reads that a prediction comes from, through dropout and rounding at most; where there is
  /// none, the prediction itself, which is then taken as logits.
  public func logits(of prediction: Value) -> Logits {
    var value = prediction
    while let node = node(defining: value), let operand = node.operands.first {
      switch node.operation {
      case is Softmax, is LogSoftmax: return Logits(value: operand, isBinary: false)
      case let activation as Activation where activation.function == .sigmoid:
        return Logits(value: operand, isBinary: true)
      case is Dropout, is FakeQuantize, is FakeQuantizeActivation, is FakeQuantizeActivationTraining: value = operand
      default: return Logits(value: prediction, isBinary: nil)
      }
    }
    return Logits(value: prediction, isBinary: nil)
  }
}
