import CNNCore
import CNNRuntime

/// The constants of programs that round: 16 floats each of 1 / scale, zero, and the scale. AVX2 has registers for no more.
private struct RoundingConstants {
  static let count = 3
  static let byteCount = count * 64

  let inverse, zero, scale: StreamProgram.Vector

  /// Begins a program.
  init(_ program: inout StreamProgram) {
    (inverse, zero, scale) = (program.constant(0), program.constant(1), program.constant(2))
  }

  /// Operands with the numbers of levels, which are written to memory.
  static func operands(
    _ operands: StreamPass.Operands, _ levels: TrainedLevels, in memory: UnsafeMutableRawPointer
  ) -> StreamPass.Operands {
    let numbers = memory.assumingMemoryBound(to: Float.self)
    var result = operands
    let values: InlineArray<3, Float> = [levels.inverse, levels.zero, levels.scale]
    for index in 0..<count {
      (numbers + index * 16).update(repeating: values[index], count: 16)
      result = result.constant(index, .init(repeating: numbers + index * 16))
    }
    return result
  }

  /// What a number is in levels, and that within their ends.
  func position(
    _ x: StreamProgram.Vector, _ program: inout StreamProgram
  ) -> (free: StreamProgram.Vector, clipped: StreamProgram.Vector) {
    let free = program.multiplyAdd(x, inverse, zero)
    let limits = VectorActivation(.clip, constants: [0, Double(TrainedLevels.highest)])
    return (free, program.activate(limits, free))
  }
}

extension StreamProgram {
  /// Keeps the ends of what a vector is, in the places of the first two sums.
  fileprivate mutating func noteRange(_ x: Vector) {
    minimum(x, into: 0)
    maximum(x, into: 1)
  }
}

/// `FakeQuantizeActivationKernels` on a blocked tensor by generated code.
public struct BlockedFakeQuantize: Sendable {
  private let tensor: BlockedTensor
  private let rounding: StreamPass
  /// Where a range is tracked, what finds the first one.
  private let measuring: StreamPass?

  /// - Parameter tracksRange: whether the range of what is rounded is found in the same pass.
  public init(_ tensor: BlockedTensor, tracksRange: Bool, library: KernelLibrary) {
    self.tensor = tensor
    var program = StreamProgram(tracksRange ? "fake_quantize_range" : "fake_quantize")
    let constants = RoundingConstants(&program), x = program.load(0)
    let level = program.round(constants.position(x, &program).clipped)
    program.store(program.multiply(program.subtract(level, constants.zero), constants.scale), 1)
    if tracksRange { program.noteRange(x) }
    rounding = StreamPass(program, tensor, library: library)
    guard tracksRange else {
      measuring = nil
      return
    }
    var range = StreamProgram("range")
    range.noteRange(range.load(0))
    measuring = StreamPass(range, tensor, library: library)
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int { RoundingConstants.byteCount + rounding.sumByteCount }

  /// Rounds. `y` may be `x`.
  public func run(
    _ x: UnsafeRawPointer, _ levels: TrainedLevels?, into y: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    guard let levels else { return y.copyMemory(from: x, byteCount: tensor.byteCount) }
    let operands = StreamPass.Operands(x).stream(1, y).sums(workspace + RoundingConstants.byteCount)
    rounding.run(RoundingConstants.operands(operands, levels, in: workspace), workers: workers)
  }

  /// Rounds with a range, and gives the one that follows. Where none is known it rounds with that. `y` may be `x`.
  public func runTracking(
    _ x: UnsafeRawPointer, _ range: TrackedRange, momentum: Float, into y: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) -> TrackedRange {
    let sums = workspace + RoundingConstants.byteCount
    func next(_ pass: StreamPass) -> TrackedRange {
      var lowest: Float = 0, highest: Float = 0
      for block in 0..<tensor.blocks {
        let least = pass.minimum(0, block: block, sums), most = pass.maximum(1, block: block, sums)
        for lane in 0..<min(16, tensor.channels - block * 16) {
          (lowest, highest) = (min(lowest, least[lane]), max(highest, most[lane]))
        }
      }
      return range.following(lowest: lowest, highest: highest, momentum: momentum)
    }
    if let levels = TrainedLevels(scale: range.scale, zeroPoint: range.zeroPoint) {
      run(x, levels, into: y, workspace: workspace, workers: workers)
      return next(rounding)
    }
    guard let measuring else { return range }
    measuring.run(StreamPass.Operands(x).sums(sums), workers: workers)
    let first = next(measuring)
    run(
      x, TrainedLevels(scale: first.scale, zeroPoint: first.zeroPoint), into: y, workspace: workspace,
      workers: workers)
    return first
  }
}

/// The gradient of `BlockedFakeQuantize`: of its input, and where it is learned of its scale.
public struct BlockedFakeQuantizeGradient: Sendable {
  private let tensor: BlockedTensor
  private let pass: StreamPass
  let learnsScale: Bool

  /// The gradient for a tensor of these sizes.
  public init(_ tensor: BlockedTensor, learnsScale: Bool, library: KernelLibrary) {
    (self.tensor, self.learnsScale) = (tensor, learnsScale)
    var program = StreamProgram(learnsScale ? "fake_quantize_gradients" : "fake_quantize_gradient")
    let constants = RoundingConstants(&program), dy = program.load(1)
    let (free, clipped) = constants.position(program.load(0), &program)
    if learnsScale {
      let level = program.subtract(program.round(clipped), constants.zero)
      let within = program.keep(program.subtract(free, constants.zero), whereEqual: free, clipped)
      program.sumProduct(program.subtract(level, within), dy, into: 0)
    }
    program.store(program.keep(dy, whereEqual: free, clipped), 2)
    pass = StreamPass(program, tensor, library: library)
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int { RoundingConstants.byteCount + pass.sumByteCount }

  /// Computes `dx`, which may be `dy` or `x`.
  /// - Returns: the gradient of the scale, where that is learned.
  public func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, _ levels: TrainedLevels?, into dx: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) -> Float {
    guard let levels else {
      dx.copyMemory(from: dy, byteCount: tensor.byteCount)
      return 0
    }
    let sums = workspace + RoundingConstants.byteCount
    let operands = StreamPass.Operands(x).stream(1, dy).stream(2, dx).sums(sums)
    pass.run(RoundingConstants.operands(operands, levels, in: workspace), workers: workers)
    guard learnsScale else { return 0 }
    var total = 0.0
    for block in 0..<tensor.blocks {
      let sum = pass.total(0, block: block, sums)
      for lane in 0..<min(16, tensor.channels - block * 16) { total += sum[lane] }
    }
    let sampleCount = tensor.height * tensor.width * tensor.channels
    return Float(total * Double(levels.gradientScale(count: sampleCount)))
  }
}
