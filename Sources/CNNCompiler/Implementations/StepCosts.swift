import CNNCore
import CNNKernels

extension StepCost {
  /// The sizes of a convolution, and the operations it takes as its definition says.
  init(of g: ConvolutionGeometry) {
    shape =
      "\(g.inputHeight)x\(g.inputWidth)x\(g.inputChannels) \(g.kernelHeight)x\(g.kernelWidth)/\(g.strideHeight) -> "
      + "\(g.outputHeight)x\(g.outputWidth)x\(g.outputChannels)"
    operations = g.operationCount
  }

  /// The sizes of images.
  init(of tensor: BlockedTensor) { shape = "\(tensor.height)x\(tensor.width)x\(tensor.channels)" }
}
