import CNNCore
import Synchronization

/// Lets the host end a call that takes long, as an interpreter does at Ctrl-C.
public struct Interruption {
  /// Other than 0 ends the call in whose thread it is asked.
  public typealias Question = @convention(c) () -> Int32

  // The function's address; 0 for none.
  private static let question = Atomic<UInt>(0)

  /// What is asked from now on, at most twenty times a second; nil for nothing.
  public static func setQuestion(_ question: Question?) {
    self.question.store(question.map { UInt(bitPattern: unsafeBitCast($0, to: Int.self)) } ?? 0, ordering: .releasing)
  }

  private static let interval = 50_000_000
  private var lastAsked = monotonicNanoseconds()

  /// For a call that begins.
  public init() {}

  /// Asks, where it is time, between two parts of the call's work.
  /// - Throws: `.interrupted` where the call should end.
  public mutating func check() throws(CNNError) {
    let address = Self.question.load(ordering: .acquiring)
    if address == 0 { return }
    let now = monotonicNanoseconds()
    if now - lastAsked < Self.interval { return }
    lastAsked = now
    if unsafeBitCast(Int(bitPattern: address), to: Question.self)() != 0 {
      throw CNNError(.interrupted, "the call was interrupted")
    }
  }
}
