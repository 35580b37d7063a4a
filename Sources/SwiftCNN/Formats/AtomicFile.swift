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
    let names = TemporaryNames(of: target)
    let writer = try FileWriter(creating: names.new(), reportedAs: path)
    names.removeLeftovers(newerFile: writer.descriptor)
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

  /// Throws what `write(to:_:)` would where the folder is missing or files cannot be made in it; leaves nothing behind.
  static func requireWritable(_ path: String) throws(CNNError) {
    try checkPath(path)
    let target = try resolvingLinks(path)
    _ = try permissions(of: target)
    unlink(try FileWriter(creating: TemporaryNames(of: target).new(), reportedAs: path).temporaryPath)
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

  fileprivate static func directory(of path: String) -> String {
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

/// The names of files that are being written to replace another: `NAME.tmp-PID-PLACE-NUMBER`.
///
/// A writer that is killed leaves its file behind, which whoever writes NAME next removes:
/// - at once where PLACE, a hash of the machine, its start and the PID namespace, is this process's own and no process has
///   that PID;
/// - else where it has not been written to for an hour, by the file system's clock: on a shared folder the process may be
///   alive on another machine or in another container, which nobody here can see.
struct TemporaryNames {
  private let directory: String
  private let prefix: String
  private static let oldAge = 3600

  /// Of the file at `path`, which is no link.
  init(of path: String) {
    directory = AtomicFile.directory(of: path)
    // At most 50 scalars of the name, 200 bytes, so that a long name stays within the system's 255.
    prefix = "\(path.split(separator: "/").last.map { String($0.unicodeScalars.prefix(50)) } ?? "").tmp-"
  }

  /// A path for this process to write to.
  func new() -> String {
    let number = String(UInt32.random(in: .min ... .max), radix: 16)
    return "\(directory)/\(prefix)\(getpid())-\(Self.place())-\(number)"
  }

  /// Removes what writers that do not exist any more have left behind.
  /// - Parameter newerFile: one that was made just now.
  func removeLeftovers(newerFile: Int32) {
    guard let folder = opendir(directory) else { return }
    defer { closedir(folder) }
    var now = stat()
    guard fstat(newerFile, &now) == 0 else { return }
    let place = Self.place()
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard name.hasPrefix(prefix), let writer = Self.writer(name.dropFirst(prefix.count)) else { continue }
      if kill(writer.process, 0) == 0 || errno != ESRCH { continue }
      let path = "\(directory)/\(name)"
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
      if writer.place == place || now.st_mtim.tv_sec - status.st_mtim.tv_sec > Self.oldAge { unlink(path) }
    }
  }

  /// What a name says behind the prefix; nil where this library did not make it. In names of earlier versions the place is empty.
  private static func writer(_ rest: Substring) -> (process: pid_t, place: Substring)? {
    let parts = rest.split(separator: "-" as Character, omittingEmptySubsequences: false)
    guard (2...3).contains(parts.count), let process = pid_t(parts[0]), process > 0,
      parts.dropFirst().allSatisfy({ UInt32($0, radix: 16) != nil })
    else { return nil }
    return (process, parts.count == 3 ? parts[1] : "")
  }

  /// Where a PID means the same process, as 32 bits in hexadecimal.
  private static func place() -> String {
    var status = stat()
    let namespace = stat("/proc/self/ns/pid", &status) == 0 ? UInt64(status.st_ino) : 0
    var hash: UInt64 = 14_695_981_039_346_656_037  // FNV-1a
    for byte in readSystemFile("/proc/sys/kernel/random/boot_id").utf8 {
      hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211
    }
    hash = (hash ^ namespace) &* 1_099_511_628_211
    return String(UInt32(truncatingIfNeeded: hash ^ hash >> 32), radix: 16)
  }
}
