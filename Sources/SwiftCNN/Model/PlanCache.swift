import CNNCompiler
import CNNCore
import CNNGraph

/// The plans of one model and the memory they run in, kept from call to call.
final class PlanCache: Sendable {
  /// What a plan was made for.
  struct Key: Hashable {
    /// What the plan computes.
    enum Purpose: Hashable {
      case prediction(outputs: [String])
      case evaluation
      /// A step; with statistics that stand in training too, or not.
      case training(statisticsStand: Bool)
    }
    let purpose: Purpose
    let inputs: [TensorType]
    let threads: Int
    /// What it is to compute in; training does in float32.
    var precision = Precision.float32
    /// The masks for which the plan may skip zeros: the parameters' `maskVersion`. Training does not.
    var maskVersion = 0
  }

  private struct Entry: Sendable {
    let plan: Plan
    /// Contexts that no run is using.
    var idle: [ExecutionContext] = []
    var lastUse: Int
  }

  private struct ResultKey: Hashable {
    let sampleShapes: [[Int]]
    let output: String?
  }

  private struct Size: Hashable {
    let shapes: [[Int]]
    let threads: Int
  }

  private struct State: Sendable {
    var entries: [Key: Entry] = [:]
    var clock = 0
    /// How many images of a type, whatever its batch, are computed at once by a number of threads.
    var imagesPerPass: [Size: Int] = [:]
    /// The shape that a result has for one sample.
    var resultShapes: [ResultKey: [Int]] = [:]
  }

  private let state = Guarded { State() }
  /// Enough for a full and a last batch of each purpose, and some change of batch size.
  private static let capacity = 8

  /// Calls `body` with a context of the plan for `key`, made by `makePlan` where there is none.
  func withContext<Result>(
    _ key: Key, makePlan: () throws(CNNError) -> Plan, _ body: (ExecutionContext) throws(CNNError) -> Result
  ) throws(CNNError) -> Result {
    let (known, idle) = withState { state -> (Plan?, ExecutionContext?) in
      state.clock += 1
      guard state.entries[key] != nil else { return (nil, nil) }
      state.entries[key]?.lastUse = state.clock
      return (state.entries[key]?.plan, state.entries[key]?.idle.popLast())
    }
    let context: ExecutionContext
    if let idle {
      context = idle
    } else if let known {
      context = try makeContext(known)
    } else {
      context = try makeContext(makePlan())
    }
    defer { giveBack(context, key) }
    return try body(context)
  }

  /// Whether there is a plan for `key`.
  func hasPlan(_ key: Key) -> Bool { withState { $0.entries[key] != nil } }

  /// How many images of these sizes are computed at once, as `find` says where it is not known.
  func imagesPerPass(
    _ sampleShapes: [[Int]], threads: Int, find: () throws(CNNError) -> Int
  ) throws(CNNError) -> Int {
    let size = Size(shapes: sampleShapes, threads: threads)
    if let known = withState({ $0.imagesPerPass[size] }) { return known }
    let found = try find()
    withState { state in
      if state.imagesPerPass.count >= Self.capacity { state.imagesPerPass = [:] }
      state.imagesPerPass[size] = found
    }
    return found
  }

  /// The shape of a result for one sample, as `find` says where it is not known.
  func resultShape(_ sampleShapes: [[Int]], _ output: String?, find: () throws(CNNError) -> [Int]) throws(CNNError)
    -> [Int]
  {
    let key = ResultKey(sampleShapes: sampleShapes, output: output)
    if let known = withState({ $0.resultShapes[key] }) { return known }
    let found = try find()
    withState { state in
      // More than there are results: a caller asks for those of one size at a time.
      if state.resultShapes.count >= 64 { state.resultShapes = [:] }
      state.resultShapes[key] = found
    }
    return found
  }

  /// Memory for a plan; where there is none, the memory that other plans keep for their next run is given up for it.
  private func makeContext(_ plan: Plan) throws(CNNError) -> ExecutionContext {
    do throws(CNNError) {
      return try ExecutionContext(plan)
    } catch {
      guard error.code == .outOfMemory else { throw error }
      withState { state in for key in state.entries.keys { state.entries[key]?.idle = [] } }
      return try ExecutionContext(plan)
    }
  }

  private func giveBack(_ context: ExecutionContext, _ key: Key) {
    withState { state in
      var entry = state.entries[key] ?? Entry(plan: context.plan, lastUse: state.clock)
      // Another thread may have made the plan too; one is enough.
      if entry.plan === context.plan { entry.idle.append(context) }
      state.entries[key] = entry
      if state.entries.count > Self.capacity,
        let oldest = state.entries.filter({ $0.key != key }).min(by: { $0.value.lastUse < $1.value.lastUse })
      {
        state.entries[oldest.key] = nil
      }
    }
  }

  /// Forgets all plans: the network or its normalisation has changed.
  func removeAll() { withState { $0 = State(clock: $0.clock) } }

  private func withState<Result>(_ body: (inout State) -> Result) -> Result { state.withLock(body) }
}
