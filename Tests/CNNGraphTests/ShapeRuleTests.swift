import CNNCore
import Testing

@testable import CNNGraph

/// An operation, its operands, and what its shape rule should say.
struct ShapeCase: Sendable, CustomTestStringConvertible {
  let operation: any Operation
  let operands: [[Int]]
  var element = ElementType.float32
  var results: [[Int]] = []
  var code = CNNError.Code.shapeMismatch
  /// A part of the message where there should be an error.
  var message: String?

  var testDescription: String { "\(type(of: operation).name) \(operands)" }

  func types() throws -> [TensorType] { try operands.map { try TensorType(element, $0) } }
}

@Suite struct ShapeRuleTests {
  static let image = [2, 8, 6, 3]

  /// Of factors that are in range.
  private static let penalty: Regularizer = {
    do { return try Regularizer(l1: 0.5, l2: 0.25) } catch { preconditionFailure("\(error)") }
  }()

  static let accepted: [ShapeCase] = [
    .init(operation: Regularization(penalty), operands: [[3, 4]], results: [[]]),
    .init(operation: RegularizationGradient(Regularization(penalty)), operands: [[3, 4], []], results: [[3, 4]]),
    .init(operation: Loss(.huber, delta: 0.5), operands: [[2, 5], [2, 5]], results: [[2]]),
    .init(operation: Convolution2D(), operands: [image, [4, 3, 3, 3]], results: [[2, 6, 4, 4]]),
    .init(operation: Convolution2D(), operands: [image, [4, 3, 3, 3], [4]], results: [[2, 6, 4, 4]]),
    .init(operation: Convolution2D(padding: .same), operands: [image, [4, 3, 5, 5]], results: [[2, 8, 6, 4]]),
    .init(
      operation: Convolution2D(stride: [2, 2], padding: .same), operands: [[1, 9, 7, 3], [4, 3, 5, 5]],
      results: [[1, 5, 4, 4]]),
    .init(operation: Convolution2D(groups: 3), operands: [image, [6, 1, 3, 3]], results: [[2, 6, 4, 6]]),
    .init(
      operation: Convolution2D(dilation: [3, 2]), operands: [image, [4, 3, 3, 3]], results: [[2, 2, 2, 4]]),
    .init(
      operation: Convolution2D(padding: .explicit(top: 1, left: 2, bottom: 3, right: 4)),
      operands: [image, [4, 3, 3, 3]], results: [[2, 10, 10, 4]]),
    .init(operation: BatchNormalization(), operands: [image, [3], [3], [3], [3]], results: [image]),
    .init(operation: BatchNormalization(), operands: [[5, 4], [4], [4], [4], [4]], results: [[5, 4]]),
    .init(
      operation: BatchNormalizationTraining(BatchNormalization()), operands: [image, [3], [3], [3], [3]],
      results: [image, [3], [3], [3], [3]]),
    .init(operation: Activation(.gelu), operands: [[7]], results: [[7]]),
    .init(operation: Softmax(), operands: [[2, 5]], results: [[2, 5]]),
    .init(operation: Add(), operands: [image, [3]], results: [image]),
    .init(operation: Add(), operands: [[6, 1], image], results: [image]),
    .init(operation: Multiply(), operands: [[2, 1, 6, 3], [2, 8, 1, 1]], results: [image]),
    .init(operation: Gather(axis: -1, indices: [2, 2, 0, 1]), operands: [image], results: [[2, 8, 6, 4]]),
    .init(operation: Maximum(), operands: [image, [3]], results: [image]),
    .init(operation: Minimum(), operands: [[2, 1, 6, 1], [8, 1, 3]], results: [image]),
    .init(operation: Comparison(.equal), operands: [image, []], results: [image]),
    .init(operation: Select(), operands: [[8, 1, 1], image, []], results: [image]),
    .init(operation: ArgMax(axis: -1), operands: [image], results: [[2, 8, 6]]),
    .init(operation: ArgMax(axis: 1, keepsAxis: true), operands: [image], results: [[2, 1, 6, 3]]),
    .init(operation: Resize(axis: 1, to: .scale(1.5)), operands: [image], results: [[2, 12, 6, 3]]),
    .init(operation: Resize(axis: 2, to: .size(5)), operands: [image], results: [[2, 8, 5, 3]]),
    .init(
      operation: ResizeGradient(Resize(axis: 1, to: .size(5)), length: 8), operands: [[2, 5, 6, 3]], results: [image]),
    .init(
      operation: ConvolutionTranspose2D(Convolution2D(stride: [2, 2]), outputPadding: [1, 0]),
      operands: [image, [3, 5, 3, 3]], results: [[2, 18, 13, 5]]),
    .init(
      operation: GatherGradient(Gather(axis: 1, indices: [0, 1]), length: 8), operands: [[2, 2, 6, 3]],
      results: [image]),
    .init(operation: Reduction(.mean, axes: [1, 2], keepsAxes: false), operands: [image], results: [[2, 3]]),
    .init(operation: Reduction(.sum, axes: [-1], keepsAxes: true), operands: [image], results: [[2, 8, 6, 1]]),
    .init(operation: LogSoftmax(), operands: [[2, 5]], results: [[2, 5]]),
    .init(operation: LogSoftmaxGradient(), operands: [[2, 5], [2, 5]], results: [[2, 5]]),
    .init(
      operation: Activation(.leakyRelu, ["alpha": 0.5, "threshold": -1, "maximum": 3]), operands: [image],
      results: [image]),
    .init(operation: Activation(.clip, ["maximum": 3]), operands: [[]], results: [[]]),
    .init(operation: ParametricReluInputGradient(), operands: [image, [3], image], results: [image]),
    .init(
      operation: RandomCropGradient(RandomCrop(height: 2, width: 3, stream: 4), inputShape: image),
      operands: [[2, 2, 3, 3]], results: [image]),
    .init(operation: ParametricRelu(), operands: [image, [3]], results: [image]),
    .init(operation: ParametricRelu(), operands: [image, [8, 6, 3]], results: [image]),
    .init(operation: SumLeadingAxes(keeping: 2), operands: [image], results: [[6, 3]]),
    .init(operation: Rescaling(scale: [2]), operands: [[]], results: [[]]),
    .init(operation: Rescaling(scale: [1, 2, 3], offset: [4, 5, 6]), operands: [image], results: [image]),
    .init(operation: FakeQuantize(scale: [0.1], minimum: -128, maximum: 127), operands: [[]], results: [[]]),
    .init(
      operation: FakeQuantize(scale: [1, 2, 3], zeroPoint: [4, 5, 6], minimum: 0, maximum: 255), operands: [image],
      results: [image]),
    .init(
      operation: FakeQuantize(scale: [1, 2], axis: 0, minimum: -127, maximum: 127), operands: [image],
      results: [image]),
    .init(
      operation: FakeQuantizeGradient(FakeQuantize(scale: [1], minimum: 0, maximum: 255)), operands: [image, image],
      results: [image]),
    .init(
      operation: FakeQuantizeActivation(momentum: 0.1, freeze: 0.5), operands: [image, [1], [1]], results: [image]),
    .init(
      operation: FakeQuantizeActivationTraining(FakeQuantizeActivation(momentum: 0.1, freeze: 0.5)),
      operands: [image, [1], [1]], results: [image, [1], [1]]),
    .init(
      operation: FakeQuantizeActivationGradient(learnsScale: false), operands: [image, image, [1], [1]],
      results: [image]),
    .init(
      operation: FakeQuantizeActivationGradient(learnsScale: true), operands: [image, image, [1], [1]],
      results: [image, [1]]),
    .init(operation: FakeQuantizeWeight(), operands: [[4, 3, 2, 1]], results: [[4, 3, 2, 1]]),
    .init(
      operation: FakeQuantizeWeight(perChannel: false, epsilon: 0.1), operands: [[4, 3], [4], [4]], results: [[4, 3]]),
    .init(operation: RandomFlip(stream: 1), operands: [image], results: [image]),
    .init(operation: RandomCrop(height: 8, width: 2, stream: 1), operands: [image], results: [[2, 8, 2, 3]]),
    .init(operation: Add(), operands: [image, image], results: [image]),
    .init(operation: Add(), operands: [[2, 1, 1, 3], image], results: [image]),
    .init(operation: Multiply(), operands: [image, [2, 1, 1, 3]], results: [image]),
    .init(operation: SpatialSum(), operands: [image], results: [[2, 1, 1, 3]]),
    .init(operation: SumLeadingAxes(), operands: [image], results: [[3]]),
    .init(operation: Fill(2, shape: [3, 1]), operands: [], results: [[3, 1]]),
    .init(operation: Pooling2D(.max, kernel: [2, 2]), operands: [image], results: [[2, 4, 3, 3]]),
    .init(
      operation: Pooling2D(.average, kernel: [3, 3], stride: [2, 2], padding: .all(1)), operands: [image],
      results: [[2, 4, 3, 3]]),
    .init(operation: GlobalPooling2D(.max), operands: [image], results: [[2, 3]]),
    .init(operation: GlobalPooling2D(.average, keepsAxes: true), operands: [image], results: [[2, 1, 1, 3]]),
    .init(operation: Reshape.flatten, operands: [image], results: [[2, 144]]),
    .init(operation: Reshape([4, -1]), operands: [image], results: [[2, 4, 36]]),
    .init(operation: Concatenate(), operands: [image, [2, 8, 6, 5]], results: [[2, 8, 6, 8]]),
    .init(operation: Concatenate(axis: 1), operands: [image, [2, 1, 6, 3]], results: [[2, 9, 6, 3]]),
    .init(operation: Slice(axis: -1, start: 1, length: 2), operands: [image], results: [[2, 8, 6, 2]]),
    .init(operation: ZeroPadding2D([1, 2, 3, 4]), operands: [image], results: [[2, 12, 12, 3]]),
    .init(operation: Crop2D([1, 2, 3, 0]), operands: [image], results: [[2, 4, 4, 3]]),
    .init(operation: Permute([0, 3, 1, 2]), operands: [image], results: [[2, 3, 8, 6]]),
    .init(operation: Dense(), operands: [[2, 7], [4, 7], [4]], results: [[2, 4]]),
    .init(operation: Dense(), operands: [[2, 3, 7], [4, 7]], results: [[2, 3, 4]]),
    .init(operation: Dropout(rate: 0.5, stream: 0), operands: [image], results: [image]),
    .init(operation: StochasticDepth(rate: 0.5, stream: 0), operands: [image], results: [image]),
    .init(operation: Loss(.meanSquaredError), operands: [[2, 5], [2, 5]], results: [[2]]),
    .init(operation: Loss(.categoricalCrossEntropy), operands: [[2, 3, 5], [2, 3, 5]], results: [[2, 3]]),
    .init(operation: WeightedMean(), operands: [[2, 3], [2]], results: [[]]),
    .init(operation: WeightedMeanGradient(shape: [2, 3]), operands: [[], [2]], results: [[2, 3]]),
    .init(
      operation: NormalizePixels(mean: [0, 0, 0], deviation: [1, 1, 1]), operands: [image], element: .uint8,
      results: [image]),
  ]

  @Test(arguments: accepted) func givesTheShapesOfTheResults(_ example: ShapeCase) throws {
    let results = try example.operation.resultTypes(example.types())
    #expect(results.map(\.shape) == example.results)
    #expect(results.allSatisfy { $0.element == .float32 })
  }

  static let refused: [ShapeCase] = [
    .init(operation: ArgMax(axis: 4), operands: [image], code: .invalidArgument, message: "axis is 4"),
    .init(
      operation: Resize(axis: 1, to: .size(0)), operands: [image], code: .invalidArgument,
      message: "8 elements become 0"),
    .init(
      operation: Resize(axis: 1, to: .scale(.nan)), operands: [image], code: .invalidArgument,
      message: "the scale is nan"),
    .init(
      operation: ResizeGradient(Resize(axis: 1, to: .size(5)), length: 8), operands: [[2, 4, 6, 3]],
      message: "the gradient"),
    .init(
      operation: ConvolutionTranspose2D(Convolution2D(), outputPadding: [1, 0]), operands: [image, [3, 5, 3, 3]],
      code: .invalidArgument, message: "output_padding is [1, 0]"),
    .init(
      operation: FakeQuantize(scale: [1, 2], minimum: 0, maximum: 255), operands: [image],
      message: "scale has 2 numbers; expected 1, or 3"),
    .init(
      operation: FakeQuantize(scale: [1e-39], minimum: 0, maximum: 255), operands: [image], code: .invalidArgument,
      message: "expected numbers above 0 whose reciprocals are finite"),
    .init(
      operation: FakeQuantize(scale: [1], minimum: 1, maximum: 1), operands: [image], code: .invalidArgument,
      message: "minimum is 1.0 and maximum 1.0"),
    .init(
      operation: FakeQuantizeActivation(momentum: 2, freeze: 0.5), operands: [image, [1], [1]],
      code: .invalidArgument, message: "momentum is 2.0 and freeze 0.5; expected 0 to 1"),
    .init(
      operation: FakeQuantizeActivation(momentum: 0, freeze: 0.5), operands: [image, [3], [1]],
      message: "the scale has shape [3]; expected [1]"),
    .init(
      operation: FakeQuantizeActivationGradient(learnsScale: true), operands: [image, [1], [1], [1]],
      message: "the gradient has shape [1]"),
    .init(
      operation: FakeQuantizeWeight(), operands: [[4, 3], [4]], code: .invalidArgument,
      message: "2 operands given; expected the weight, or as well gamma and the variance"),
    .init(operation: FakeQuantizeWeight(), operands: [[4]], message: "the weight has shape [4]; expected at least 2"),
    .init(
      operation: FakeQuantizeWeight(), operands: [[4, 3], [4], [3]],
      message: "the running variance has shape [3]; expected [4]"),
    .init(
      operation: Convolution2D(), operands: [image], code: .invalidArgument,
      message: "1 operands given; expected 2 to 3"),
    .init(
      operation: Convolution2D(), operands: [[8, 6, 3], [4, 3, 3, 3]],
      message: "the input has shape [8, 6, 3]; expected 4 axes"),
    .init(
      operation: Convolution2D(), operands: [image, [4, 5, 3, 3]],
      message: "has 3 channels; the weight [4, 5, 3, 3] with 1 groups expects 5"),
    .init(
      operation: Convolution2D(), operands: [image, [4, 3, 9, 3]],
      message: "the window reaches over 9 rows, the padded input has 8"),
    .init(
      operation: Convolution2D(), operands: [image, [4, 3, 3, 7]],
      message: "the window reaches over 7 columns, the padded input has 6"),
    .init(
      operation: Convolution2D(), operands: [image, [4, 3, 3, 3], [5]], message: "the bias has shape [5]; expected [4]"),
    .init(
      operation: Convolution2D(groups: 3), operands: [image, [4, 1, 3, 3]], code: .invalidArgument,
      message: "groups is 3; it must divide the 4 output channels"),
    .init(
      operation: Convolution2D(groups: 0), operands: [image, [4, 3, 3, 3]], code: .invalidArgument,
      message: "groups is 0"),
    .init(
      operation: Convolution2D(stride: [0, 1]), operands: [image, [4, 3, 3, 3]], code: .invalidArgument,
      message: "stride is [0, 1]; expected two numbers from 1 to 16777216"),
    .init(
      operation: Convolution2D(stride: [1, 1 << 31]), operands: [image, [4, 3, 3, 3]], code: .invalidArgument,
      message: "stride is [1, 2147483648]; expected two numbers from 1 to 16777216"),
    .init(
      operation: Convolution2D(dilation: [1, -1]), operands: [image, [4, 3, 3, 3]], code: .invalidArgument,
      message: "dilation is [1, -1]"),
    .init(
      operation: Convolution2D(padding: .all(-1)), operands: [image, [4, 3, 3, 3]], code: .invalidArgument,
      message: "padding is -1 and -1; expected 0 to 16777216"),
    .init(
      operation: Convolution2D(), operands: [image, [4, 3, 3, 3]], element: .int32,
      message: "the input has element type int32; expected float32"),
    .init(
      operation: BatchNormalization(), operands: [image, [3], [3], [2], [3]],
      message: "the running mean has shape [2]; expected [3]"),
    .init(
      operation: BatchNormalization(epsilon: -1), operands: [image, [3], [3], [3], [3]], code: .invalidArgument,
      message: "epsilon is -1.0"),
    .init(
      operation: BatchNormalization(momentum: 2), operands: [image, [3], [3], [3], [3]], code: .invalidArgument,
      message: "momentum 2.0"),
    .init(operation: BatchNormalization(), operands: [[3], [3], [3], [3], [3]], message: "expected at least 2 axes"),
    .init(
      operation: BatchNormalizationTrainingGradient(addsResidual: true, activation: Activation(.silu)),
      operands: [image, image, [3], [3], [3], [3], image], code: .invalidArgument,
      message: "function is 'silu' after a residual"),
    .init(
      operation: Activation(.relu), operands: [image, image], code: .invalidArgument,
      message: "2 operands given; expected 1"),
    .init(operation: Activation(.relu), operands: [image], element: .uint8, message: "element type uint8"),
    .init(operation: Softmax(), operands: [[]], message: "the input is a scalar"),
    .init(
      operation: Add(), operands: [image, [2, 8, 6, 4]],
      message:
        "the operands have shapes [2, 8, 6, 3] and [2, 8, 6, 4]; expected equal ones, or a size of 1 where they differ"
    ),
    .init(operation: Multiply(), operands: [image, [2, 1, 1, 3, 1]], message: "expected equal ones"),
    .init(
      operation: Gather(axis: 1, indices: [0, 8]), operands: [image],
      message: "index 8 lies outside the 8 elements of axis 1"),
    .init(
      operation: Gather(axis: 0, indices: [0]), operands: [image], code: .invalidArgument, message: "axis is 0"),
    .init(
      operation: GatherGradient(Gather(axis: 1, indices: [0, 1]), length: 8), operands: [image],
      message: "the gradient"),
    .init(
      operation: Reduction(.sum, axes: [1, -3], keepsAxes: true), operands: [image], code: .invalidArgument,
      message: "expected distinct axes of a tensor of 4"),
    .init(operation: SumLeadingAxes(), operands: [[]], message: "the input has 0 axes"),
    .init(
      operation: Pooling2D(.max, kernel: [2, 2], padding: .all(2)), operands: [image], code: .invalidArgument,
      message: "padding [2, 2, 2, 2] must be smaller than the kernel [2, 2]"),
    .init(operation: Pooling2D(.max, kernel: [9, 2]), operands: [image], message: "the window reaches over 9 rows"),
    .init(operation: GlobalPooling2D(.max), operands: [[2, 3]], message: "expected 4 axes"),
    .init(
      operation: Reshape([5, -1]), operands: [image],
      message: "shape [5, -1] does not hold the 144 elements of [8, 6, 3]"),
    .init(operation: Reshape([-1, -1]), operands: [image], message: "does not hold"),
    .init(operation: Reshape([0, -1]), operands: [image], message: "does not hold"),
    .init(
      operation: Concatenate(), operands: [image, [2, 8, 5, 3]],
      message: "operand 1 has shape [2, 8, 5, 3]; expected [2, 8, 6, 3]"),
    .init(
      operation: Concatenate(axis: 0), operands: [image], code: .invalidArgument,
      message: "axis is 0; expected 1 to 3, or -1 for the last"),
    .init(operation: Concatenate(axis: .min), operands: [image], code: .invalidArgument, message: "expected 1 to 3"),
    .init(operation: Concatenate(), operands: [], code: .invalidArgument, message: "0 operands given"),
    .init(
      operation: Slice(axis: 3, start: 2, length: 2), operands: [image],
      message: "start 2 and length 2 lie outside the 3 elements of axis 3"),
    .init(operation: Slice(axis: 3, start: .max, length: 2), operands: [image], message: "lie outside"),
    .init(
      operation: ZeroPadding2D([1, 2, 3, -4]), operands: [image], code: .invalidArgument,
      message: "padding is [1, 2, 3, -4]"),
    .init(operation: Crop2D([4, 0, 4, 0]), operands: [image], message: "an axis smaller than 1"),
    .init(
      operation: Permute([0, 1, 1, 2]), operands: [image], code: .invalidArgument,
      message: "order [0, 1, 1, 2] is not a permutation of 4 axes"),
    .init(
      operation: Dense(), operands: [[2, 6], [4, 7]], message: "the weight [4, 7] expects 7 features in the last axis"),
    .init(
      operation: Dropout(rate: 1.5, stream: 0), operands: [image], code: .invalidArgument,
      message: "the rate is 1.5; expected 0 to 1"),
    .init(operation: StochasticDepth(rate: 0.5, stream: 0), operands: [[]], message: "scalar"),
    .init(
      operation: Loss(.categoricalCrossEntropy), operands: [[2, 5], [2]],
      message: "the target has shape [2]; expected [2, 5]"),
    .init(
      operation: Loss(.sparseCategoricalCrossEntropy), operands: [[2, 5], [2]],
      message: "the target has element type float32; expected int32"),
    .init(
      operation: Loss(.meanSquaredError, fromLogits: true), operands: [[2, 5], [2, 5]], code: .invalidArgument,
      message: "mean_squared_error has neither logits nor label smoothing"),
    .init(
      operation: Loss(.categoricalCrossEntropy, labelSmoothing: 1), operands: [[2, 5], [2, 5]], code: .invalidArgument,
      message: "labelSmoothing is 1.0"),
    .init(operation: Loss(.meanSquaredError), operands: [[5], [5]], message: "expected 2 axes or more"),
    .init(
      operation: WeightedMean(), operands: [[2, 3], [3]], message: "the sample weights has shape [3]; expected [2]"),
    .init(
      operation: NormalizePixels(mean: [0], deviation: [1]), operands: [image], element: .uint8,
      message: "1 and 1 given"),
    .init(
      operation: NormalizePixels(mean: [0, 0, 0], deviation: [1, 0, 1]), operands: [image], element: .uint8,
      message: "one positive deviation per channel"),
    .init(
      operation: NormalizePixels(mean: [0, 0, 0], deviation: [1, 1, 1]), operands: [image], message: "expected uint8"),
    // Gradients come from files too: what they read must be as large as their kernels think.
    .init(
      operation: ActivationGradient(Activation(.relu)), operands: [image, [2, 8, 6, 4]],
      message: "the gradient has shape"),
    .init(operation: SoftmaxGradient(), operands: [image, [3]], message: "the gradient has shape"),
    .init(operation: LogSoftmaxGradient(), operands: [[], []], message: "the result is a scalar"),
    .init(operation: ParametricReluInputGradient(), operands: [image, [3], [3]], message: "the gradient has shape"),
    .init(operation: ParametricRelu(), operands: [[], [3]], message: "expected the last axes of []"),
    .init(operation: ParametricRelu(), operands: [image, []], message: "the slope has shape []"),
    .init(operation: ParametricRelu(), operands: [image, [8, 3]], message: "the slope has shape [8, 3]"),
    .init(
      operation: RandomCropGradient(RandomCrop(height: 2, width: 3, stream: 4), inputShape: [2, 1, 6, 3]),
      operands: [[2, 2, 3, 3]], message: "the input has 1 rows"),
    .init(operation: RandomFlip(stream: 1), operands: [[2, 5]], message: "expected 4 axes"),
    .init(operation: RegularizationGradient(Regularization(penalty)), operands: [image, [1]], message: "the gradient"),
    .init(
      operation: Loss(.huber, delta: 0), operands: [[2, 5], [2, 5]], code: .invalidArgument, message: "delta is 0"),
    .init(
      operation: Loss(.huber, delta: .infinity), operands: [[2, 5], [2, 5]], code: .invalidArgument, message: "delta is"
    ),
    .init(
      operation: BatchNormalizationGradient(epsilon: 0), operands: [image, [3], [3], [3], [3]], message: "the gradient"),
    .init(
      operation: BatchNormalizationGradient(epsilon: 0), operands: [image, image, [1], [3], [3]], message: "gamma"),
    .init(operation: BatchNormalizationGradient(epsilon: 0), operands: [image, image, [3], [1], [3]], message: "mean"),
    .init(
      operation: BatchNormalizationGradient(epsilon: 0), operands: [image, image, [3], [3], [1]], message: "variance"),
    .init(
      operation: BatchNormalizationTrainingGradient(addsResidual: false, activation: nil),
      operands: [image, [3], [3], [3], [3]], message: "the gradient"),
    .init(
      operation: BatchNormalizationTrainingGradient(addsResidual: false, activation: nil),
      operands: [image, image, [3], [3], [1]], message: "deviation"),
    .init(
      operation: BatchNormalizationTrainingGradient(addsResidual: false, activation: Activation(.relu)),
      operands: [image, image, [3], [3], [3], [3], [1]], message: "the result"),
    .init(
      operation: Pooling2DGradient(Pooling2D(.max, kernel: [2, 2]), inputShape: image),
      operands: [[2, 4, 3, 3], image, [1]], message: "the result"),
    .init(
      operation: GlobalPooling2DGradient(GlobalPooling2D(.max), inputShape: image), operands: [[2, 3], [1], [2, 3]],
      message: "the input"),
    .init(
      operation: GlobalPooling2DGradient(GlobalPooling2D(.max), inputShape: image), operands: [[2, 3], image, [1]],
      message: "the result"),
    .init(
      operation: Convolution2DInputGradient(Convolution2D(), inputShape: image),
      operands: [[2, 8, 6, 4], [4, 3, 3, 3]], message: "the gradient has shape"),
    .init(
      operation: Convolution2DWeightGradient(Convolution2D(), weightShape: [4, 3, 3, 3]),
      operands: [image, [2, 8, 6, 4]], message: "the gradient has shape"),
    .init(operation: DenseInputGradient(), operands: [[2, 5], [4, 7]], message: "does not fit the weight"),
    .init(operation: DenseWeightGradient(), operands: [[2, 5], [3, 7]], message: "do not fit"),
    .init(
      operation: LossGradient(Loss(.meanSquaredError)), operands: [[2, 5], [2, 5], [3]],
      message: "the gradient has shape"),
  ]

  @Test(arguments: refused) func saysWhichOperandDoesNotFit(_ example: ShapeCase) throws {
    let types = try example.types()
    let error = #expect(throws: CNNError.self) { try example.operation.resultTypes(types) }
    #expect(error?.code == example.code)
    let message = try #require(example.message)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func everyOperationRefusesNoOperandsAndFarTooMany() throws {
    let scalar = try TensorType(.float32, [])
    for example in Self.accepted where !example.operands.isEmpty {
      #expect(throws: CNNError.self) { try example.operation.resultTypes([]) }
      let many = Array(repeating: scalar, count: 5000)
      #expect(throws: CNNError.self) { try example.operation.resultTypes(many) }
    }
  }

  @Test func sizesThatOverflowAreRefused() throws {
    #expect(throws: CNNError.self) { try TensorType(.float32, [1 << 40, 1 << 40]) }
    #expect(throws: CNNError.self) { try TensorType(.float32, [-1]) }
    #expect(throws: CNNError.self) { try TensorType(.float32, [0]) }
    #expect(throws: CNNError.self) { try TensorType(.float32, Array(repeating: 1, count: 9)) }
    let wide = try TensorType(.float32, [1, 1, 1, 1 << 44])
    for operation in [Concatenate(), Add()] as [any Operation] {
      _ = try? operation.resultTypes([wide, wide])
    }
    let error = #expect(throws: CNNError.self) { try Concatenate().resultTypes(Array(repeating: wide, count: 9)) }
    #expect(error?.code == .outOfMemory)
    #expect(throws: CNNError.self) {
      try ZeroPadding2D([1 << 24, 1 << 24, 1 << 24, 1 << 24]).resultTypes([TensorType(.float32, [1 << 20, 1, 1, 1])])
    }
  }
}
