import CNNCore
import Glibc

/// Replaces files so that at every moment, whatever fails, the old or the new contents are there whole.
enum AtomicFile {
  /// Writes a new file beside `path` through `body`, brings it to the disk, and gives it the name `path`.
  ///
  /// A symbolic link is followed: its target is replaced. An existing file keeps its permissions. If anything fails,
  /// the error of `body` included, the new file is removed and the old one is as it was.
  /// - Throws: `.inputOutput` with the path and the system's message; whatever `body` throws.
  static func write(
    to path: String, _ body: (borrowing FileWriter) throws(CNNError) -> Void
  ) throws(CNNError) {
    try checkPath(path)
    let target = try resolvingLinks(path)
    let permissions = try permissions(of: target)
    let writer = try FileWriter(creating: temporaryPath(beside: target), reportedAs: path)
    do throws(CNNError) {
      try body(writer)
      try writer.finish(permissions: permissions)
      guard rename(writer.temporaryPath, target) == 0 else { throw systemError("replace", path) }
    } catch {
      unlink(writer.temporaryPath)
      throw error
    }
    synchronizeDirectory(of: target)
  }

  /// The file that `path` stands for after following symbolic links, which may not exist.
  private static func resolvingLinks(_ path: String) throws(CNNError) -> String {
    var path = path
    for _ in 0..<40 {
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return path }
      var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
      let count = readlink(path, &buffer, buffer.count)
      guard count >= 0 else { throw systemError("follow the link", path) }
      let link = String(decoding: buffer[..<count], as: UTF8.self)
      path = link.hasPrefix("/") ? link : directory(of: path) + "/" + link
    }
    throw systemError("write", path, code: ELOOP)
  }

  /// The permissions of the regular file at `path`; nil if there is nothing.
  ///
  /// Renaming would happily replace a device, and a file that the user has protected against writing.
  private static func permissions(of path: String) throws(CNNError) -> mode_t? {
    var status = stat()
    guard stat(path, &status) == 0 else {
      if errno == ENOENT { return nil }
      throw systemError("write", path)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw notRegularError("write", path, status)
    }
    guard access(path, W_OK) == 0 else { throw systemError("write", path) }
    return status.st_mode & 0o777
  }

  private static func temporaryPath(beside path: String) -> String {
    // At most 50 scalars of the name, 200 bytes, so that a long name stays within the system's 255.
    let name = path.split(separator: "/").last.map { String($0.unicodeScalars.prefix(50)) } ?? ""
    return "\(directory(of: path))/\(name).tmp-\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 16))"
  }

  private static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Makes the renaming itself survive a power cut, where the directory allows it.
  ///
  /// The new file is in place by now. A directory that cannot be synchronized (not readable, some network file
  /// systems) only means that a power cut may bring the old file back, whole.
  private static func synchronizeDirectory(of path: String) {
    let descriptor = open(directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }
}
