import CNNCore

/// All operations by name, for files and the C ABI.
public enum OperationTable {
  /// Every operation, with its gradients.
  public static let all: [any Operation.Type] = [
    Convolution2D.self, Convolution2DInputGradient.self, Convolution2DWeightGradient.self,
    ConvolutionTranspose2D.self,
    BatchNormalization.self, BatchNormalizationGradient.self,
    BatchNormalizationTraining.self, BatchNormalizationTrainingGradient.self,
    Activation.self, ActivationGradient.self, ParametricRelu.self, ParametricReluInputGradient.self,
    Softmax.self, SoftmaxGradient.self, LogSoftmax.self, LogSoftmaxGradient.self, Rescaling.self,
    FakeQuantize.self, FakeQuantizeGradient.self, FakeQuantizeWeight.self,
    FakeQuantizeActivation.self, FakeQuantizeActivationTraining.self, FakeQuantizeActivationGradient.self,
    Add.self, Multiply.self, Maximum.self, Minimum.self, Comparison.self, Select.self, SpatialSum.self,
    SumLeadingAxes.self, Fill.self,
    Pooling2D.self, Pooling2DGradient.self, GlobalPooling2D.self, GlobalPooling2DGradient.self,
    Reshape.self, Concatenate.self, Slice.self, Gather.self, GatherGradient.self, Reduction.self,
    ArgMax.self, Resize.self, ResizeGradient.self,
    ZeroPadding2D.self, Crop2D.self, Permute.self,
    Dense.self, DenseInputGradient.self, DenseWeightGradient.self,
    Dropout.self, StochasticDepth.self, RandomFlip.self, RandomCrop.self, RandomCropGradient.self,
    Loss.self, LossGradient.self, WeightedMean.self, WeightedMeanGradient.self,
    Regularization.self, RegularizationGradient.self, NormalizePixels.self,
  ]

  private static let byName: [String: any Operation.Type] = Dictionary(
    all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

  /// Rebuilds an operation from its name and constants.
  /// - Throws: `.unknownName` with the nearest name, `.invalidArgument` for a constant that is missing, wrong or unknown.
  public static func make(_ name: String, _ attributes: Attributes) throws(CNNError) -> any Operation {
    guard let type = byName[name] else { throw unknownName("operation", name, among: Array(byName.keys)) }
    var attributes = attributes
    do throws(CNNError) {
      let operation = try type.init(&attributes)
      try attributes.finish()
      return operation
    } catch {
      throw error.prefixed(name)
    }
  }
}
