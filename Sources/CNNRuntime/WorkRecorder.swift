/// When each worker of a team was at work, for profiles.
///
/// Unchecked because the threads write at the same time: each worker has a list of its own, and whoever reads them does
/// so between two pieces of work.
public final class WorkRecorder: @unchecked Sendable {
  /// A stretch of time in which a worker was at work, in nanoseconds.
  public struct Stretch: Sendable, Equatable {
    /// Which worker, from 0.
    public let worker: Int
    /// By `monotonicNanoseconds`.
    public let start, end: Int
  }

  private let lists: UnsafeMutableBufferPointer<[Stretch]>

  /// A recorder for a team of this size.
  public init(_ workers: Workers) {
    lists = .allocate(capacity: workers.count)
    lists.initialize(repeating: [])
  }

  deinit {
    lists.deinitialize()
    lists.deallocate()
  }

  func note(worker: Int, start: Int, end: Int) {
    // No schedule has more parts than workers; one that had would write two lists at once.
    guard lists.indices.contains(worker) else { return }
    lists[worker].append(Stretch(worker: worker, start: start, end: end))
  }

  /// What was noted since the last call.
  public func take() -> [Stretch] {
    let result = lists.flatMap { $0 }
    for index in lists.indices { lists[index].removeAll(keepingCapacity: true) }
    return result
  }
}
