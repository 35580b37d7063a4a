import CNNCore
import CNNGraph
import CNNKernels

extension Loss: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    let (rows, classes, smoothing) = (shape.rows, shape.columns, Float(labelSmoothing))
    let kind = predictionKind
    switch function {
    case .categoricalCrossEntropy:
      return LoweredOperation(kernel: {
        CategoricalCrossEntropy.forward(
          prediction: $0.operand(0), kind: kind, targets: $0.operand(1), labelSmoothing: smoothing,
          perSample: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .sparseCategoricalCrossEntropy:
      return LoweredOperation(kernel: {
        SparseCategoricalCrossEntropy.forward(
          prediction: $0.operand(0), kind: kind, labels: $0.integers(1), labelSmoothing: smoothing,
          perSample: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .binaryCrossEntropy:
      return LoweredOperation(kernel: {
        BinaryCrossEntropy.forward(
          prediction: $0.operand(0), kind: kind, targets: $0.operand(1), labelSmoothing: smoothing,
          perSample: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .binaryFocalCrossEntropy, .categoricalFocalCrossEntropy:
      let focal = focal
      return LoweredOperation(kernel: {
        focal.forward(
          prediction: $0.operand(0), kind: kind, targets: $0.operand(1), labelSmoothing: smoothing,
          perSample: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .meanSquaredError, .meanAbsoluteError, .huber, .logCosh:
      let difference = try difference()
      return LoweredOperation(kernel: {
        difference.forward(
          prediction: $0.operand(0), targets: $0.operand(1), perSample: $0.result(), rows: rows, classes: classes,
          workers: $0.workers)
      })
    case .kullbackLeiblerDivergence:
      return LoweredOperation(kernel: {
        KullbackLeiblerDivergence.forward(
          prediction: $0.operand(0), targets: $0.operand(1), perSample: $0.result(), rows: rows, classes: classes,
          workers: $0.workers)
      })
    }
  }

  /// The kernels' name for what the network gives.
  fileprivate var predictionKind: Losses.Prediction { fromLogits ? .logits : .probabilities }

  /// The kernels' form of a focal loss.
  fileprivate var focal: FocalCrossEntropy {
    FocalCrossEntropy(
      gamma: focus.gamma, alpha: focus.alpha, balancesClasses: focus.balancesClasses, isBinary: function.isBinary)
  }

  /// The kernels' form of a loss of differences.
  fileprivate func difference() throws(CNNError) -> DifferenceLoss {
    switch function {
    case .meanSquaredError: return .squared
    case .meanAbsoluteError: return .absolute
    case .huber: return .huber(delta: delta)
    case .logCosh: return .logCosh
    default: throw CNNError(.internalFault, "\(function.rawValue) is not a loss of differences")
    }
  }
}

extension LossGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    let (rows, classes, smoothing) = (shape.rows, shape.columns, Float(loss.labelSmoothing))
    let kind = loss.predictionKind
    switch loss.function {
    case .categoricalCrossEntropy:
      return LoweredOperation(kernel: {
        CategoricalCrossEntropy.backward(
          prediction: $0.operand(0), kind: kind, targets: $0.operand(1), labelSmoothing: smoothing,
          coefficient: $0.operand(2), dPrediction: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .sparseCategoricalCrossEntropy:
      return LoweredOperation(kernel: {
        SparseCategoricalCrossEntropy.backward(
          prediction: $0.operand(0), kind: kind, labels: $0.integers(1), labelSmoothing: smoothing,
          coefficient: $0.operand(2), dPrediction: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .binaryCrossEntropy:
      return LoweredOperation(kernel: {
        BinaryCrossEntropy.backward(
          prediction: $0.operand(0), kind: kind, targets: $0.operand(1), labelSmoothing: smoothing,
          coefficient: $0.operand(2), dPrediction: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .binaryFocalCrossEntropy, .categoricalFocalCrossEntropy:
      let focal = loss.focal
      return LoweredOperation(kernel: {
        focal.backward(
          prediction: $0.operand(0), kind: kind, targets: $0.operand(1), labelSmoothing: smoothing,
          coefficient: $0.operand(2), dPrediction: $0.result(), rows: rows, classes: classes, workers: $0.workers)
      })
    case .meanSquaredError, .meanAbsoluteError, .huber, .logCosh:
      let difference = try loss.difference()
      return LoweredOperation(kernel: {
        difference.backward(
          prediction: $0.operand(0), targets: $0.operand(1), coefficient: $0.operand(2), dPrediction: $0.result(),
          rows: rows, classes: classes, workers: $0.workers)
      })
    case .kullbackLeiblerDivergence:
      return LoweredOperation(kernel: {
        KullbackLeiblerDivergence.backward(
          prediction: $0.operand(0), targets: $0.operand(1), coefficient: $0.operand(2), dPrediction: $0.result(),
          rows: rows, classes: classes, workers: $0.workers)
      })
    }
  }
}

extension Regularization: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (regularizer, count) = (regularizer, types.operands[0].count)
    return LoweredOperation(kernel: {
      $0.result()[0] = Float(
        RegularizationKernels.penalty(
          $0.operand(0), l1: regularizer.l1, l2: regularizer.l2, count: count, workers: $0.workers))
    })
  }
}

extension RegularizationGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let regularizer = regularization.regularizer, count = types.operands[0].count
    return LoweredOperation(kernel: {
      RegularizationKernels.gradient(
        $0.operand(0), l1: Float(regularizer.l1), l2: Float(regularizer.l2), factor: $0.operand(1)[0],
        into: $0.result(), count: count, workers: $0.workers)
    })
  }
}

extension WeightedMean: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (samples, count) = (types.operands[1].count, types.operands[0].count)
    let perSample = count / samples
    return LoweredOperation(
      workspaceByteCount: samples * 4,
      kernel: { arguments in
        var losses = arguments.operand(0)
        if perSample > 1 {
          // The mean over a sample's own predictions first (a prediction for every pixel, say).
          let means = arguments.workspace.assumingMemoryBound(to: Float.self)
          for sample in 0..<samples {
            means[sample] = Float(
              Losses.weightedMean(
                perSample: losses + sample * perSample, weight: nil, count: perSample, workers: arguments.workers))
          }
          losses = UnsafePointer(means)
        }
        arguments.result()[0] = Float(
          Losses.weightedMean(
            perSample: losses, weight: arguments.operand(1), count: samples, workers: arguments.workers))
      })
  }
}

extension WeightedMeanGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (samples, count) = (types.operands[1].count, types.results[0].count)
    let perSample = count / samples
    return LoweredOperation(kernel: { arguments in
      let share = arguments.operand(0)[0] / Float(count)
      for sample in 0..<samples {
        (arguments.result() + sample * perSample).update(
          repeating: share * arguments.operand(1)[sample], count: perSample)
      }
    })
  }
}
