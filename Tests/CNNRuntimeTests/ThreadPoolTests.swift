import Glibc
import Synchronization
import Testing

@testable import CNNRuntime

/// A pool that runs as many threads as it is told to, whatever the machine has.
private func pool(threads: Int, spinning: Bool) -> ThreadPool {
  let machine = ProcessorSet.ofThisProcess().processors
  let processors = (0..<threads).map { machine[$0 % machine.count] }
  return ThreadPool(processorSet: ProcessorSet(processors: processors, usableCount: spinning ? threads : 1))
}

/// How often each part ran in one job.
private func runCounts(_ pool: ThreadPool, parts: Int) -> [Int] {
  let counts = Scratch(parts, repeating: 0)
  pool.run(partCount: parts) { counts.base[$0] += 1 }
  return counts.values
}

@Suite struct ThreadPoolTests {
  @Test func everyPartRunsExactlyOnce() {
    for pool in [ThreadPool.shared, pool(threads: 8, spinning: true), pool(threads: 5, spinning: false)] {
      for parts in [1, 2, 3, 4, 7, 8, 9, 16, 64, 2, 1000, 1] {
        for _ in 0..<20 { #expect(runCounts(pool, parts: parts) == Array(repeating: 1, count: parts)) }
      }
      #expect(runCounts(pool, parts: 0) == [])
    }
  }

  @Test func aJobRunsOnSeveralThreads() {
    let pool = pool(threads: 3, spinning: true)
    let threads = Scratch(3, repeating: pthread_t())
    // Parts that wait for each other can only end if each has a thread of its own.
    let arrived = Atomic<Int>(0)
    pool.run(partCount: 3) { part in
      threads.base[part] = pthread_self()
      arrived.add(1, ordering: .acquiringAndReleasing)
      while arrived.load(ordering: .acquiring) < 3 { sched_yield() }
    }
    #expect(Set(threads.values).count == 3)
    #expect(threads.values[0] == pthread_self())
  }

  @Test func aJobInsideAJobRunsOnItsOwnThread() {
    let workers = Workers(count: 4)
    let counts = Scratch(16, repeating: 0)
    workers.run { outer in
      let thread = pthread_self()
      workers.run { inner in
        if pthread_self() == thread || outer == 0 { counts.base[outer * 4 + inner] += 1 }
      }
    }
    #expect(counts.values == Array(repeating: 1, count: 16))
  }

  @Test func callersOnManyThreadsAllGetTheirWorkDone() {
    for pool in [ThreadPool.shared, pool(threads: 4, spinning: true)] {
      let failures = Atomic<Int>(0)
      onNewThreads(6) { index in
        for _ in 0..<500 where runCounts(pool, parts: index + 2) != Array(repeating: 1, count: index + 2) {
          failures.add(1, ordering: .relaxed)
        }
      }
      #expect(failures.load(ordering: .relaxed) == 0)
    }
  }

  /// A sum whose last bits depend on how it is divided.
  private func dividedSum(_ workers: Workers) -> [Float] {
    let sums = Scratch(workers.count, repeating: Float(0))
    workers.forEachRange(of: 10_000) { range, worker in
      for index in range { sums.base[worker] += 1 / Float(index + 1) }
    }
    return sums.values
  }

  @Test func resultsAreTheSameWhetherThePoolIsFreeOrBusy() {
    let workers = Workers(count: 3)
    let free = dividedSum(workers)
    var busy: [Float] = []
    ThreadPool.shared.run(partCount: 2) { part in
      if part == 0 { busy = dividedSum(workers) }
    }
    #expect(free == busy)
  }

  @Test func sleepingAndWakingThreadsNeverMissAJob() {
    let spinning = pool(threads: 3, spinning: true), sleeping = pool(threads: 3, spinning: false)
    let total = Scratch(3, repeating: 0)
    for run in 0..<10_000 {
      sleeping.run(partCount: 3) { total.base[$0] += 1 }
      // Near the time at which a thread that waits awake gives up and goes to sleep.
      if run % 20 == 0 { usleep(UInt32(run / 20 % 200)) }
      spinning.run(partCount: 3) { total.base[$0] += 1 }
    }
    #expect(total.values == [20_000, 20_000, 20_000])
  }

  @Test func rangesCoverTheWholeWithBoundsOnTheGrain() {
    for count in [1, 2, 3, 8] {
      for total in [0, 1, 5, 16, 17, 1000] {
        for grain in [1, 4, 16, 2000] {
          let seen = Scratch(total, repeating: 0)
          let misplaced = Atomic<Int>(0)
          Workers(count: count).forEachRange(of: total, grain: grain) { range, worker in
            if range.lowerBound % grain != 0 || worker >= count { misplaced.add(1, ordering: .relaxed) }
            for index in range { seen.base[index] += 1 }
          }
          #expect(seen.values == Array(repeating: 1, count: total))
          #expect(misplaced.load(ordering: .relaxed) == 0)
        }
      }
    }
  }

  @Test func aWorkerHasTheSameLinesInEveryBlock() {
    for count in [1, 2, 3, 8] {
      for lines in [0, 1, 2, 5, 8, 31, 32, 100] {
        for blocks in [0, 1, 3, 7] {
          let seen = Scratch(lines * blocks, repeating: 0), workers = Scratch(lines * blocks, repeating: -1)
          Workers(count: count).forEachRange(ofLines: lines, inEachOf: blocks) { block, range, worker in
            for line in range {
              seen.base[block * lines + line] += 1
              workers.base[block * lines + line] = worker
            }
          }
          let message = "\(lines) lines of \(blocks) blocks for \(count)"
          #expect(seen.values == Array(repeating: 1, count: lines * blocks), "\(message)")
          #expect(workers.values.allSatisfy { (0..<count).contains($0) }, "\(message)")
          guard lines >= 4 * count else { continue }
          for index in 0..<lines * blocks {
            #expect(workers.values[index] == workers.values[index % lines], "\(message)")
          }
        }
      }
    }
  }

  @Test func everyUnitIsDealtOutOnce() {
    for count in [1, 2, 3, 8, 100] {
      for total in [0, 1, 2, 5, 63, 64, 65, 1000] {
        let seen = Scratch(total, repeating: 0)
        Workers(count: count).share(total) { _, next in
          while let range = next() {
            for index in range { seen.base[index] += 1 }
          }
        }
        #expect(seen.values == Array(repeating: 1, count: total), "\(total) units for \(count)")
      }
    }
  }

  @Test func aWorkerThatIsHeldUpComputesLess() {
    let counts = Scratch(2, repeating: 0)
    Workers(count: 2).share(40) { worker, next in
      while let range = next() {
        counts.base[worker] += range.count
        // The other begins before this one asks again.
        if worker == 1 { usleep(20_000) }
      }
    }
    #expect(counts.values[0] + counts.values[1] == 40)
    #expect(counts.values[1] < 20)
  }

  @Test func theCallersAffinityAndSignalsAreLeftAlone() {
    let before = ProcessorSet.ofThisProcess().processors
    onNewThreads(1) { _ in
      var none = sigset_t(), signals = sigset_t()
      pthread_sigmask(SIG_SETMASK, &none, nil)
      _ = runCounts(pool(threads: 4, spinning: false), parts: 4)
      pthread_sigmask(SIG_BLOCK, nil, &signals)
      #expect(sigismember(&signals, SIGINT) == 0)
    }
    #expect(ProcessorSet.ofThisProcess().processors == before)
  }

  @Test func threadsOfThePoolBlockInterrupts() {
    let blocked = Scratch(2, repeating: Int32(-1))
    let arrived = Atomic<Int>(0)
    pool(threads: 2, spinning: false).run(partCount: 2) { part in
      var signals = sigset_t()
      pthread_sigmask(SIG_BLOCK, nil, &signals)
      blocked.base[part] = sigismember(&signals, SIGINT)
      arrived.add(1, ordering: .acquiringAndReleasing)
      while arrived.load(ordering: .acquiring) < 2 { sched_yield() }
    }
    #expect(blocked.values[1] == 1)
  }

  @Test func pinningCanBeTurnedOffAndOn() {
    let before = ThreadPool.pinsWorkers
    defer { ThreadPool.pinsWorkers = before }
    for pins in [false, true, false] {
      ThreadPool.pinsWorkers = pins
      #expect(ThreadPool.pinsWorkers == pins)
      #expect(runCounts(ThreadPool.shared, parts: 4) == [1, 1, 1, 1])
    }
  }

  @Test func defaultThreadCountFitsTheProcess() {
    #expect(ThreadPool.defaultThreadCount >= 1)
    #expect(ThreadPool.defaultThreadCount <= ProcessorSet.ofThisProcess().processors.count)
  }
}
