import CNNCore
import Glibc

/// The folder of a file, in other files of which a part of its contents lies. Nothing outside of it is read, whatever the
/// file says.
struct FilesOfFolder {
  private let path: String

  /// The folder in which this file lies.
  init(of path: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else {
      self.path = "."
      return
    }
    self.path = slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Opens a file in the folder.
  /// - Parameter followsLinks: whether a symbolic link may lead out, as those of a cache of downloads do.
  /// - Throws: `.malformedFile` for a name that leads out of the folder; `.inputOutput`.
  func open(_ name: String, followsLinks: Bool) throws(CNNError) -> FileReader {
    let outside = CNNError(.malformedFile, "'\(name.prefix(200))' lies outside of the file's folder, and is not read")
    let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard !name.isEmpty, !name.utf8.contains(0), name.utf8.first != UInt8(ascii: "/"),
      parts.allSatisfy({ !$0.elementsEqual("..".utf8) })
    else { throw outside }
    if followsLinks { return try FileReader(path: "\(path)/\(name)") }
    let folder = try resolved(path), target = try resolved("\(path)/\(name)")
    guard target.utf8.starts(with: (folder == "/" ? folder : folder + "/").utf8) else { throw outside }
    return try FileReader(path: target)
  }

  private func resolved(_ path: String) throws(CNNError) -> String {
    guard let result = realpath(path, nil) else { throw systemError("open", path) }
    defer { free(result) }
    return String(cString: result)
  }
}

/// Whether a path is that of a folder.
func isFolder(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Whether there is something by this name.
func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
