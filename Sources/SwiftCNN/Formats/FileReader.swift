import CNNCore
import Glibc

/// A regular file open for reading at any offset, from any thread; or the bytes of one that lie in memory.
///
/// It reads instead of mapping: a mapped file that another program shortens ends the process with SIGBUS.
///
/// Unchecked because bytes in memory are only read.
final class FileReader: @unchecked Sendable {
  /// The path, for messages.
  let path: String
  /// The size in bytes when the file was opened.
  let byteCount: Int
  private let source: Source

  private enum Source {
    case file(descriptor: Int32)
    case memory(UnsafeRawBufferPointer)
  }

  /// Opens `path`.
  /// - Throws: `.inputOutput` if it cannot be opened or is not a regular file.
  convenience init(path: String) throws(CNNError) {
    try checkPath(path)
    try self.init(path: path, systemPath: Array(path.utf8CString))
  }

  /// Opens a file whose path need not be UTF-8.
  /// - Parameters:
  ///   - path: for messages.
  ///   - systemPath: with a NUL at its end.
  init(path: String, systemPath: [CChar]) throws(CNNError) {
    // Without O_NONBLOCK the open of a FIFO waits for a writer.
    let descriptor = open(systemPath, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw systemError("open", path) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let error = systemError("examine", path)
      close(descriptor)
      throw error
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw notRegularError("read", path, status)
    }
    self.path = path
    self.byteCount = Int(status.st_size)
    source = .file(descriptor: descriptor)
  }

  /// Reads a file's bytes from memory, which has to stay as it is as long as this lives.
  /// - Parameter name: in place of a path in messages.
  init(bytes: UnsafeRawBufferPointer, name: String) {
    (path, byteCount, source) = (name, bytes.count, .memory(bytes))
  }

  deinit { if case .file(let descriptor) = source { close(descriptor) } }

  /// Fills `destination` with the bytes from `offset` on.
  /// - Throws: `.inputOutput` if the system refuses, `.malformedFile` if the file ends before.
  func read(into destination: UnsafeMutableRawBufferPointer, at offset: Int) throws(CNNError) {
    func ending() -> CNNError { CNNError(.malformedFile, "'\(path)' ends before byte \(offset + destination.count)") }
    switch source {
    case .memory(let bytes):
      guard 0...bytes.count ~= offset, destination.count <= bytes.count - offset else { throw ending() }
      destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + destination.count]))
    case .file(let descriptor):
      var done = 0
      while done < destination.count {
        let rest = UnsafeMutableRawBufferPointer(rebasing: destination[done...])
        let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
        if count < 0 {
          if errno == EINTR { continue }
          throw systemError("read", path)
        }
        guard count > 0 else { throw ending() }
        done += count
      }
    }
  }
}

/// The `.inputOutput` error for the system call that just failed.
func systemError(_ action: String, _ path: String, code: Int32 = errno) -> CNNError {
  CNNError(.inputOutput, "cannot \(action) '\(path)': \(String(cString: strerror(code)))", systemCode: code)
}

/// The `.inputOutput` error for what has no contents that could be read or replaced: a directory, a device.
func notRegularError(_ action: String, _ path: String, _ status: stat) -> CNNError {
  CNNError(
    .inputOutput, "cannot \(action) '\(path)': it is not a regular file",
    systemCode: status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
}

/// Rejects the paths that C would read differently: empty ones, and those with a NUL inside.
func checkPath(_ path: String) throws(CNNError) {
  guard !path.isEmpty else { throw CNNError(.inputOutput, "the path is empty", systemCode: ENOENT) }
  guard !path.utf8.contains(0) else {
    throw CNNError(.inputOutput, "the path has a NUL character in it", systemCode: EINVAL)
  }
}
