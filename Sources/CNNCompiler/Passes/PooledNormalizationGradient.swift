import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// The gradient of a batch normalisation with an activation that a max pooling follows, from the pooling's gradient.
///
/// In a ResNet's stem the normalised image is the largest tensor of all. Here one block of channels after the other gets its
/// gradient, for which a few images at a time are normalised again: neither tensor is ever there as a whole, and what there
/// is of them stays in the last cache. Operands: the image, the gradient of the pooling's result, gamma, mean, 1 / deviation, beta and
/// the pooling's result; results: the gradients of the image, of gamma and of beta.
struct PooledNormalizationGradient: CompiledOperation {
  static let name = "pooled_normalization_gradient"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [operands[0], operands[2], operands[2]]
  }

  /// The gradient through `pooling`, which has whole blocks of channels.
  fileprivate static func lower(
    _ gradient: BlockedPoolingGradient, activation: VectorActivation, library: KernelLibrary, _ workers: Workers
  ) throws(CNNError) -> LoweredOperation {
    let (tensor, pooled) = (gradient.input, gradient.output)
    // An image is one worker's.
    let images = min(tensor.images, 2 * workers.count)
    let pooling = gradient.ofOneBlock(images: images), block = tensor.with(channels: BlockedTensor.blockChannels)
    // Its statistics are given.
    let normalization = StreamStepKernels(
      .normalizationByStatistics(pooling.input, BlockedNormalization(epsilon: 0, activation: activation)),
      library: library)
    let step = StreamStep.normalizationGradient(block, .activation(activation))
    let gradient = StreamStepKernels(step, library: library)
    let partBytes = try Memory.aligned(pooling.input.byteCount), blockBytes = try Memory.aligned(block.byteCount)
    var cost = StepCost(of: tensor)
    cost.algorithm = "pooling+normalization gradient"
    return LoweredOperation(
      workspaceByteCount: try Checked.sum(
        [partBytes, blockBytes, max(normalization.workspaceByteCount, gradient.workspaceByteCount)],
        "the gradient of a pooling"),
      overwritableOperands: step.mayOverwrite(0, with: 6) ? [[0]] : [], cost: cost,
      kernel: { arguments in
        let y = arguments.workspace, dy = y + partBytes, workspace = dy + blockBytes
        for block in 0..<tensor.blocks {
          let shift = block * tensor.blockByteCount, channel = block * BlockedTensor.blockChannels
          let pooledShift = block * pooled.blockByteCount / 4
          let x = UnsafeRawPointer(arguments.operand(0)) + shift
          let (gamma, mean, inverseDeviation, beta) = (
            arguments.operand(2) + channel, arguments.operand(3) + channel, arguments.operand(4) + channel,
            arguments.operand(5) + channel
          )
          for first in stride(from: 0, to: tensor.images, by: images) {
            // The last ones may be some of those before once more.
            let image = min(first, tensor.images - images), shift = image * tensor.imageByteCount
            let pooledImage = pooledShift + image * pooled.imageByteCount / 4
            var ports = StreamStep.Ports(x + shift)
            (ports[1], ports[2], ports[3], ports[4], ports[5]) = (
              UnsafeRawPointer(gamma), UnsafeRawPointer(beta), UnsafeRawPointer(mean),
              UnsafeRawPointer(inverseDeviation), UnsafeRawPointer(y)
            )
            normalization.run(ports, workspace: workspace, workers: arguments.workers)
            pooling.run(
              arguments.operand(1) + pooledImage, input: y.assumingMemoryBound(to: Float.self),
              result: arguments.operand(6) + pooledImage, into: (dy + shift).assumingMemoryBound(to: Float.self),
              workers: arguments.workers)
          }
          var ports = StreamStep.Ports(x)
          (ports[1], ports[2], ports[3], ports[4], ports[5]) = (
            UnsafeRawPointer(dy), UnsafeRawPointer(gamma), UnsafeRawPointer(mean), UnsafeRawPointer(inverseDeviation),
            UnsafeRawPointer(beta)
          )
          (ports[6], ports[7], ports[8]) = (
            UnsafeRawPointer(arguments.result(0)) + shift, UnsafeRawPointer(arguments.result(1) + channel),
            UnsafeRawPointer(arguments.result(2) + channel)
          )
          gradient.run(ports, workspace: workspace, workers: arguments.workers)
        }
      })
  }
}

extension Graph {
  /// The gradient of a max pooling goes into that of the normalisation before it: neither reads what was normalised then.
  func fusingPoolingGradients(_ library: KernelLibrary, _ workers: Workers) throws(CNNError) -> Graph {
    let consumers = consumers()
    var absorbed: Set<Value> = []
    var fused: [Value: (operation: Placed, operands: [Value])] = [:]
    for node in nodes {
      guard let normalization = node.operation as? Placed,
        let original = normalization.operation as? BatchNormalizationTrainingGradient, !original.addsResidual,
        let activation = original.activation.flatMap({ VectorActivation($0) }),
        let pooling = self.node(defining: node.operands[1]), pooling.operands.count == 3,
        let gradient = (pooling.operation as? Placed)?.operation as? Pooling2DGradient,
        let forward = self.node(defining: pooling.operands[1]),
        (forward.operation as? Placed)?.operation is BatchNormalizationTraining,
        forward.operands[0] == node.operands[0], consumers[pooling.results[0].index].count == 1
      else { continue }
      let kernel = try PoolingGradientInBlocks.kernel(gradient)
      // What is normalised again for it is not rounded, as a maximum of bfloat16 is.
      guard kernel.input.channels % BlockedTensor.blockChannels == 0,
        node.operands.allSatisfy({ type(of: $0).element == .float32 })
      else { continue }
      absorbed.insert(pooling.results[0])
      var operands = node.operands
      operands[1] = pooling.operands[0]
      operands.append(pooling.operands[2])
      let operation = Placed(
        operation: PooledNormalizationGradient(), implementation: normalization.implementation,
        operandTypes: operands.map(type), types: normalization.types,
        lowered: try PooledNormalizationGradient.lower(kernel, activation: activation, library: library, workers))
      fused[node.results[0]] = (operation, operands)
    }
    return try rewriting { rewriter, node throws(CNNError) in
      guard let (operation, operands) = fused[node.results[0]] else { return absorbed.contains(node.results[0]) }
      var images: [Value] = []
      for operand in operands { images.append(try rewriter.image(of: operand)) }
      let results = try rewriter.result.add(operation, images, name: node.name)
      for (old, new) in zip(node.results, results) { rewriter.map(old, to: new) }
      return true
    }
  }
}
