import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// An operation with a portable kernel: short, and the definition of what it means. Each conformance is in this folder, one
/// file a family.
protocol PortableOperation: Placeable {
  /// The kernel for operands and results of these types.
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation

  /// The types in which it reads operands, and gives results, that are row-major in the graph.
  func portableOperands(_ operands: [TensorType]) throws(CNNError) -> [TensorType]
  func portableResults(_ results: [TensorType]) throws(CNNError) -> [TensorType]

  /// Why there is no portable kernel for these constants.
  var portableRefusal: String? { get }
}

extension PortableOperation {
  static var implementations: [any Implementation] { [PortableImplementation()] }

  func portableOperands(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { operands }
  func portableResults(_ results: [TensorType]) throws(CNNError) -> [TensorType] { results }

  var portableRefusal: String? { nil }
}

/// By Swift, and OpenBLAS for products.
struct PortableImplementation: Implementation {
  let name = "portable"

  func instruction(on target: CodeTarget?) -> String { "portable" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard candidate.fusion.isEmpty else { return .refused("it computes one operation at a time") }
    guard let operation = candidate.node.operation as? any PortableOperation else { return .refused("there is none") }
    if let refusal = operation.portableRefusal { return .refused(refusal) }
    let types = try types(operation, candidate, placement)
    let byteCount = (types.operands + types.results).reduce(0) { $0 + $1.byteCount }
    return .offered(
      Offer(
        reads: zip(candidate.node.operands, types.operands).map { Offer.Read(value: $0, type: $1) },
        cycles: CycleModel.portable(
          byteCount, operations: try operation.portable(types).cost.operations, placement.workers)))
  }

  func place(
    _ candidate: Candidate, reading images: [Value], in placement: inout Placement
  ) throws(CNNError) {
    guard let operation = candidate.node.operation as? any PortableOperation else { return }
    let types = try types(operation, candidate, placement)
    try placement.add(
      candidate, images, results: types.results, recomputation: Self.recomputation(of: operation),
      operation.portable(types))
  }

  private func types(
    _ operation: any PortableOperation, _ candidate: Candidate, _ placement: Placement
  ) throws(CNNError) -> LoweringTypes {
    LoweringTypes(
      operands: try operation.portableOperands(candidate.node.operands.map { placement.type(of: $0) }),
      results: try operation.portableResults(candidate.node.results.map { placement.type(of: $0) }),
      workers: placement.workers)
  }

  /// How the backward pass computes a result of these kernels again.
  static func recomputation(of operation: any Operation) -> Recomputation {
    switch operation {
    case is Activation: .again(isCheap: true)
    case is Add, is Multiply, is Concatenate, is Convolution2D, is Dense, is Pooling2D, is GlobalPooling2D:
      .again(isCheap: false)
    default: .never
    }
  }
}
