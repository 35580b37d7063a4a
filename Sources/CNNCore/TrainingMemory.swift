/// How much memory a training step may take.
public enum TrainingMemory: String, Sendable, CaseIterable {
  /// What takes no more than a pass over memory is computed again in the backward pass, all else is kept.
  case normal
  /// Little more than the results of some blocks is kept, and all between them is computed again: about a third more work.
  case low
}
