import Glibc
import Synchronization

/// The one thing that is handed from thread to thread: a closure and how its parts are dealt out.
///
/// Unchecked because the closure is not `@Sendable` (it captures pointers): whoever writes the body of a parallel
/// step sees to it that its parts touch different memory. It lives on the stack of the thread that runs the job,
/// which does not leave before every other thread is done with it.
struct Job: @unchecked Sendable {
  let body: (_ part: Int) -> Void
  /// The number of parts.
  let partCount: Int
  /// The number of threads: thread `t` runs the parts t, t + threadCount, t + 2 * threadCount...
  let threadCount: Int
  /// How long a thread waits awake for the next job.
  let spinNanoseconds: Int

  func run(asThread thread: Int) {
    for part in stride(from: thread, to: partCount, by: threadCount) { body(part) }
  }
}

/// A thread that waits for jobs for the rest of the process's life.
///
/// Unchecked because `job` and `processor` are plain variables: `state` says whose turn it is to touch `job`, and
/// `processor` is the pool's alone.
final class PoolThread: @unchecked Sendable {
  /// No job; the thread looks at `state` again and again.
  private static let idle: UInt32 = 0
  /// No job; the thread sleeps, or is about to.
  private static let asleep: UInt32 = 1
  /// There is a job that nobody has started.
  private static let offered: UInt32 = 2

  private let state = Atomic<UInt32>(PoolThread.idle)
  private let wakeUp = Semaphore()
  private let index: Int
  private let completion: Completion
  private var job: UnsafePointer<Job>?
  private var handle = pthread_t()

  /// The processor that the thread is confined to, if any.
  private(set) var processor: Int32?

  /// Starts thread number `index` (from 1; the calling thread is 0), or returns nil if the system refuses.
  static func start(index: Int, completion: Completion) -> PoolThread? {
    let thread = PoolThread(index: index, completion: completion)
    var attributes = pthread_attr_t()
    guard pthread_attr_init(&attributes) == 0 else { return nil }
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 1 << 20)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))

    // A new thread inherits the mask of its creator. Signals such as Ctrl-C are for the host's threads; faults are
    // not blocked, so that a host's crash reporter still sees them.
    var blocked = sigset_t(), before = sigset_t()
    sigfillset(&blocked)
    for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&blocked, fault) }
    pthread_sigmask(SIG_SETMASK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

    let reference = Unmanaged.passRetained(thread)
    let status = pthread_create(
      &thread.handle, &attributes,
      { context in
        if let context { Unmanaged<PoolThread>.fromOpaque(context).takeRetainedValue().serve() }
        return nil
      }, reference.toOpaque())
    guard status == 0 else {
      reference.release()
      return nil
    }
    _ = AffinityCalls.shared.setThreadName?(thread.handle, "swiftcnn-\(index)")
    return thread
  }

  private init(index: Int, completion: Completion) {
    self.index = index
    self.completion = completion
  }

  /// Hands the thread a job. The previous one must be finished or withdrawn.
  func offer(_ job: UnsafePointer<Job>) {
    self.job = job
    let before = state.exchange(PoolThread.offered, ordering: .acquiringAndReleasing)
    if before == PoolThread.asleep { wakeUp.signal() }
  }

  /// Takes the job back if the thread has not started it; then it never will.
  func withdraw() -> Bool { takeOffer() }

  private func takeOffer() -> Bool {
    state.compareExchange(expected: PoolThread.offered, desired: PoolThread.idle, ordering: .acquiringAndReleasing)
      .exchanged
  }

  private func serve() {
    var spinNanoseconds = 0
    while true {
      let offered = spin(nanoseconds: spinNanoseconds) { state.load(ordering: .relaxed) == PoolThread.offered }
      if !offered,
        state.compareExchange(
          expected: PoolThread.idle, desired: PoolThread.asleep, ordering: .acquiringAndReleasing
        ).exchanged
      {
        wakeUp.wait()
      }
      // A job that was withdrawn while the thread woke up is gone.
      if takeOffer(), let job {
        spinNanoseconds = job.pointee.spinNanoseconds
        job.pointee.run(asThread: index)
        completion.finishOne()
      }
    }
  }

  /// Confines the thread to one processor.
  func pin(to processor: Int32) {
    AffinityCalls.shared.confine(handle, to: CollectionOfOne(processor))
    self.processor = processor
  }

  /// Lets the thread run on any of `processors`.
  func unpin(among processors: [Int32]) {
    AffinityCalls.shared.confine(handle, to: processors)
    processor = nil
  }
}
