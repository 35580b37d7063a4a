import Glibc
import Synchronization

/// A counting semaphore that starts at zero: one thread sleeps on it until another signals.
struct Semaphore: @unchecked Sendable {
  // The kernel knows the semaphore by its address, so it must not move. It lives as long as the process: a thread
  // may be waiting.
  private let handle: UnsafeMutablePointer<sem_t>

  init() {
    handle = .allocate(capacity: 1)
    handle.initialize(to: sem_t())
    sem_init(handle, 0, 0)
  }

  func signal() { sem_post(handle) }

  func wait() {
    while sem_wait(handle) != 0 {}  // interrupted by a signal handler
  }
}

/// Waits awake until `condition` holds, for about `nanoseconds` at the most; false if it still does not hold.
///
/// Waking a sleeping thread takes the system tens of microseconds, so it pays to look around for a while first.
@inline(__always)
func spin(nanoseconds: Int, until condition: () -> Bool) -> Bool {
  if condition() { return true }
  if nanoseconds <= 0 { return false }
  let deadline = monotonicNanoseconds() + nanoseconds
  repeat {
    for _ in 0..<32 {
      if condition() { return true }
      // Swift has no `pause`; a fence likewise leaves the core's resources to a thread that shares them.
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
  } while monotonicNanoseconds() < deadline
  return false
}

/// The time since an arbitrary moment that the system's date does not change.
public func monotonicNanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Counts the threads that are still at work on a job, and wakes the one that waits for them.
final class Completion: Sendable {
  // The number of threads at work, plus `sleeping` while the thread that waits for them sleeps.
  private let pending = Atomic<UInt32>(0)
  private static let sleeping: UInt32 = 1 << 31
  private let allDone = Semaphore()
  private let isAbandoned = Atomic<Bool>(false)

  /// Starts the count.
  func begin(_ threads: Int) { pending.store(UInt32(threads), ordering: .relaxed) }

  /// Counts one thread off; the job must not be touched after.
  func finishOne() {
    let left = pending.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    if left == Completion.sleeping { allDone.signal() }
  }

  /// Returns when every thread has been counted off, sleeping if that takes longer than `spinNanoseconds`.
  func wait(spinNanoseconds: Int) {
    if isAbandoned.load(ordering: .relaxed) { return }
    if spin(nanoseconds: spinNanoseconds, until: { pending.load(ordering: .acquiring) == 0 }) { return }
    let seen = pending.bitwiseOr(Completion.sleeping, ordering: .acquiringAndReleasing).oldValue
    if seen != 0 { allDone.wait() }
    pending.store(0, ordering: .sequentiallyConsistent)
  }

  /// Gives up on the threads still counted, for good: they do not exist any more.
  func abandon() { isAbandoned.store(true, ordering: .relaxed) }
}
