import Glibc
import Synchronization

/// Many readers or one writer.
public final class ReadWriteLock: @unchecked Sendable {
  private static let made = Atomic(0)

  /// Counts the locks, for the order in which several are taken.
  fileprivate let number = ReadWriteLock.made.wrappingAdd(1, ordering: .relaxed).newValue
  fileprivate let lock: UnsafeMutablePointer<pthread_rwlock_t>

  /// A lock that nobody holds.
  public init() {
    lock = .allocate(capacity: 1)  // Of constant size.
    var attributes = pthread_rwlockattr_t()
    pthread_rwlockattr_init(&attributes)
    // A training loop must not wait for ever behind threads that predict without a pause.
    pthread_rwlockattr_setkind_np(&attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
    pthread_rwlock_init(lock, &attributes)
    pthread_rwlockattr_destroy(&attributes)
  }

  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }
}

/// Several locks taken as one, always in the order of their making, so that nobody waits in a circle.
public struct LockSet: Sendable {
  private let locks: [ReadWriteLock]

  /// All of `locks`, each once.
  public init(_ locks: [ReadWriteLock]) {
    var sorted: [ReadWriteLock] = []
    for lock in locks.sorted(by: { $0.number < $1.number }) where sorted.last !== lock { sorted.append(lock) }
    self.locks = sorted
  }

  /// The locks of both.
  public func union(_ other: LockSet) -> LockSet { LockSet(locks + other.locks) }

  /// Calls `body` while nobody writes.
  public func reading<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    for lock in locks { pthread_rwlock_rdlock(lock.lock) }
    defer { for lock in locks { pthread_rwlock_unlock(lock.lock) } }
    return try body()
  }

  /// Calls `body` while nobody else reads or writes.
  public func writing<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    for lock in locks { pthread_rwlock_wrlock(lock.lock) }
    defer { for lock in locks { pthread_rwlock_unlock(lock.lock) } }
    return try body()
  }
}
