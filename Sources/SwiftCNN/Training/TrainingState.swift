import CNNCompiler
import CNNCore
import CNNGraph

/// A model's training so far: settings, optimizer, and where it is. Together with the parameters it decides every
/// further step to the bit, since all random numbers are functions of (seed, epoch, step).
final class TrainingState {
  let settings: TrainingSettings
  let optimizer: Optimizer
  /// Steps done in all.
  var step = 0
  /// The epoch that runs, and the batches of it that are done.
  var epoch = 0, batch = 0
  /// The schedule, with its length filled in by `fit`.
  var schedule: LearningRateSchedule
  /// A rate that the caller has set; it ends the schedule.
  var learningRate: Double?
  /// The memory of the last step, in which its gradients are.
  var lastStep: ExecutionContext?
  /// Weights of 1 for batches without weights of their own.
  private var ones: Memory?

  init(_ settings: TrainingSettings, parameters: ParameterStorage) throws(CNNError) {
    self.settings = settings
    schedule = settings.schedule
    optimizer = try Optimizer(settings.optimizer, parameters: parameters)
  }

  /// An independent copy for a copy of the parameters.
  func copy(for parameters: ParameterStorage) throws(CNNError) -> TrainingState {
    let copy = try TrainingState(settings, parameters: parameters)
    (copy.step, copy.epoch, copy.batch) = (step, epoch, batch)
    (copy.schedule, copy.learningRate) = (schedule, learningRate)
    for (new, old) in zip(copy.optimizer.state, optimizer.state) {
      for position in parameters.parameters.indices {
        _ = new.storage.values(at: position).update(fromContentsOf: old.storage.values(at: position))
      }
    }
    return copy
  }

  /// The learning rate of the next step.
  var nextRate: Double { learningRate ?? schedule.rate(at: step, base: settings.optimizer.learningRate) }

  /// `count` weights of 1.
  func unitWeights(_ count: Int) throws(CNNError) -> UnsafeRawPointer {
    if let ones, ones.byteCount >= count * 4 { return UnsafeRawPointer(ones.base) }
    let new = try Memory(count: count, of: .float32, for: "sample weights")
    new.floats.update(repeating: 1)
    ones = new
    return UnsafeRawPointer(new.base)
  }
}
