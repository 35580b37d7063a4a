import CNNCore
import CNNRuntime

extension StreamStep {
  /// `y = a + b`. Ports: `a`, `b`, `y`.
  public static func addition(_ tensor: BlockedTensor) -> StreamStep {
    var program = StreamProgram("add")
    program.store(program.add(program.load(0), program.load(1)), 2)
    return StreamStep(tensor, [Pass(program: program, streams: [0, 1, 2])])
  }

  /// `y = x s` with a number `s` of float32 for each channel of each image. Ports: `x`, `s` of one pixel, `y`.
  public static func scaling(_ tensor: BlockedTensor) -> StreamStep {
    var program = StreamProgram("scale")
    program.store(program.multiply(program.load(0), program.constant(0)), 1)
    return StreamStep(
      tensor,
      [Pass(program: program, streams: [0, 2], constants: [.images(port: 1)], isPerImage: true)])
  }

  /// Stochastic depth, see `DropoutKernels.applyToSamples`; of a result's gradient that of the input. Ports: `x`, `y`.
  public static func stochasticDepth(_ tensor: BlockedTensor, rate: Float, layer: Int) -> StreamStep {
    var program = StreamProgram("stochastic_depth")
    // What is dropped is zero whatever it was.
    let factor = program.constant(0), kept = program.keep(program.load(0), wherePositive: factor)
    program.store(program.multiply(kept, factor), 1)
    var pass = Pass(program: program, streams: [0, 1], constants: [.ofImages(byteOffset: 0)], isPerImage: true)
    pass.before = [
      { _, environment in
        let randomness = environment.randomness
        let factors = DropoutKernels.SampleFactors(
          rate: rate, seed: randomness.seed, stream: randomness.stream(of: layer))
        let place = environment.workspace.assumingMemoryBound(to: Float.self)
        for image in 0..<tensor.images { SIMD16<Float>(repeating: factors[image]).store(place + image * 16) }
      }
    ]
    return StreamStep(tensor, workByteCount: tensor.images * BlockedTensor.pixelByteCount, [pass])
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
  public static func activation(_ activation: VectorActivation, _ tensor: BlockedTensor) -> StreamStep {
    var program = StreamProgram("\(activation)")
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
