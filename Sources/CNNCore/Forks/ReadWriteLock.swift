import Glibc
import Synchronization

/// Many readers or one writer.
///
/// A forked child forgets the threads of its parent that held it, the first time that it meets the lock.
public final class ReadWriteLock: @unchecked Sendable {
  private static let made = Atomic(0)

  /// Counts the locks, for the order in which several are taken.
  fileprivate let number = ReadWriteLock.made.wrappingAdd(1, ordering: .relaxed).newValue
  /// What is guarded, for messages.
  fileprivate let subject: String
  private let lock: UnsafeMutablePointer<pthread_rwlock_t>
  /// The process that `lock` is fit for, by `Forks.generation`; negative while a thread makes it so.
  private let process: Atomic<Int>
  /// Whether a thread is writing.
  private var isWriting = false
  /// Whether a thread of another process was when this one was forked.
  fileprivate private(set) var isInterrupted = false

  /// A lock that nobody holds.
  /// - Parameter subject: what is guarded, for messages.
  public init(of subject: String = "the object") {
    self.subject = subject
    Forks.watch()
    process = Atomic(Forks.generation)
    lock = .allocate(capacity: 1)  // Of constant size.
    initialize()
  }

  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }

  private func initialize() {
    lock.initialize(to: pthread_rwlock_t())
    var attributes = pthread_rwlockattr_t()
    pthread_rwlockattr_init(&attributes)
    // A training loop must not wait for ever behind threads that predict without a pause.
    pthread_rwlockattr_setkind_np(&attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
    pthread_rwlock_init(lock, &attributes)
    pthread_rwlockattr_destroy(&attributes)
  }

  /// In a child, for the first thread that comes here; others wait until the lock is fit.
  private func adopt() {
    let here = Forks.generation
    var seen = process.load(ordering: .acquiring)
    while seen != here {
      if seen == -here {
        sched_yield()
        seen = process.load(ordering: .acquiring)
        continue
      }
      let (exchanged, original) = process.compareExchange(
        expected: seen, desired: -here, ordering: .acquiringAndReleasing)
      seen = original
      guard exchanged else { continue }
      if isWriting { (isWriting, isInterrupted) = (false, true) }
      initialize()
      process.store(here, ordering: .releasing)
      return
    }
  }

  func beginReading() {
    adopt()
    pthread_rwlock_rdlock(lock)
  }

  func endReading() { pthread_rwlock_unlock(lock) }

  /// - Parameter changes: whether what is guarded may be half changed until `endWriting`.
  func beginWriting(changes: Bool = true) {
    adopt()
    pthread_rwlock_wrlock(lock)
    isWriting = changes
  }

  func endWriting() {
    isWriting = false
    pthread_rwlock_unlock(lock)
  }

  /// Whether a writer was interrupted by a fork, for one who writes now and sees to it; false from then on.
  func takeInterruption() -> Bool {
    defer { isInterrupted = false }
    return isInterrupted
  }

  /// Throws where what is guarded may be half changed: a thread was writing when this process was forked.
  fileprivate func requireWhole() throws(CNNError) {
    adopt()
    guard isInterrupted else { return }
    throw CNNError(
      .invalidState,
      "another thread was changing \(subject) when this process was forked, so that it is not whole here; make or load "
        + "another one in this process")
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

  /// A lock of its own, of what messages call `subject`.
  public init(of subject: String) { self.init([ReadWriteLock(of: subject)]) }

  /// The locks of both.
  public func union(_ other: LockSet) -> LockSet { LockSet(locks + other.locks) }

  /// Throws in a process that was forked while another thread was writing: what is guarded may be half changed.
  /// - Throws: `.invalidState` naming what is guarded.
  public func requireWhole() throws(CNNError) {
    for lock in locks { try lock.requireWhole() }
  }

  /// Calls `body` while nobody writes.
  public func reading<Result>(_ body: () -> Result) -> Result {
    for lock in locks { lock.beginReading() }
    defer { for lock in locks { lock.endReading() } }
    return body()
  }

  /// Calls `body` while nobody else reads or writes.
  public func writing<Result>(_ body: () -> Result) -> Result {
    for lock in locks { lock.beginWriting() }
    defer { for lock in locks { lock.endWriting() } }
    return body()
  }

  /// Calls `body` while nobody else reads or writes, although it changes nothing.
  /// - Throws: as `requireWhole`, and what `body` throws.
  public func alone<Result>(_ body: () throws(CNNError) -> Result) throws(CNNError) -> Result {
    try requireWhole()
    for lock in locks { lock.beginWriting(changes: false) }
    defer { for lock in locks { lock.endWriting() } }
    return try body()
  }

  /// Calls `body` while nobody writes.
  /// - Throws: as `requireWhole`, and what `body` throws.
  public func reading<Result>(_ body: () throws(CNNError) -> Result) throws(CNNError) -> Result {
    try requireWhole()
    for lock in locks { lock.beginReading() }
    defer { for lock in locks { lock.endReading() } }
    return try body()
  }

  /// Calls `body` while nobody else reads or writes.
  /// - Throws: as `requireWhole`, and what `body` throws.
  public func writing<Result>(_ body: () throws(CNNError) -> Result) throws(CNNError) -> Result {
    try requireWhole()
    for lock in locks { lock.beginWriting() }
    defer { for lock in locks { lock.endWriting() } }
    return try body()
  }
}
