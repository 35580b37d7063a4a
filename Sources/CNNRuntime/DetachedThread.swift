import Glibc

/// A thread of the library's own, which nobody waits for.
public enum DetachedThread {
  /// What a thread runs; a class, since C hands over one pointer.
  private final class Body: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a thread that runs `body` and ends with it.
  /// - Parameter name: as debuggers show it, 15 characters at most.
  /// - Returns: nil where the system refuses.
  @discardableResult
  public static func start(named name: String, _ body: @escaping @Sendable () -> Void) -> pthread_t? {
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

    var handle = pthread_t()
    let reference = Unmanaged.passRetained(Body(body))
    let status = pthread_create(
      &handle, &attributes,
      { context in
        if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, reference.toOpaque())
    guard status == 0 else {
      reference.release()
      return nil
    }
    _ = AffinityCalls.shared.setThreadName?(handle, name)
    return handle
  }
}
