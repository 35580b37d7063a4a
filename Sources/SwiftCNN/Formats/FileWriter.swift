import CNNCore
import Glibc

/// A new file that is written from front to end. Nothing is copied or held back.
struct FileWriter: ~Copyable {
  /// Where the bytes go.
  let temporaryPath: String
  /// The path that the user gave, for messages.
  private let path: String
  let descriptor: Int32

  /// Creates the file, which must not exist.
  init(creating temporaryPath: String, reportedAs path: String) throws(CNNError) {
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw systemError("create", path) }
    self.temporaryPath = temporaryPath
    self.path = path
  }

  deinit { close(descriptor) }

  /// Appends `bytes`.
  /// - Throws: `.inputOutput` with the path and the system's message.
  func write(_ bytes: UnsafeRawBufferPointer) throws(CNNError) {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = withoutFileSizeSignal { Glibc.write(descriptor, rest.baseAddress, rest.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw systemError("write", path)
      }
      done += count
    }
  }

  /// Appends `bytes`.
  func write(_ bytes: [UInt8]) throws(CNNError) {
    try bytes.withUnsafeBufferPointer { (bytes) throws(CNNError) in try write(UnsafeRawBufferPointer(bytes)) }
  }

  /// Appends the UTF-8 bytes of `text`.
  func write(_ text: String) throws(CNNError) { try write(Array(text.utf8)) }

  /// Sets the permissions, if any are given, and waits until everything is on the disk.
  func finish(permissions: mode_t?) throws(CNNError) {
    if let permissions, fchmod(descriptor, permissions) != 0 { throw systemError("set the permissions of", path) }
    while fsync(descriptor) != 0 {
      guard errno == EINTR else { throw systemError("write", path) }
    }
  }
}

/// Runs `body` with SIGXFSZ held back, which the system sends for a write beyond the process's file size limit and
/// which would end the process; what remains is the error EFBIG.
private func withoutFileSizeSignal(_ body: () -> Int) -> Int {
  var signals = sigset_t(), before = sigset_t(), pending = sigset_t()
  sigemptyset(&signals)
  sigaddset(&signals, SIGXFSZ)
  sigpending(&pending)
  guard sigismember(&pending, SIGXFSZ) == 0, pthread_sigmask(SIG_BLOCK, &signals, &before) == 0 else { return body() }
  let result = body()
  let code = errno
  if result < 0, code == EFBIG {
    // The signal is pending for this thread (unless it is ignored): take it off.
    var now = timespec(tv_sec: 0, tv_nsec: 0)
    while sigtimedwait(&signals, nil, &now) < 0, errno == EINTR {}
  }
  pthread_sigmask(SIG_SETMASK, &before, nil)
  errno = code
  return result
}
