import Glibc
import Synchronization
import Testing

@testable import CNNCore

/// Runs `body(index)` on `count` new threads at once and waits for all of them.
private func onNewThreads(_ count: Int, _ body: @escaping @Sendable (_ index: Int) -> Void) {
  final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var threads: [pthread_t] = []
  for index in 0..<count {
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body() }
        return nil
      }, Unmanaged.passRetained(Start { body(index) }).toOpaque())
    if status == 0 { threads.append(thread) }
  }
  #expect(threads.count == count)
  for thread in threads { pthread_join(thread, nil) }
}

/// A number that only a lock keeps whole.
private final class Guarded: @unchecked Sendable {
  let lock = ReadWriteLock()
  var value = 0, copy = 0

  /// Two writes, between which nobody else should come.
  func increase() {
    value += 1
    sched_yield()
    copy += 1
  }
}

@Suite struct ReadWriteLockTests {
  @Test func readersAreTogether() {
    let locks = LockSet([ReadWriteLock(), ReadWriteLock()])
    let arrived = Atomic(0)
    // Each can only end when all are inside.
    onNewThreads(4) { _ in
      locks.reading {
        arrived.add(1, ordering: .sequentiallyConsistent)
        while arrived.load(ordering: .sequentiallyConsistent) < 4 { sched_yield() }
      }
    }
    #expect(arrived.load(ordering: .sequentiallyConsistent) == 4)
  }

  @Test func aWriterIsAlone() {
    let guarded = Guarded()
    let locks = LockSet([guarded.lock])
    let torn = Atomic(0)
    onNewThreads(6) { index in
      for _ in 0..<300 {
        if index % 2 == 0 {
          locks.writing { guarded.increase() }
        } else {
          let isWhole = locks.reading { guarded.value == guarded.copy }
          if !isWhole { torn.add(1, ordering: .relaxed) }
        }
      }
    }
    #expect(torn.load(ordering: .relaxed) == 0)
    #expect(guarded.value == 900 && guarded.copy == 900)
  }

  @Test func aWriterIsNotKeptWaitingByReadersWithoutAPause() {
    let locks = LockSet([ReadWriteLock()])
    let isDone = Atomic(false)
    onNewThreads(5) { index in
      if index == 0 {
        for _ in 0..<20 { locks.writing {} }
        isDone.store(true, ordering: .sequentiallyConsistent)
      } else {
        while !isDone.load(ordering: .sequentiallyConsistent) { locks.reading { _ = sched_yield() } }
      }
    }
  }

  /// Whatever order a set is given in, it takes its locks in one: two that overlap cannot wait for each other.
  @Test func setsThatOverlapDoNotDeadlock() {
    let guarded = (0..<4).map { _ in Guarded() }
    let orders = [[0, 1], [1, 0], [2, 1, 0], [3, 0], [0, 3, 1, 2], [2, 3], [3, 2, 1]]
    let torn = Atomic(0)
    onNewThreads(7) { index in
      let mine = orders[index].map { guarded[$0] }
      let locks = LockSet(mine.map(\.lock))
      for round in 0..<400 {
        if (round + index) % 3 == 0 {
          locks.writing { for one in mine { one.increase() } }
        } else {
          let isWhole = locks.reading { mine.allSatisfy { $0.value == $0.copy } }
          if !isWhole { torn.add(1, ordering: .relaxed) }
        }
      }
    }
    #expect(torn.load(ordering: .relaxed) == 0)
    let writes = (0..<7).map { index in (0..<400).filter { ($0 + index) % 3 == 0 }.count }
    for (position, one) in guarded.enumerated() {
      #expect(one.value == zip(orders, writes).reduce(0) { $0 + ($1.0.contains(position) ? $1.1 : 0) })
    }
  }

  @Test func aLockGivenTwiceIsTakenOnce() {
    let one = ReadWriteLock(), two = ReadWriteLock()
    // A second hold of one thread would wait for the first for ever.
    let locks = LockSet([two, one, two, one, one])
    #expect(locks.writing { 1 } == 1)
    #expect(locks.reading { 2 } == 2)
    #expect(LockSet([]).writing { 3 } == 3)
  }

  @Test func anErrorLetsGo() {
    let locks = LockSet([ReadWriteLock(), ReadWriteLock()])
    let refusal = CNNError(.invalidState, "no")
    for _ in 0..<2 {
      #expect(throws: refusal) { try locks.writing { () throws(CNNError) in throw refusal } }
      #expect(throws: refusal) { try locks.reading { () throws(CNNError) in throw refusal } }
    }
    locks.writing {}
  }
}
