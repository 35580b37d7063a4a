import CNNCore
import CNNRuntime

/// An activation of a blocked tensor: `y = f(x)`.
public struct BlockedActivation: Sendable {
  private let pass: StreamPass

  /// The pass that applies this activation.
  /// - Parameter result: the type of the result's numbers; nil for that of the tensor.
  public init(
    _ activation: VectorActivation, _ tensor: BlockedTensor, result: ElementType? = nil, library: KernelLibrary
  ) {
    var program = StreamProgram("\(activation)", elements: [tensor.element, result ?? tensor.element])
    program.store(program.activate(activation, program.load(0)), 1)
    pass = StreamPass(program, tensor, library: library)
  }

  /// Applies it. `y` may be `x`, where both are of one type.
  public func run(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    pass.run(StreamPass.Operands(x).stream(1, y), workers: workers)
  }
}

/// The gradient of an activation of a blocked tensor: `dx = dy f'(x)`.
public struct BlockedActivationGradient: Sendable {
  private let pass: StreamPass

  /// The gradient of this activation.
  public init(_ activation: VectorActivation, _ tensor: BlockedTensor, library: KernelLibrary) {
    var program = StreamProgram("\(activation)_gradient")
    let x = program.load(0), dy = program.load(1)
    program.store(program.activationGradient(activation, x: x, dy: dy), 2)
    pass = StreamPass(program, tensor, library: library)
  }

  /// Computes it. `dx` may be `dy`.
  public func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dx: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(x).stream(1, dy).stream(2, dx), workers: workers)
  }
}
