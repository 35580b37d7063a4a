import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension ExecutionContext {
  /// Runs the plan once more, step by step, and looks where the first number is made that is NaN or infinite.
  /// - Parameters: as those of `run`, with which the last run was made.
  /// - Returns: the name of an input that has one, else of a step; nil where all are finite.
  public func firstNotFinite(inputs: [UnsafeRawPointer], randomness: Randomness) -> String? {
    for (input, base) in zip(plan.graph.inputs, inputs) {
      if !isFinite(base, plan.graph.type(of: input.value)) { return input.name }
    }
    var found: String?
    forEachStep(randomness) { step, address in
      guard found == nil, let position = step.node else { return }
      for (result, slot) in zip(plan.graph.nodes[position].results, step.results) {
        if !isFinite(address(slot), plan.graph.type(of: result)) { found = step.name }
      }
    }
    return found
  }

  /// Whether all numbers of a tensor are; of one in blocks those of its channels. What is packed is not looked at.
  private func isFinite(_ base: UnsafeRawPointer, _ type: TensorType) -> Bool {
    func isFinite(_ place: UnsafeRawPointer) -> Bool {
      switch type.element {
      case .float32: place.loadUnaligned(as: Float.self).isFinite
      case .bfloat16: Float(place.loadUnaligned(as: BFloat16.self)).isFinite
      default: true
      }
    }
    let size = type.element.byteCount
    switch type.layout {
    case .rowMajor, .permuted: return (0..<type.count).allSatisfy { isFinite(base + $0 * size) }
    case .packed: return true
    case .blocked:
      guard let tensor = type.blocks else { return true }
      return (0..<tensor.blocks).allSatisfy { block in
        let channels = min(tensor.channelsPerBlock, tensor.channels - block * tensor.channelsPerBlock)
        return (0..<tensor.images).allSatisfy { image in
          let first = base + tensor.byteOffset(image: image, block: block) + tensor.originByteOffset
          return (0..<tensor.height).allSatisfy { row in
            (0..<tensor.width).allSatisfy { column in
              let pixel = first + row * tensor.rowByteCount + column * BlockedTensor.pixelByteCount
              return (0..<channels).allSatisfy { isFinite(pixel + $0 * size) }
            }
          }
        }
      }
    }
  }
}
