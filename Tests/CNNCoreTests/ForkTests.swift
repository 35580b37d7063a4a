import Glibc
import Synchronization
import Testing

@testable import CNNCore

/// Runs `body` in a forked child, which exits with its result; nil where it is not done after twenty seconds.
private func inForkedChild(_ body: () -> Int32) -> Int32? {
  // Swift hides `fork` because most programs must not use it; the hosts of this library do.
  guard let address = dlsym(dlopen(nil, RTLD_NOW), "fork") else { return nil }
  let child = unsafeBitCast(address, to: (@convention(c) () -> pid_t).self)()
  if child == 0 { _exit(body()) }
  var status: Int32 = 0
  for _ in 0..<20_000 {
    if waitpid(child, &status, WNOHANG) == child { return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f) }
    usleep(1000)
  }
  kill(child, SIGKILL)
  waitpid(child, &status, 0)
  return nil
}

/// Where a thread stays until it is let go.
private final class Gate: Sendable {
  private let isReached = Atomic(false), isOpen = Atomic(false)

  func stay() {
    isReached.store(true, ordering: .releasing)
    while !isOpen.load(ordering: .acquiring) { usleep(100) }
  }

  func awaitArrival() { while !isReached.load(ordering: .acquiring) { usleep(100) } }

  func open() { isOpen.store(true, ordering: .releasing) }
}

/// Calls `body` in another thread, and `meanwhile` when it stays at the gate.
private func onOtherThread(
  _ gate: Gate, _ body: @escaping @Sendable () -> Void, meanwhile: () -> Void
) {
  final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    { context in
      if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
      return nil
    }, Unmanaged.passRetained(Body(body)).toOpaque())
  gate.awaitArrival()
  meanwhile()
  gate.open()
  pthread_join(thread, nil)
}

@Suite(.serialized) struct ForkTests {
  @Test func whatOthersReadIsFreeInAChild() {
    let lock = LockSet(of: "the thing")
    let gate = Gate()
    onOtherThread(gate, { lock.reading { gate.stay() } }) {
      #expect(
        inForkedChild {
          lock.writing {}
          return lock.reading { 7 }
        } == 7)
    }
    lock.writing {}
  }

  @Test func whatOthersChangedIsAnErrorInAChildAndInItsChildren() {
    let lock = LockSet(of: "the thing"), free = LockSet(of: "another")
    let gate = Gate()
    onOtherThread(gate, { lock.writing { gate.stay() } }) {
      #expect(
        inForkedChild {
          func refuses(_ body: () throws(CNNError) -> Void) -> Bool {
            do throws(CNNError) {
              try body()
              return false
            } catch {
              return error.code == .invalidState && error.mentions("changing the thing when this process was forked")
            }
          }
          func isRefused() -> Bool {
            refuses { () throws(CNNError) in try lock.reading { () throws(CNNError) in } }
              && refuses { () throws(CNNError) in try lock.writing { () throws(CNNError) in } }
              && refuses { () throws(CNNError) in try free.union(lock).alone { () throws(CNNError) in } }
              && refuses { () throws(CNNError) in try lock.requireWhole() }
          }
          // What cannot throw goes on, so that the object can be freed.
          guard isRefused(), lock.reading({ 1 }) == 1, free.writing({ 2 }) == 2 else { return 1 }
          return inForkedChild { isRefused() ? 0 : 1 } == 0 ? 7 : 2
        } == 7)
    }
    // In the parent all is as it was.
    #expect(throws: Never.self) { try lock.requireWhole() }
  }

  @Test func whatOthersHadAloneButDidNotChangeIsWholeInAChild() {
    let lock = LockSet(of: "the thing")
    let gate = Gate()
    onOtherThread(gate, { try? lock.alone { () throws(CNNError) in gate.stay() } }) {
      #expect(
        inForkedChild {
          do throws(CNNError) { return try lock.writing { () throws(CNNError) in 7 } } catch { return 1 }
        } == 7)
    }
  }

  @Test func aGuardedValueIsANewOneWhereAnotherThreadHadIt() {
    let value = Guarded { [1] }
    value.withLock { $0.append(2) }
    #expect(inForkedChild { value.withLock { $0 == [1, 2] } ? 7 : 1 } == 7)
    let gate = Gate()
    onOtherThread(gate, { value.withLock { _ in gate.stay() } }) {
      #expect(
        inForkedChild {
          if value.withLock({ $0 }) != [1] { return 1 }
          value.withLock { $0.append(3) }
          return value.withLock { $0 } == [1, 3] ? 7 : 2
        } == 7)
    }
    #expect(value.withLock { $0 } == [1, 2])
  }

  @Test func aLazyValueIsMadeAgainWhereAnotherThreadWasMakingIt() {
    let gate = Gate(), parent = getpid()
    let lazy = Lazy<Int32> {
      if getpid() == parent { gate.stay() }
      return getpid() == parent ? 1 : 7
    }
    onOtherThread(gate, { _ = lazy.value }) {
      #expect(inForkedChild { lazy.value == lazy.value ? lazy.value : 2 } == 7)
    }
    #expect(lazy.value == 1)
    #expect(inForkedChild { lazy.value } == 1)
  }

  @Test func aForkWaitsForAProcessLock() {
    final class Pair: @unchecked Sendable { var first = 0, second = 0 }
    let lock = ProcessLock(), pair = Pair(), gate = Gate()
    final class Flag: Sendable { let isSet = Atomic(false) }
    let done = Flag()
    onOtherThread(
      gate,
      {
        gate.open()
        gate.stay()
        while !done.isSet.load(ordering: .relaxed) {
          lock.withLock {
            pair.first += 1
            sched_yield()
            pair.second += 1
          }
        }
      }
    ) {
      for _ in 0..<20 {
        #expect(inForkedChild { lock.withLock { pair.first == pair.second ? 7 : 1 } } == 7)
      }
      done.isSet.store(true, ordering: .relaxed)
    }
  }
}
