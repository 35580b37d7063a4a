/// How much memory a training step may take.
public enum TrainingMemory: Sendable, Equatable {
  /// What takes no more than a pass over memory is computed again in the backward pass, all else is kept.
  case normal
  /// Half of that, beside the gradients of parameters, or as near to it as can be: more is computed again.
  case low
  /// So many bytes for what layers make, gradients and scratch memory; parameters, and what an optimizer keeps of them, are
  /// not counted. As little as that takes is computed again.
  case atMost(byteCount: Int)
}
