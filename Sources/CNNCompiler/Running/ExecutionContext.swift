import CNNCore
import CNNGraph
import CNNRuntime

/// The memory one run of a plan works in. Used by one thread at a time.
public final class ExecutionContext: @unchecked Sendable {
  /// The plan that runs here.
  public let plan: Plan
  /// Internal so that tests can fill it with NaN: no kernel may read what no kernel wrote.
  let arena: Memory
  private let prepared: Memory
  private var preparedVersion = 0
  private var preparedStorage: ObjectIdentifier?
  private let bases: Memory

  /// Reserves the memory for running `plan`.
  public init(_ plan: Plan) throws(CNNError) {
    self.plan = plan
    arena = try Memory(byteCount: plan.arenaByteCount, for: "activations")
    prepared = try Memory(byteCount: plan.preparedByteCount, for: "prepared weights")
    let count = Slot.firstInput + plan.graph.inputs.count + plan.graph.parameters.count
    bases = try Memory(byteCount: count * MemoryLayout<UnsafeMutableRawPointer>.stride, for: "base addresses")
    let table = bases.base.bindMemory(to: UnsafeMutableRawPointer.self, capacity: count)
    // Whatever is not given yet points at valid memory.
    for index in 0..<count { table[index] = arena.base }
    table[Slot.prepared] = prepared.base
  }

  /// Runs the plan.
  /// - Parameters:
  ///   - parameters: as the plan's graph has them, in the same order.
  ///   - inputs: one address for each input of the graph, with as many bytes as its type says.
  ///   - randomness: which numbers dropout and stochastic depth draw.
  public func run(
    parameters: ParameterStorage, inputs: [UnsafeRawPointer], randomness: Randomness = .none
  ) throws(CNNError) {
    guard inputs.count == plan.graph.inputs.count else {
      throw CNNError(.internalFault, "\(inputs.count) inputs given; the plan has \(plan.graph.inputs.count)")
    }
    guard parameters.tensors.count == plan.graph.parameters.count else {
      throw CNNError(
        .internalFault, "\(parameters.tensors.count) parameters given; the plan has \(plan.graph.parameters.count)")
    }
    let table = bases.base.assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    for (index, input) in inputs.enumerated() {
      // Kernels only read from input slots.
      table[Slot.firstInput + index] = UnsafeMutableRawPointer(mutating: input)
    }
    let firstParameter = Slot.firstInput + inputs.count
    for (index, tensor) in parameters.tensors.enumerated() {
      if let base = tensor.values.baseAddress { table[firstParameter + index] = UnsafeMutableRawPointer(base) }
    }
    if plan.usesOpenBLAS { OpenBLAS.enterSingleThread() }
    defer { if plan.usesOpenBLAS { OpenBLAS.leaveSingleThread() } }
    let version = parameters.version(of: plan.preparedParameters)
    if preparedVersion != version || preparedStorage != ObjectIdentifier(parameters) {
      run(plan.preparation[...], table, randomness)
      (preparedVersion, preparedStorage) = (version, ObjectIdentifier(parameters))
    }
    run(plan.steps[...], table, randomness)
  }

  /// When one step of a run was computed, by `monotonicNanoseconds`.
  public struct StepTime: Sendable, Equatable {
    /// From the call of the kernel to its end.
    public let start, end: Int
    /// When each of the workers was at work.
    public let stretches: [WorkRecorder.Stretch]
  }

  /// Times the steps of several runs, whose names and costs are `plan.stepCosts`: calls `note` with those of each run.
  ///
  /// As `run`, which it calls first, so that everything is prepared.
  public func measure(
    parameters: ParameterStorage, inputs: [UnsafeRawPointer], repeats: Int, note: ([StepTime]) -> Void
  ) throws(CNNError) {
    try run(parameters: parameters, inputs: inputs)
    if plan.usesOpenBLAS { OpenBLAS.enterSingleThread() }
    defer { if plan.usesOpenBLAS { OpenBLAS.leaveSingleThread() } }
    let table = bases.base.assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    let recorder = WorkRecorder(plan.workers)
    let workers = plan.workers.recorded(by: recorder)
    var times: [StepTime] = []
    var interruption = Interruption()
    for _ in 0..<repeats {
      try interruption.check()
      times.removeAll(keepingCapacity: true)
      for step in plan.steps {
        let start = monotonicNanoseconds()
        step.kernel(StepArguments(step: step, bases: table, workers: workers, randomness: .none))
        let end = monotonicNanoseconds()
        times.append(StepTime(start: start, end: end, stretches: recorder.take()))
      }
      note(times)
    }
    withExtendedLifetime(recorder) {}
  }

  /// Runs the steps of the last run once more and calls `body` after each, with what finds the memory of a slot.
  func forEachStep(_ randomness: Randomness, _ body: (Step, (Slot) -> UnsafeRawPointer) -> Void) {
    if plan.usesOpenBLAS { OpenBLAS.enterSingleThread() }
    defer { if plan.usesOpenBLAS { OpenBLAS.leaveSingleThread() } }
    let table = bases.base.assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    for step in plan.steps {
      step.kernel(StepArguments(step: step, bases: table, workers: plan.workers, randomness: randomness))
      body(step) { UnsafeRawPointer(table[$0.region] + $0.offset) }
    }
  }

  /// Gives parameters (running statistics, say) the values that the last run computed for them.
  public func applyUpdates(to parameters: ParameterStorage) {
    if plan.updates.isEmpty { return }
    let table = bases.base.assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    // Each is a copy; of a few the time is less than that of asking for help.
    plan.workers.forEachRange(of: plan.updates.count, grain: 16) { range, _ in
      run(plan.updates[range], table, .none)
    }
    for update in plan.graph.updates { parameters.markChanged(at: update.parameter) }
  }

  private func run(
    _ steps: ArraySlice<Step>, _ table: UnsafeMutablePointer<UnsafeMutableRawPointer>, _ randomness: Randomness
  ) {
    for step in steps {
      step.kernel(StepArguments(step: step, bases: table, workers: plan.workers, randomness: randomness))
    }
  }

  /// The gradients that the last run computed, each with the position of its parameter.
  public var gradients: [(position: Int, values: UnsafeBufferPointer<Float>)] {
    plan.gradientOutputs.map { ($0.position, output($0.output)) }
  }

  /// The values of an output after a run, until the next one.
  public func output(_ index: Int) -> UnsafeBufferPointer<Float> {
    let slot = plan.outputSlots[index]
    let type = plan.graph.type(of: plan.graph.outputs[index].value)
    let table = bases.base.assumingMemoryBound(to: UnsafeMutableRawPointer.self)
    return UnsafeBufferPointer(
      start: (table[slot.region] + slot.offset).assumingMemoryBound(to: Float.self), count: type.count)
  }
}
