import Glibc

/// Runs `body(index)` on `count` new threads at once and waits for all of them.
func onNewThreads(_ count: Int, _ body: (_ index: Int) -> Void) {
  struct Start: @unchecked Sendable {
    let body: (Int) -> Void
    let index: Int
  }
  withoutActuallyEscaping(body) { body in
    let starts = UnsafeMutablePointer<Start>.allocate(capacity: count)
    defer { starts.deallocate() }
    var threads: [pthread_t] = []
    for index in 0..<count {
      (starts + index).initialize(to: Start(body: body, index: index))
      var thread = pthread_t()
      let status = pthread_create(
        &thread, nil,
        { context in
          if let start = context?.assumingMemoryBound(to: Start.self).pointee { start.body(start.index) }
          return nil
        }, starts + index)
      if status == 0 { threads.append(thread) }
    }
    for thread in threads { pthread_join(thread, nil) }
    starts.deinitialize(count: count)
  }
}

/// What became of a forked child.
enum ChildResult: Equatable {
  case exited(Int32)
  case killedBySignal(Int32)
  case timedOut
  case notForked
}

/// Runs `body` in a forked child, which exits with its result.
func inForkedChild(timeoutSeconds: Int = 20, _ body: () -> Int32) -> ChildResult {
  // Swift hides `fork` because most programs must not use it; the hosts of this library do.
  guard let address = dlsym(dlopen(nil, RTLD_NOW), "fork") else { return .notForked }
  let fork = unsafeBitCast(address, to: (@convention(c) () -> pid_t).self)
  let child = fork()
  if child == 0 { _exit(body()) }
  guard child > 0 else { return .notForked }
  return waitForChild(child, timeoutSeconds: timeoutSeconds)
}

/// Waits for a child to end, and ends it if that takes too long.
func waitForChild(_ child: pid_t, timeoutSeconds: Int) -> ChildResult {
  var status: Int32 = 0
  for _ in 0..<(timeoutSeconds * 1000) {
    if waitpid(child, &status, WNOHANG) == child {
      return status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .killedBySignal(status & 0x7f)
    }
    usleep(1000)
  }
  kill(child, SIGKILL)
  waitpid(child, &status, 0)
  return .timedOut
}

/// Uninitialised room for values, freed with the object; tests write to it from several threads.
final class Scratch<Element>: @unchecked Sendable {
  let base: UnsafeMutablePointer<Element>
  let count: Int

  init(_ count: Int, repeating value: Element) {
    self.count = count
    base = .allocate(capacity: max(1, count))
    base.initialize(repeating: value, count: count)
  }

  deinit {
    base.deinitialize(count: count)
    base.deallocate()
  }

  var values: [Element] { Array(UnsafeBufferPointer(start: base, count: count)) }
}
