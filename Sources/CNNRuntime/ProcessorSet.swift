import CNNCore
import Glibc

/// The processors that a process may use, in the order of their numbers.
struct ProcessorSet {
  /// The numbers of the processors in the affinity mask; never empty.
  let processors: [Int32]
  /// How many threads can really run at once: the size of the mask, or the control group's quota if that is less.
  let usableCount: Int

  /// The set of this process, read from the system now.
  static func ofThisProcess() -> ProcessorSet {
    var processors = affinityMask()
    if processors.isEmpty {
      processors = Array(0..<Int32(clamping: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    }
    let quota = ControlGroup.processorQuota() ?? processors.count
    return ProcessorSet(processors: processors, usableCount: max(1, min(processors.count, quota)))
  }

  /// The affinity mask of the main thread, which is the one that `taskset` and containers set.
  private static func affinityMask() -> [Int32] {
    guard let getAffinity = AffinityCalls.shared.getAffinity else { return [] }
    var mask = AffinityMask()
    let byteCount = mask.byteCount
    let status = mask.withPointer { getAffinity(getpid(), byteCount, $0) }
    return status == 0 ? mask.members : []
  }
}

/// A processor mask with room for 16,384 processors; the C library's own stops at 1,024 and the call then fails.
struct AffinityMask {
  // Inline, so that moving a thread allocates nothing.
  private var words = InlineArray<256, UInt64>(repeating: 0)

  /// A mask without members.
  init() {}

  /// A mask of `members`; numbers out of range are left out.
  init(_ members: some Sequence<Int32>) {
    for member in members where member >= 0 && Int(member) < words.count * 64 {
      words[Int(member) / 64] |= 1 << UInt64(member % 64)
    }
  }

  var members: [Int32] {
    (0..<Int32(words.count * 64)).filter { words[Int($0) / 64] >> UInt64($0 % 64) & 1 == 1 }
  }

  var byteCount: Int { words.count * 8 }

  mutating func withPointer<Result>(_ body: (UnsafeMutableRawPointer?) -> Result) -> Result {
    withUnsafeMutableBytes(of: &words) { body($0.baseAddress) }
  }
}

/// The affinity calls of the C library, which Swift's `Glibc` module leaves out because they are GNU extensions.
struct AffinityCalls: Sendable {
  typealias GetProcessor = @convention(c) () -> Int32
  typealias GetThreadNumber = @convention(c) () -> pid_t
  typealias GetAffinity = @convention(c) (pid_t, Int, UnsafeMutableRawPointer?) -> Int32
  typealias SetThreadAffinity = @convention(c) (pthread_t, Int, UnsafeMutableRawPointer?) -> Int32
  typealias SetThreadName = @convention(c) (pthread_t, UnsafePointer<CChar>) -> Int32

  static let shared = AffinityCalls()

  /// `sched_getcpu`
  let getProcessor: GetProcessor?
  /// `gettid`
  let getThreadNumber: GetThreadNumber?
  /// `sched_getaffinity`
  let getAffinity: GetAffinity?
  /// `pthread_setaffinity_np`
  let setThreadAffinity: SetThreadAffinity?
  /// `pthread_setname_np`
  let setThreadName: SetThreadName?

  private init() {
    let program = dlopen(nil, RTLD_NOW)
    func address(_ name: String) -> UnsafeMutableRawPointer? { program.flatMap { dlsym($0, name) } }
    getProcessor = address("sched_getcpu").map { unsafeBitCast($0, to: GetProcessor.self) }
    getThreadNumber = address("gettid").map { unsafeBitCast($0, to: GetThreadNumber.self) }
    getAffinity = address("sched_getaffinity").map { unsafeBitCast($0, to: GetAffinity.self) }
    setThreadAffinity = address("pthread_setaffinity_np").map { unsafeBitCast($0, to: SetThreadAffinity.self) }
    setThreadName = address("pthread_setname_np").map { unsafeBitCast($0, to: SetThreadName.self) }
  }

  /// The number of the processor that the calling thread runs on, or -1 if unknown.
  var currentProcessor: Int32 { getProcessor?() ?? -1 }

  /// The system's number for the calling thread, or 0 if unknown.
  var threadNumber: Int32 { getThreadNumber?() ?? 0 }

  /// Lets `thread` run on `processors` only.
  func confine(_ thread: pthread_t, to processors: some Sequence<Int32>) {
    guard let setThreadAffinity else { return }
    var mask = AffinityMask(processors)
    let byteCount = mask.byteCount
    // A refusal (a processor taken offline, a sandbox) costs speed only.
    _ = mask.withPointer { setThreadAffinity(thread, byteCount, $0) }
  }
}
