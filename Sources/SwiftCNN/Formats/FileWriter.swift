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
