import CNNCompiler
import CNNCore
import CNNGraph

/// A text and bytes that the caller keeps with a model's training, as what callbacks remember. They are not changed.
struct TrainingNotes {
  let text: String
  let data: Memory
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: data.base, count: data.byteCount) }
}

/// A model's training so far: settings, optimizer, and where it is. Together with the parameters it decides every
/// further step to the bit, since all random numbers are functions of the seed and a step.
final class TrainingState {
  let settings: TrainingSettings
  let optimizer: Optimizer
  /// Steps done in all.
  var step = 0
  /// The epoch that runs, and the batches of it that are done.
  var epoch = 0, batch = 0
  /// The step at which the epoch began.
  var epochStart = 0
  /// The loss and metrics over the epoch so far.
  var measures: Measures
  /// Those that were reported last: the epoch's, or of `trainOnBatch` that batch's.
  var reported: Measures
  /// The schedule, with its length filled in by `fit`, and the step at which it began.
  var schedule: LearningRateSchedule
  var scheduleStart = 0
  /// A rate that the caller has set; it ends the schedule.
  var learningRate: Double?
  /// The types of images of which it is known what they are.
  var judgedElements: Set<ElementType> = []
  /// What the caller keeps with it.
  var notes: TrainingNotes?
  /// The memory of the last step, in which its gradients are.
  var lastStep: ExecutionContext?
  /// Weights of 1 for batches without weights of their own.
  private var ones: Memory?

  init(_ settings: TrainingSettings, parameters: ParameterStorage) throws(CNNError) {
    self.settings = settings
    measures = Measures(settings)
    reported = measures
    schedule = settings.schedule
    optimizer = try Optimizer(settings.optimizer, parameters: parameters)
  }

  /// An independent copy for a copy of the parameters.
  func copy(for parameters: ParameterStorage) throws(CNNError) -> TrainingState {
    let copy = try TrainingState(settings, parameters: parameters)
    (copy.step, copy.epoch, copy.batch) = (step, epoch, batch)
    copy.epochStart = epochStart
    copy.measures = try measures.copy()
    copy.reported = copy.measures
    (copy.schedule, copy.scheduleStart, copy.learningRate) = (schedule, scheduleStart, learningRate)
    copy.optimizer.isExchanged = optimizer.isExchanged
    copy.notes = notes
    for (new, old) in zip(copy.optimizer.state, optimizer.state) {
      for position in parameters.parameters.indices {
        _ = new.storage.values(at: position).update(fromContentsOf: old.storage.values(at: position))
      }
    }
    return copy
  }

  /// The learning rate of the next step.
  var nextRate: Double {
    learningRate ?? schedule.rate(at: step - scheduleStart, base: settings.optimizer.learningRate)
  }

  /// Throws where the schedule's length is still open: `fit` fills it in.
  func requireSchedule() throws(CNNError) {
    guard learningRate == nil, schedule.isOpen else { return }
    throw CNNError(
      .invalidState,
      "the schedule has no '\(option: "total_steps")'; give it, or train with fit, which has to know the steps of an epoch"
    )
  }

  /// Gives a schedule that was left open the length of a training run that begins now.
  func beginSchedule(steps: Int, resumes: Bool) {
    guard settings.schedule.isOpen, !resumes || schedule.isOpen else { return }
    schedule = settings.schedule.over(steps: steps)
    scheduleStart = step
  }

  /// Says that the next step is the first of an epoch.
  func beginEpoch() {
    epochStart = step
    measures.reset()
    reported = measures
  }

  /// The results over the epoch so far; none before its first batch.
  var epochResults: TrainingResults {
    measures.isEmpty ? TrainingResults() : TrainingResults(settings.resultNames, measures.results)
  }

  /// `count` weights of 1.
  func unitWeights(_ count: Int) throws(CNNError) -> UnsafeRawPointer {
    if let ones, ones.byteCount >= count * 4 { return UnsafeRawPointer(ones.base) }
    let new = try Memory(count: count, of: .float32, for: "sample weights")
    new.floats.update(repeating: 1)
    ones = new
    return UnsafeRawPointer(new.base)
  }
}
