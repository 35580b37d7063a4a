import CNNCore
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
  /// The system's number for the thread; 0 before it runs, or if unknown.
  private let number = Atomic<Int32>(0)
  private let completion: Completion
  private var job: UnsafePointer<Job>?
  private var handle = pthread_t()

  /// The processor that the thread is confined to, if any.
  private(set) var processor: Int32?

  /// Starts thread number `index` (from 1; the calling thread is 0), or returns nil if the system refuses.
  static func start(index: Int, completion: Completion) -> PoolThread? {
    let thread = PoolThread(index: index, completion: completion)
    guard let handle = DetachedThread.start(named: "swiftcnn-\(index)", { thread.serve() }) else { return nil }
    thread.handle = handle
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
    number.store(AffinityCalls.shared.threadNumber, ordering: .relaxed)
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

  /// How long the thread has been ready to run and had to wait for a processor, in nanoseconds; nil if unknown.
  var waitingTime: Int? {
    let number = number.load(ordering: .relaxed)
    if number == 0 { return nil }
    // The time that it ran, that it waited, and how often it ran.
    let fields = readSystemFile("/proc/self/task/\(number)/schedstat").split(separator: " ")
    return fields.count >= 2 ? Int(fields[1]) : nil
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
