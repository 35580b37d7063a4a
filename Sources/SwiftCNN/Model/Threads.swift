import CNNCore
import CNNRuntime
import Synchronization

/// The threads that computations are divided over.
public enum Threads {
  /// What was set; 0 where nothing was.
  private static let chosen = Atomic(0)

  /// How many parts a computation is divided into: what was set, or the processors this process may use.
  public static var count: Int {
    let chosen = chosen.load(ordering: .relaxed)
    return chosen == 0 ? ThreadPool.defaultThreadCount : chosen
  }

  /// Sets the number of threads for computations from now on. The same number gives the same bits.
  /// - Throws: `.invalidArgument` unless it is 1 to 1024.
  public static func setCount(_ count: Int) throws(CNNError) {
    guard (1...1024).contains(count) else {
      throw CNNError(.invalidArgument, "the number of threads is \(count); expected 1 to 1024")
    }
    chosen.store(count, ordering: .relaxed)
  }

  /// Whether worker threads are bound to one processor each.
  public static var pins: Bool { ThreadPool.pinsWorkers }

  /// Says whether worker threads are bound to one processor each.
  public static func setPinning(_ pins: Bool) { ThreadPool.pinsWorkers = pins }

  /// Makes what a forked child could otherwise find half made; for a library that is being loaded.
  public static func prepareForForks() {
    Forks.watch()
    ThreadPool.watchForks()
  }
}
