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

  /// What the images of a step are stored as.
  struct Elements {
    /// The image, what it is normalised to, the pooling's result, the gradient of that, and the image's.
    var image, normalized, pooled, gradient, result: ElementType

    /// The channels that are computed together: a block of what has the most.
    var channels: Int { image == .bfloat16 ? 32 : 16 }

    /// Whether they are computed together. What is normalised again is rounded as it was, or else nothing would be equal to
    /// the maximum; not each function is the same number in every pass.
    func accept(_ activation: Activation?, channels: Int) -> Bool {
      if channels % self.channels != 0 { return false }
      return image == .bfloat16
        ? normalized == .float32 || activation?.function == .relu
        : [normalized, pooled, gradient, result].allSatisfy { $0 == .float32 }
    }
  }

  /// A few images of some channels as float32: as they lie, or widened.
  private struct Part {
    let stored, floats: BlockedTensor
    private let widening: BFloat16Reorder?

    /// - Parameter stored: how all of them lie.
    init(_ stored: BlockedTensor, images: Int, channels: Int, library: KernelLibrary) throws(CNNError) {
      let part = BlockedTensor(images: images, height: stored.height, width: stored.width, channels: channels)
      widening = stored.element == .bfloat16 ? try BFloat16Reorder(.widening, part, library: library) : nil
      (self.stored, floats) = (stored, widening == nil ? stored.with(element: .float32) : part)
    }

    /// Bytes of those that are widened.
    var byteCount: Int { widening == nil ? 0 : floats.byteCount }

    /// Those from one channel and image on: blocks are `floats.blockByteCount` apart.
    func numbers(
      _ base: UnsafeRawPointer, channel: Int, image: Int, workspace: UnsafeMutableRawPointer, _ workers: Workers
    ) -> UnsafeRawPointer {
      let place = base + stored.byteOffset(channel: channel) + image * stored.imageByteCount
      guard let widening else { return place }
      widening.run(place, into: workspace, workers: workers)
      return UnsafeRawPointer(workspace)
    }
  }

  /// The gradient through a pooling, which has whole blocks of channels.
  fileprivate static func lower(
    _ gradient: BlockedPoolingGradient, activation: VectorActivation, _ elements: Elements, library: KernelLibrary,
    _ workers: Workers
  ) throws(CNNError) -> LoweredOperation {
    let tensor = gradient.input.with(element: elements.image), result = tensor.with(element: elements.result)
    let channels = elements.channels, halves = channels / BlockedTensor.blockChannels
    // An image is one worker's.
    let images = min(tensor.images, 2 * workers.count)
    let pooling = gradient.ofOneBlock(images: images), block = gradient.input.with(channels: channels)
    let few = BlockedTensor(images: images, height: tensor.height, width: tensor.width, channels: channels)
    func part(_ tensor: BlockedTensor) throws(CNNError) -> Part {
      try Part(tensor, images: images, channels: channels, library: library)
    }
    let normalized = try part(few.with(element: elements.normalized))
    let pooled = try part(gradient.output.with(element: elements.pooled))
    let pooledGradient = try part(gradient.output.with(element: elements.gradient))
    // Its statistics are given.
    let normalization = StreamStepKernels(
      .normalizationByStatistics(few, BlockedNormalization(epsilon: 0, activation: activation))
        .with(elements: [elements.image] + Array(repeating: .float32, count: 4) + [elements.normalized]),
      library: library)
    let step = StreamStep.normalizationGradient(block, .activation(activation))
      .with(elements: [elements.image] + Array(repeating: .float32, count: 5) + [elements.result])
    let gradient = StreamStepKernels(step, library: library)
    var byteCounts: [Int] = []
    for count in [
      few.byteCount, normalized.byteCount, pooled.byteCount, pooledGradient.byteCount, block.byteCount,
      max(normalization.workspaceByteCount, gradient.workspaceByteCount),
    ] { byteCounts.append(try Memory.aligned(count)) }
    let offsets = byteCounts.indices.map { byteCounts[..<$0].reduce(0, &+) }
    var cost = StepCost(of: tensor)
    cost.algorithm = "pooling+normalization gradient"
    return LoweredOperation(
      workspaceByteCount: try Checked.sum(byteCounts, "the gradient of a pooling"),
      overwritableOperands: step.mayOverwrite(0, with: 6) ? [[0]] : [], cost: cost,
      kernel: { arguments in
        let workers = arguments.workers, y = arguments.workspace
        let (dy, workspace) = (y + offsets[4], y + offsets[5])
        for channel in stride(from: 0, to: tensor.channels, by: channels) {
          let x = UnsafeRawPointer(arguments.operand(0)) + tensor.byteOffset(channel: channel)
          let (gamma, mean, inverseDeviation, beta) = (
            arguments.operand(2) + channel, arguments.operand(3) + channel, arguments.operand(4) + channel,
            arguments.operand(5) + channel
          )
          for first in stride(from: 0, to: tensor.images, by: images) {
            // The last ones may be some of those before once more.
            let image = min(first, tensor.images - images)
            var ports = StreamStep.Ports(x + image * tensor.imageByteCount)
            (ports[1], ports[2], ports[3], ports[4], ports[5]) = (
              UnsafeRawPointer(gamma), UnsafeRawPointer(beta), UnsafeRawPointer(mean),
              UnsafeRawPointer(inverseDeviation), UnsafeRawPointer(y)
            )
            normalization.run(ports, workspace: workspace, workers: workers)
            let input = normalized.numbers(y, channel: 0, image: 0, workspace: y + offsets[1], workers)
            let result = pooled.numbers(
              arguments.operand(6), channel: channel, image: image, workspace: y + offsets[2], workers)
            let gradient = pooledGradient.numbers(
              arguments.operand(1), channel: channel, image: image, workspace: y + offsets[3], workers)
            func floats(_ base: UnsafeRawPointer, _ tensor: BlockedTensor, _ half: Int) -> UnsafePointer<Float> {
              (base + half * tensor.blockByteCount).assumingMemoryBound(to: Float.self)
            }
            for half in 0..<halves {
              pooling.run(
                floats(gradient, pooledGradient.floats, half), input: floats(input, normalized.floats, half),
                result: floats(result, pooled.floats, half),
                into: (dy + half * block.blockByteCount + image * block.imageByteCount)
                  .assumingMemoryBound(to: Float.self), workers: workers)
            }
          }
          var ports = StreamStep.Ports(x)
          (ports[1], ports[2], ports[3], ports[4], ports[5]) = (
            UnsafeRawPointer(dy), UnsafeRawPointer(gamma), UnsafeRawPointer(mean), UnsafeRawPointer(inverseDeviation),
            UnsafeRawPointer(beta)
          )
          (ports[6], ports[7], ports[8]) = (
            UnsafeRawPointer(arguments.result(0)) + result.byteOffset(channel: channel),
            UnsafeRawPointer(arguments.result(1) + channel), UnsafeRawPointer(arguments.result(2) + channel)
          )
          gradient.run(ports, workspace: workspace, workers: workers)
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
        case let read = pooling.operands.map(stored), let forward = self.node(defining: read[1]),
        (forward.operation as? Placed)?.operation is BatchNormalizationTraining,
        forward.operands[0] == node.operands[0], consumers[pooling.results[0].index].count == 1
      else { continue }
      let kernel = try PoolingGradientInBlocks.kernel(gradient)
      let elements = PooledNormalizationGradient.Elements(
        image: type(of: node.operands[0]).element, normalized: type(of: read[1]).element,
        pooled: type(of: read[2]).element, gradient: type(of: read[0]).element,
        result: type(of: node.results[0]).element)
      guard elements.accept(original.activation, channels: kernel.input.channels) else { continue }
      absorbed.insert(pooling.results[0])
      var operands = node.operands
      operands[1] = read[0]
      operands.append(read[2])
      let operation = Placed(
        operation: PooledNormalizationGradient(), implementation: normalization.implementation,
        operandTypes: operands.map(type), types: normalization.types,
        lowered: try PooledNormalizationGradient.lower(
          kernel, activation: activation, elements, library: library, workers))
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

  /// What a value is before it is widened, or rounded, for who reads it.
  private func stored(_ value: Value) -> Value {
    guard let node = node(defining: value), (node.operation as? Placed)?.operation is Reorder else { return value }
    let from = type(of: node.operands[0]), to = type(of: value)
    return from.layout.border == BlockedTensor.Border.none && from.element != to.element ? node.operands[0] : value
  }
}
