import CNNCore
import Glibc
import Synchronization

/// The threads that every plan of the process shares.
///
/// A job is divided into parts by its caller; the pool only decides which thread runs which part, so the result does
/// not depend on what the pool is doing. The calling thread takes part in the work, takes over what no other thread
/// has started, and does all of it alone when the pool is at work for somebody else: a thread that already runs a part
/// may start a job of its own, and a slow or missing thread never holds up a job that it has not begun.
///
/// Unchecked because the plain variables belong to the thread that holds `isBusy`.
public final class ThreadPool: @unchecked Sendable {
  /// How many threads are used where nobody says otherwise: the processors in the process's affinity mask, or fewer
  /// where a control group grants less processor time.
  public static var defaultThreadCount: Int { shared.processorSet.usableCount }

  /// Whether each thread of the pool is confined to one processor, away from the calling thread's. On by default,
  /// unless the environment has `SWIFTCNN_PIN=0`; may be changed at any time.
  ///
  /// On some virtual machines a sleeping thread wakes on the processor of the thread that woke it, and the two then
  /// take turns. Where other processes compete for the processors, threads are let go for a while (see `PinningRule`).
  public static var pinsWorkers: Bool {
    get { pinning.load(ordering: .relaxed) }
    set { pinning.store(newValue, ordering: .relaxed) }
  }

  private static let pinning = Atomic<Bool>(EnvironmentVariable("SWIFTCNN_PIN").isOn(byDefault: true))

  // MARK: - The pool of the process

  private static let current = Atomic<Unmanaged<ThreadPool>?>(nil)

  /// The pool of this process; a forked child gets one of its own.
  static var shared: ThreadPool {
    if let pool = current.load(ordering: .acquiring) { return pool.takeUnretainedValue() }
    watchForks()
    let created = Unmanaged.passRetained(ThreadPool(processorSet: .ofThisProcess()))
    let (published, existing) = current.compareExchange(
      expected: nil, desired: created, ordering: .acquiringAndReleasing)
    if published { return created.takeUnretainedValue() }
    let unneeded = created.takeRetainedValue()
    return existing?.takeUnretainedValue() ?? unneeded
  }

  /// A forked child has only the thread that called `fork`, and the pool's memory as it was at that moment, perhaps in
  /// the middle of a job. So the child leaves that pool alone, in memory, and makes a new one when it needs it.
  public static func watchForks() { _ = watchesForks }

  private static let watchesForks: Bool =
    pthread_atfork(
      nil, nil,
      {
        let pool = ThreadPool.current.exchange(nil, ordering: .acquiringAndReleasing)
        // Only where `fork` was called inside a job: what its other threads had begun is lost, but nobody waits for it.
        pool?.takeUnretainedValue().completion.abandon()
      }) == 0

  // MARK: - One pool

  private let processorSet: ProcessorSet
  private let isBusy = Atomic<Bool>(false)
  private let completion = Completion()
  private var threads: [PoolThread] = []
  private var runsBeforeNextStart = 0
  // Where the calling thread was when the threads were last placed; nil if they must be placed anew.
  private var placement: Int32?
  private static let unpinned: Int32 = -1
  private var pinningRule = PinningRule()

  init(processorSet: ProcessorSet) { self.processorSet = processorSet }

  /// Calls `body(part)` once for every part in `0..<partCount` and returns when all are done.
  ///
  /// No more threads are used than there are processors: further parts are dealt out to the same threads in turn.
  func run(partCount: Int, _ body: (_ part: Int) -> Void) {
    let wanted = min(partCount, processorSet.processors.count)
    guard wanted > 1, acquire() else {
      for part in 0..<max(0, partCount) { body(part) }
      return
    }
    defer { isBusy.store(false, ordering: .releasing) }
    let threadCount = startThreads(wanted)
    placeThreads()
    // Threads that outnumber the processors must not keep each other waiting awake.
    let spins = threadCount <= processorSet.usableCount
    withoutActuallyEscaping(body) { body in
      let job = Job(
        body: body, partCount: partCount, threadCount: threadCount,
        spinNanoseconds: spins ? ThreadPool.threadSpinNanoseconds : 0)
      withUnsafePointer(to: job) { job in
        let others = threads[..<(threadCount - 1)]
        completion.begin(others.count)
        for thread in others { thread.offer(job) }
        job.pointee.run(asThread: 0)
        for (index, thread) in others.enumerated() where thread.withdraw() {
          job.pointee.run(asThread: index + 1)
          completion.finishOne()
        }
        completion.wait(spinNanoseconds: spins ? ThreadPool.callerSpinNanoseconds : 0)
      }
    }
  }

  // Long enough to bridge the serial stretches of a plan, short enough to cost nothing in between two predictions.
  private static let threadSpinNanoseconds = 100_000
  // The caller has nothing else to do, and where it wakes up is not its choice (see `pinsWorkers`).
  private static let callerSpinNanoseconds = 1_000_000

  private func acquire() -> Bool {
    isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
  }

  /// Sees to it that there are `wanted` threads, the calling one included, and returns how many there are.
  private func startThreads(_ wanted: Int) -> Int {
    if threads.count + 1 >= wanted { return wanted }
    if runsBeforeNextStart > 0 {
      runsBeforeNextStart -= 1
      return threads.count + 1
    }
    while threads.count + 1 < wanted {
      guard let thread = PoolThread.start(index: threads.count + 1, completion: completion) else {
        // The system is out of threads: do without for a while.
        runsBeforeNextStart = 1000
        break
      }
      threads.append(thread)
      placement = nil
    }
    return min(wanted, threads.count + 1)
  }

  /// Keeps the pool's threads on processors of their own, away from the one that the calling thread is on now.
  ///
  /// The calling thread is its owner's, so it is never pinned; if it has moved, the pool's thread there makes room.
  private func placeThreads() {
    let pins = ThreadPool.pinsWorkers && pinningRule.allowsPinning(at: monotonicNanoseconds(), waited: meanWaitingTime)
    let here = pins ? AffinityCalls.shared.currentProcessor : ThreadPool.unpinned
    if here == placement { return }
    placement = here
    if here == ThreadPool.unpinned {
      for thread in threads where thread.processor != nil { thread.unpin(among: processorSet.processors) }
      return
    }
    for thread in threads where thread.processor == nil || thread.processor == here {
      let free = processorSet.processors.first { candidate in
        candidate != here && !threads.contains { $0.processor == candidate }
      }
      if let free { thread.pin(to: free) }
    }
  }

  /// How long a thread of the pool has waited for its processor so far, on average.
  private func meanWaitingTime() -> Int? {
    var sum = 0
    for thread in threads {
      guard let time = thread.waitingTime else { return nil }
      sum += time
    }
    return sum / max(1, threads.count)
  }
}
