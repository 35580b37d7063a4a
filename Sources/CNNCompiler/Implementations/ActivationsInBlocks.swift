import CNNCore
import CNNGraph
import CNNKernels

/// An activation by generated code, of an image as it is stored and to one that is.
struct ActivationInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard let activation = candidate.node.operation as? Activation, VectorActivation(activation) != nil else {
      return .refused("there is no code for the function")
    }
    guard let type = placement.placedTypeInBlocks(x) else {
      return .rowMajor()
    }
    let byteCount = try type.byteCount + placement.storedResult(of: candidate).byteCount
    return .offered(
      Offer(reads: [Offer.Read(value: x, type: type)], cycles: CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? Activation, let code = VectorActivation(operation) else {
      return
    }
    let type = try placement.storedResult(of: candidate)
    guard let tensor = type.blocks else { return }
    try placement.add(
      candidate, images, results: [type], recomputation: .again(isCheap: true),
      LoweredOperation(cost: StepCost(of: tensor), stream: .activation(code, tensor)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let activation = node.operation as? Activation, VectorActivation(activation) != nil else { return false }
    return placement.storesBFloat16(anyOf: node)
  }
}

/// The gradient of an activation by generated code. Reads its input, and the gradient of its result.
struct ActivationGradientInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let operands = candidate.node.operands
    guard let gradient = candidate.node.operation as? ActivationGradient, VectorActivation(gradient.activation) != nil
    else { return .refused("there is no code for the function") }
    guard placement.isInBlocks(operands[0]) else { return .rowMajor() }
    guard let reads = try placement.storedReads(operands) else { return .withoutBlocks("an operand") }
    return .offered(try placement.pass(reads, results: [placement.storedResult(of: candidate)]))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? ActivationGradient,
      let code = VectorActivation(operation.activation)
    else { return }
    let type = try placement.storedResult(of: candidate)
    guard let tensor = type.blocks else { return }
    try placement.add(
      candidate, images, results: [type],
      LoweredOperation(cost: StepCost(of: tensor), stream: .activationGradient(code, tensor)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let gradient = node.operation as? ActivationGradient, VectorActivation(gradient.activation) != nil
    else { return false }
    return placement.storesBFloat16(anyOf: node)
  }
}

extension Activation {
  static var implementations: [any Implementation] {
    [ActivationInBlocks(), ElementwiseInBlocks(), PortableImplementation()]
  }
}

extension ActivationGradient {
  static var implementations: [any Implementation] { [ActivationGradientInBlocks(), PortableImplementation()] }
}
