import CNNCore
import CNNRuntime

/// `y = a + b` of blocked tensors of one size.
public struct BlockedAddition: Sendable {
  private let pass: StreamPass

  /// - Parameters:
  ///   - tensor: the sizes.
  ///   - elements: the types of the numbers of `a`, `b` and `y`.
  public init(_ tensor: BlockedTensor, _ elements: [ElementType], library: KernelLibrary) {
    var program = StreamProgram("add", elements: elements)
    program.store(program.add(program.load(0), program.load(1)), 2)
    pass = StreamPass(program, tensor, library: library)
  }

  /// Adds. `y` may be what is of its type.
  public func run(
    _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(a).stream(1, b).stream(2, y), workers: workers)
  }
}
