import COpenBLAS
import Glibc
import Synchronization
import Testing

@testable import CNNRuntime

/// 0 if a job of two parts gives what it should, and OpenBLAS in each part of one, where it is there.
private func work() -> Int32 {
  let workers = Workers(count: 2)
  let sums = Scratch(2, repeating: 0)
  workers.run { part in
    for value in 0..<10_000 { sums.base[part] += value % 7 }
  }
  if sums.base[0] != sums.base[1] || sums.base[0] != 29_994 { return 1 }
  guard let library = OpenBLAS.library else { return 0 }
  let a = Scratch(200 * 100, repeating: Float(0.5)), c = Scratch(200 * 200, repeating: Float.nan)
  OpenBLAS.withSingleThread {
    workers.forEachRange(of: 200) { rows, _ in
      library.sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows.count), 200, 100, 1, a.base + rows.lowerBound * 100, 100,
        a.base, 100, 0, c.base + rows.lowerBound * 200, 200)
    }
  }
  return c.values.allSatisfy { $0 == 25 } ? 0 : 2
}

@Suite(.serialized) struct ForkTests {
  @Test func childAndParentBothComputeAfterAFork() {
    #expect(work() == 0)
    for _ in 0..<10 {
      #expect(inForkedChild { work() } == .exited(0))
      #expect(work() == 0)
    }
  }

  @Test func theChildHasAPoolOfItsOwn() {
    let parent = ThreadPool.shared
    #expect(inForkedChild { ThreadPool.shared === parent ? 1 : 0 } == .exited(0))
    #expect(ThreadPool.shared === parent)
  }

  @Test func aChildOfAChildComputes() {
    #expect(work() == 0)
    let result = inForkedChild {
      work() == 0 && inForkedChild { work() } == .exited(0) && work() == 0 ? 0 : 1
    }
    #expect(result == .exited(0))
  }

  @Test func theChildComputesWhenTheForkFellIntoAnothersJob() {
    for _ in 0..<10 {
      let isRunning = Atomic<Bool>(false), mayEnd = Atomic<Bool>(false)
      var result = ChildResult.notForked
      onNewThreads(2) { index in
        if index == 0 {
          // The pool stays busy until the child has been forked.
          OpenBLAS.withSingleThread {
            ThreadPool.shared.run(partCount: 2) { _ in
              isRunning.store(true, ordering: .releasing)
              while !mayEnd.load(ordering: .acquiring) { sched_yield() }
            }
          }
        } else {
          while !isRunning.load(ordering: .acquiring) { sched_yield() }
          result = inForkedChild { work() }
          mayEnd.store(true, ordering: .releasing)
        }
      }
      #expect(result == .exited(0))
      #expect(work() == 0)
    }
  }

  @Test func aForkInsideAJobDoesNotHangTheChild() {
    var result = ChildResult.notForked
    ThreadPool.shared.run(partCount: 2) { part in
      if part == 0 { result = inForkedChild { work() } }
    }
    #expect(result == .exited(0))
    // And where the child comes back out of the job:
    let parent = getpid()
    var child: pid_t = -1
    ThreadPool.shared.run(partCount: 2) { part in
      guard part == 0, let address = dlsym(dlopen(nil, RTLD_NOW), "fork") else { return }
      child = unsafeBitCast(address, to: (@convention(c) () -> pid_t).self)()
    }
    if getpid() != parent { _exit(work()) }
    #expect(waitForChild(child, timeoutSeconds: 20) == .exited(0))
    #expect(work() == 0)
  }
}

/// In a forked child, because the setting is the process's and other tests are at work in this one.
@Test func theThreadSettingOfOpenBLASIsRestoredByTheLastScope() {
  guard let library = OpenBLAS.library else { return }
  let result = inForkedChild {
    library.setThreadCount(2)
    if library.getThreadCount() != 2 { return 0 }  // built for one thread
    OpenBLAS.enterSingleThread()
    if library.getThreadCount() != 1 { return 1 }
    if OpenBLAS.withSingleThread({ library.getThreadCount() }) != 1 { return 2 }
    if library.getThreadCount() != 1 { return 3 }
    // A child made inside a scope is outside of it.
    if inForkedChild({ library.getThreadCount() == 2 ? work() : 3 }) != .exited(0) { return 4 }
    OpenBLAS.leaveSingleThread()
    if library.getThreadCount() != 2 { return 5 }
    OpenBLAS.leaveSingleThread()
    return library.getThreadCount() == 2 ? 0 : 6
  }
  #expect(result == .exited(0))
}
