import Glibc

/// Runs `body`, which may make a file larger, with SIGXFSZ held back: the system sends it for what goes beyond the process's
/// file size limit, and it would end the process. What remains is the error EFBIG. `errno` is as `body` left it.
public func withoutFileSizeSignal<Result>(_ body: () -> Result) -> Result {
  var signals = sigset_t(), before = sigset_t(), pending = sigset_t()
  sigemptyset(&signals)
  sigaddset(&signals, SIGXFSZ)
  sigpending(&pending)
  // Where one is pending already, the host holds them back itself.
  guard sigismember(&pending, SIGXFSZ) == 0, pthread_sigmask(SIG_BLOCK, &signals, &before) == 0 else { return body() }
  let result = body()
  let code = errno
  sigpending(&pending)
  if sigismember(&pending, SIGXFSZ) == 1 {
    var now = timespec(tv_sec: 0, tv_nsec: 0)
    while sigtimedwait(&signals, nil, &now) < 0, errno == EINTR {}
  }
  pthread_sigmask(SIG_SETMASK, &before, nil)
  errno = code
  return result
}

/// Writes a line to the error stream, whole or not at all.
public func writeToErrorStream(_ line: String) {
  _ = withoutFileSizeSignal { write(STDERR_FILENO, line, line.utf8.count) }
}
