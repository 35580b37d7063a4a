import CNNCore
import CNNRuntime

extension StreamStep {
  /// `y = a + b`. Ports: `a`, `b`, `y`.
  /// - Parameter elements: the types of their numbers.
  public static func addition(_ tensor: BlockedTensor, _ elements: [ElementType]) -> StreamStep {
    var program = StreamProgram("add", elements: elements)
    program.store(program.add(program.load(0), program.load(1)), 2)
    return StreamStep(tensor, [Pass(program: program, streams: [0, 1, 2])])
  }

  /// `y = x s` with a number `s` of float32 for each channel of each image. Ports: `x`, `s` of one pixel, `y`.
  /// - Parameter result: the type of the result's numbers.
  public static func scaling(_ tensor: BlockedTensor, result: ElementType) -> StreamStep {
    var program = StreamProgram("scale", elements: [tensor.element, result])
    program.store(program.multiply(program.load(0), program.constant(0)), 1)
    return StreamStep(
      tensor,
      [Pass(program: program, streams: [0, 2], constants: [.images(port: 1)], isPerImage: true)])
  }

  /// Every pixel of an image gets its share of a number for each channel: the gradient of a mean over the pixels. Ports: `x`
  /// of one pixel, `y`.
  public static func spreading(over tensor: BlockedTensor) -> StreamStep {
    var program = StreamProgram("spread")
    program.store(program.multiply(program.constant(0), program.constant(1)), 0)
    let share = 1 / Float(max(1, tensor.height * tensor.width))
    return StreamStep(
      tensor,
      [Pass(program: program, streams: [1], constants: [.images(port: 0), .number(share)], isPerImage: true)])
  }

  /// `y = f(x)`. Ports: `x`, `y`.
  /// - Parameter result: the type of the result's numbers; nil for that of the tensor.
  public static func activation(
    _ activation: VectorActivation, _ tensor: BlockedTensor, result: ElementType? = nil
  ) -> StreamStep {
    var program = StreamProgram("\(activation)", elements: [tensor.element, result ?? tensor.element])
    program.store(program.activate(activation, program.load(0)), 1)
    return StreamStep(tensor, [Pass(program: program, streams: [0, 1])])
  }

  /// `dx = dy f'(x)`. Ports: `x`, `dy`, `dx`.
  public static func activationGradient(_ activation: VectorActivation, _ tensor: BlockedTensor) -> StreamStep {
    var program = StreamProgram("\(activation)_gradient")
    let x = program.load(0), dy = program.load(1)
    program.store(program.activationGradient(activation, x: x, dy: dy), 2)
    return StreamStep(tensor, [Pass(program: program, streams: [0, 1, 2])])
  }
}
