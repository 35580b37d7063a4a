import Synchronization

/// The team of threads that one plan divides its work over.
///
/// How work is divided depends on `count` alone, never on which threads happen to be free, so the same plan gives the
/// same bits every time.
public struct Workers: Sendable {
  /// The number of parts that work is divided into; also the number of threads used where the pool is free and the
  /// process has as many processors.
  public let count: Int
  /// What is told when each worker begins and ends; nil but for profiles, whose recorder outlives the team.
  private var recorder: Unmanaged<WorkRecorder>?

  /// A team of `count` (at least 1).
  public init(count: Int) { self.count = max(1, count) }

  /// A team that divides work in the same way, of which `recorder` is told. It does not keep the recorder alive.
  public func recorded(by recorder: WorkRecorder) -> Workers {
    var result = self
    result.recorder = .passUnretained(recorder)
    return result
  }

  /// Calls `body(worker)` once for every worker in `0..<count`, in parallel, and returns when all are done.
  @inlinable
  public func run(_ body: (_ worker: Int) -> Void) {
    run(parts: count, body)
  }

  /// Calls `body(part)` once for every part, in parallel, and returns when all are done.
  public func run(parts: Int, _ body: (_ worker: Int) -> Void) {
    if let recorder = recorder?.takeUnretainedValue() {
      ThreadPool.shared.run(partCount: parts) { part in
        let start = monotonicNanoseconds()
        body(part)
        recorder.note(worker: part, start: start, end: monotonicNanoseconds())
      }
      return
    }
    if parts > 1 { ThreadPool.shared.run(partCount: parts, body) } else { body(0) }
  }

  /// Divides `0..<total` into at most `count` contiguous ranges whose bounds are multiples of `grain` and calls
  /// `body(range, worker)` for each that is not empty, in parallel.
  @inlinable
  public func forEachRange(of total: Int, grain: Int = 1, _ body: (_ range: Range<Int>, _ worker: Int) -> Void) {
    let blocks = (total + grain - 1) / grain
    let parts = min(count, blocks)
    if parts <= 1 {
      if total > 0 { run(parts: 1) { body(0..<total, $0) } }
      return
    }
    run(parts: parts) { worker in
      let first = blocks * worker / parts * grain
      let end = min(total, blocks * (worker + 1) / parts * grain)
      if first < end { body(first..<end, worker) }
    }
  }

  /// Calls `body(block, lines, worker)` for all lines of all blocks, in parallel. Where there are enough lines each worker has
  /// the same ones in every block, and so in one step after the other: what it reads is what it wrote, in its own cache.
  @inlinable
  public func forEachRange(
    ofLines lineCount: Int, inEachOf blockCount: Int, _ body: (_ block: Int, _ lines: Range<Int>, _ worker: Int) -> Void
  ) {
    if lineCount >= 4 * count {
      return forEachRange(of: lineCount) { lines, worker in
        for block in 0..<blockCount { body(block, lines, worker) }
      }
    }
    forEachRange(of: blockCount * lineCount) { range, worker in
      var first = range.lowerBound
      while first < range.upperBound {
        let block = first / lineCount, end = min(range.upperBound, (block + 1) * lineCount)
        body(block, first - block * lineCount..<end - block * lineCount, worker)
        first = end
      }
    }
  }

  /// Deals `0..<total` out in parallel as it is asked for: `body(worker, next)` is called once for each worker, and each call
  /// of `next` gives it some units that nobody else gets, until all are taken.
  ///
  /// Each worker begins with a part of its own, and helps others once that is done: a processor that is slower for a while,
  /// as when another machine's thread has a half of it, computes less and nobody waits for it. What a unit's results are may
  /// not depend on who computes it; so the same plan gives the same bits.
  public func share(_ total: Int, _ body: (_ worker: Int, _ next: () -> Range<Int>?) -> Void) {
    // A bit for each share.
    let shares = min(total, UInt64.bitWidth), parts = min(count, shares)
    if parts <= 1 || count > shares {
      forEachRange(of: total) { range, worker in
        var rest = Optional(range)
        body(worker) {
          defer { rest = nil }
          return rest
        }
      }
      return
    }
    let taken = Atomic<UInt64>(0)
    run(parts: parts) { worker in
      let first = shares * worker / parts
      var asked = 0
      body(worker) {
        while asked < shares {
          let share = (first + asked) % shares, bit = UInt64(1) << share
          asked += 1
          if taken.bitwiseOr(bit, ordering: .relaxed).oldValue & bit == 0 {
            return total * share / shares..<total * (share + 1) / shares
          }
        }
        return nil
      }
    }
  }
}
