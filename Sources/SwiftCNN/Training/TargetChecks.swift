import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Model {
  /// Checks targets and sample weights against the network's output, values included.
  /// - Throws: `.shapeMismatch`, or `.invalidArgument` naming the first label out of range or the first NaN.
  func checkTargets(_ x: Samples, _ y: TensorView, _ sampleWeight: TensorView?, _ loss: any TrainingLoss)
    throws(CNNError)
  {
    let workers = Workers(count: Threads.count)
    _ = try y.validated("y")
    let shape = network.shape(of: network.outputs[0].value).dropFirst()
    let known = shape.compactMap { $0 }
    let prediction = try TensorType(
      .float32, known.count == shape.count ? [x.count] + known : lockedOutputShape(for: x))
    let target = try loss.targetType(for: prediction)
    // A column of labels [N, 1] is what many data sets hold.
    let isColumn = y.shape == target.shape + [1] && target.element == .int32
    // And a list [N] of yes and no is one of predictions [N, 1].
    let isList = y.shape + [1] == target.shape
    guard y.shape == target.shape || isColumn || isList else {
      throw CNNError(.shapeMismatch, "y has shape \(describe(y.shape)); expected \(describe(target.shape))")
    }
    guard y.element == target.element else {
      throw CNNError(
        .shapeMismatch,
        "y has element type \(y.element.rawValue); \(loss.title) expects \(target.element.rawValue)")
    }
    switch y.element {
    case .int32:
      let labels = y.base.assumingMemoryBound(to: Int32.self)
      let classes = prediction.shape.last ?? 0
      if let index = InputChecks.firstInvalidLabel(labels, count: target.count, classes: classes, workers: workers) {
        throw CNNError(.invalidArgument, "y[\(index)] is \(labels[index]); expected a class from 0 to \(classes - 1)")
      }
    default:
      try Self.checkFinite(y, count: target.count, "y", workers)
    }
    guard let sampleWeight else { return }
    guard sampleWeight.element == .float32, sampleWeight.shape == [x.count] else {
      throw CNNError(
        .shapeMismatch,
        "\(option: "sample_weight") is \(sampleWeight.element.rawValue)\(describe(sampleWeight.shape)); expected "
          + "float32[\(x.count)]")
    }
    try Self.checkFinite(sampleWeight, count: x.count, "\(option: "sample_weight")", workers)
  }

  private static func checkFinite(_ tensor: TensorView, count: Int, _ role: String, _ workers: Workers)
    throws(CNNError)
  {
    let values = tensor.base.assumingMemoryBound(to: Float.self)
    if let index = InputChecks.firstNotFinite(values, count: count, workers: workers) {
      throw CNNError(.invalidArgument, "\(role) element \(index) is \(values[index]); expected a finite number")
    }
  }
}
