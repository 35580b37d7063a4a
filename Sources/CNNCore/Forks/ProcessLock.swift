import Glibc

/// A lock that no other thread holds while the process is forked, so that a child finds what it guards whole.
///
/// For a moment's work: `fork` waits for it. Nothing may be locked inside, and no library loaded. One that was made stays
/// for the rest of the process's life.
public final class ProcessLock: Sendable {
  // Of pthread's kind, which the thread sanitizer sees. `Synchronization.Mutex` knows its owner by a thread's number, which
  // is another one in a child.
  fileprivate nonisolated(unsafe) let mutex: UnsafeMutablePointer<pthread_mutex_t>

  /// A lock that nobody holds.
  public init() {
    mutex = newMutex()
    Forks.watch()
    ProcessLock.all.add(self)
  }

  /// Calls `body` while no other thread is inside.
  public func withLock<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  static let all = Register()

  /// All locks of the kind.
  ///
  /// Unchecked because the list is touched under its mutex only.
  final class Register: @unchecked Sendable {
    private let mutex = newMutex()
    private var locks: [ProcessLock] = []

    func add(_ lock: ProcessLock) {
      pthread_mutex_lock(mutex)
      locks.append(lock)
      pthread_mutex_unlock(mutex)
    }

    func takeForFork() {
      pthread_mutex_lock(mutex)
      for lock in locks { pthread_mutex_lock(lock.mutex) }
    }

    func giveBack() {
      for lock in locks { pthread_mutex_unlock(lock.mutex) }
      pthread_mutex_unlock(mutex)
    }

    /// In a child: threads of the parent that waited for a lock are not there, but may have left a mark in it.
    func renew() {
      for lock in locks { pthread_mutex_init(lock.mutex, nil) }
      pthread_mutex_init(mutex, nil)
    }
  }
}

private func newMutex() -> UnsafeMutablePointer<pthread_mutex_t> {
  let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)  // Of constant size.
  mutex.initialize(to: pthread_mutex_t())
  pthread_mutex_init(mutex, nil)
  return mutex
}
