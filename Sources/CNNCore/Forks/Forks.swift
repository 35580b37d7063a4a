import Glibc
import Synchronization

/// What forked processes need.
///
/// A child has the thread that called `fork` and the memory of all threads: a lock that another one held is never given
/// back there, and what it guards may be half changed. So every lock of the library is one of these:
///
/// - `ProcessLock`, for a moment's work on what must be whole: a fork waits until it is free.
/// - `Guarded` and `Lazy`, for what can be made anew, and is in a child that finds it half changed.
/// - `ReadWriteLock`, for work that may take long: a child forgets who held it. What another thread was reading is as good
///   there as before; what it was changing gives an error.
public enum Forks {
  private static let count = Atomic<Int>(1)

  /// Another number in each process of a line of forks, never 0.
  static var generation: Int { count.load(ordering: .acquiring) }

  /// Sees to it that forks are noted from now on. The C library begins when it is loaded, before it has threads.
  public static func watch() { _ = isWatching }

  private static let isWatching: Bool =
    pthread_atfork(
      { ProcessLock.all.takeForFork() },
      { ProcessLock.all.giveBack() },
      {
        Forks.count.add(1, ordering: .acquiringAndReleasing)
        ProcessLock.all.renew()
      }) == 0
}
