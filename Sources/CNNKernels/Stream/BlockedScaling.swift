import CNNCore
import CNNRuntime

/// `y = x s` of a blocked tensor, with a number `s` of float32 for each channel of each image.
public struct BlockedScaling: Sendable {
  private let pass: StreamPass
  private let factors: BlockedTensor

  /// - Parameter result: the type of the result's numbers.
  public init(_ tensor: BlockedTensor, result: ElementType, library: KernelLibrary) {
    var program = StreamProgram("scale", elements: [tensor.element, result])
    program.store(program.multiply(program.load(0), program.constant(0)), 1)
    pass = StreamPass(program, tensor, perImage: true, library: library)
    factors = tensor.onePixel.with(element: .float32)
  }

  /// Multiplies. `y` may be `x`, where both are of one type.
  public func run(
    _ x: UnsafeRawPointer, by s: UnsafePointer<Float>, into y: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(x).stream(1, y).constant(0, .init(s, factors)), workers: workers)
  }
}
