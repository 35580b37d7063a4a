import CNNKernels
import CNNRuntime

/// How this process computes.
public enum Computing {
  /// Why computations are many times slower in this process than they could be, and what to do; nil where they are not, or
  /// nothing was computed yet.
  public static var slowReason: StaticString? { KernelLibrary.refusal }

  /// What predictions, evaluations and profiles ask between two parts of their work, in the thread of the call and at most
  /// twenty times a second: other than 0 ends them with the error `.interrupted`.
  public static func setInterruption(_ question: (@convention(c) () -> Int32)?) { Interruption.setQuestion(question) }
}
