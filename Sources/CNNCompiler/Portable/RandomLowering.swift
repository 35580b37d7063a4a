import CNNCore
import CNNGraph
import CNNKernels

extension Dropout: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (rate, stream, count) = (Float(rate), stream, types.operands[0].count)
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        DropoutKernels.apply(
          x: $0.operand(0), y: $0.result(), count: count, rate: rate, seed: $0.randomness.seed,
          stream: $0.randomness.stream(of: stream), workers: $0.workers)
      })
  }
}

extension StochasticDepth: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (rate, stream, samples) = (Float(rate), stream, types.operands[0].shape[0])
    let length = types.operands[0].count / samples
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        DropoutKernels.applyToSamples(
          x: $0.operand(0), y: $0.result(), samples: samples, sampleLength: length, rate: rate,
          seed: $0.randomness.seed, stream: $0.randomness.stream(of: stream),
          workers: $0.workers)
      })
  }
}

extension RandomFlip: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (shape, horizontal, vertical, stream) = (types.operands[0].shape, horizontal, vertical, stream)
    return LoweredOperation(kernel: {
      RandomImages.flip(
        $0.operand(0), into: $0.result(), images: shape[0], height: shape[1], width: shape[2], channels: shape[3],
        horizontal: horizontal, vertical: vertical, seed: $0.randomness.seed, stream: $0.randomness.stream(of: stream),
        workers: $0.workers)
    })
  }
}

extension RandomCrop: PortableOperation {
  /// The kernels' view of the crop of an input of this shape.
  fileprivate func geometry(input: [Int]) -> RandomImages.Crop {
    RandomImages.Crop(inputHeight: input[1], inputWidth: input[2], height: height, width: width, channels: input[3])
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (images, crop, stream) = (types.operands[0].shape[0], geometry(input: types.operands[0].shape), stream)
    return LoweredOperation(kernel: {
      RandomImages.crop(
        $0.operand(0), into: $0.result(), images: images, crop, seed: $0.randomness.seed,
        stream: $0.randomness.stream(of: stream), workers: $0.workers)
    })
  }
}

extension RandomCropGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (images, geometry, stream) = (inputShape[0], crop.geometry(input: inputShape), crop.stream)
    return LoweredOperation(kernel: {
      RandomImages.cropBackward(
        $0.operand(0), into: $0.result(), images: images, geometry, seed: $0.randomness.seed,
        stream: $0.randomness.stream(of: stream), workers: $0.workers)
    })
  }
}
