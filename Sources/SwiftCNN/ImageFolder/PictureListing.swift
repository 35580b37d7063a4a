import CNNCore
import Glibc

/// The picture files of a folder that has a folder for each class.
///
/// File names are bytes, as the system has them: they need not be text.
struct PictureListing: Sendable {
  /// The names of the classes' folders, in the order of their numbers.
  private(set) var classNames: [String] = []
  /// The class of each file. Files are sorted by the name of the class, or as classes were given, and within it by path.
  private(set) var labels: [Int32] = []
  /// How many folders within those of the classes were passed over, and why the first was.
  private(set) var unreadableCount = 0
  private(set) var firstUnreadable: CNNError?
  /// The paths from the root, each with a NUL at its end, and where each begins.
  private var paths: [UInt8] = []
  private var starts: [Int] = []
  private let root: [UInt8]
  private let skipsUnreadable: Bool

  /// The number of files.
  var count: Int { labels.count }

  /// Walks through the folder.
  /// - Parameters:
  ///   - chosen: the classes; nil: every folder is one.
  ///   - skipsUnreadable: whether folders in it that the system does not let be read are passed over and counted.
  /// - Throws: `.inputOutput` where the system does not let a folder be read, `.invalidArgument` where there are no
  ///   classes, a class is not there, or a folder has no picture.
  init(_ root: String, classes chosen: [String]?, skipsUnreadable: Bool) throws(CNNError) {
    try checkPath(root)
    (self.root, self.skipsUnreadable) = (Array(root.utf8), skipsUnreadable)
    let folders = sorted(try Self.entries(of: self.root).filter(Self.isFolder).map(\.name))
    let found = folders.map { String(decoding: $0, as: UTF8.self) }
    let names = chosen ?? found
    guard !names.isEmpty else {
      throw CNNError(.invalidArgument, "'\(root)' has no folders; expected one for each class, with pictures in it")
    }
    for name in names {
      guard let place = found.firstIndex(of: name) else {
        throw CNNError(.invalidArgument, "'\(option: "class_names")': '\(root)' has no folder '\(name)'")
      }
      guard names.firstIndex(of: name) == classNames.count else {
        throw CNNError(.invalidArgument, "the class '\(name)' is there twice; expected each once")
      }
      // Names are given out one a line.
      guard !name.utf8.contains(where: { $0 == 10 || $0 == 13 }) else {
        throw CNNError(.invalidArgument, "the folder '\(name)' has a line break in its name; expected one line of text")
      }
      try add(folders[place], mayBeEmpty: chosen != nil)
    }
    guard count > 0 else {
      throw CNNError(.invalidArgument, "'\(root)' has no pictures; expected files .jpg, .jpeg or .png in its folders")
    }
  }

  /// The same files with other classes.
  /// - Parameter labels: for each class its number among `names`.
  func renumbered(_ labels: [Int32], _ names: [String]) -> PictureListing {
    var result = self
    result.classNames = names
    result.labels = self.labels.map { labels[Int($0)] }
    return result
  }

  /// The path of a file, as messages show it.
  func name(_ index: Int) -> String {
    String(decoding: systemPath(index).dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The path of a file with a NUL at its end.
  func systemPath(_ index: Int) -> [CChar] {
    let end = index + 1 < starts.count ? starts[index + 1] : paths.count
    return (root + [slash] + paths[starts[index]..<end]).map { CChar(bitPattern: $0) }
  }

  // MARK: - Walking

  /// Adds the pictures of a class.
  private mutating func add(_ folder: [UInt8], mayBeEmpty: Bool) throws(CNNError) {
    let label = classNames.count, name = String(decoding: folder, as: UTF8.self)
    classNames.append(name)
    var files: [[UInt8]] = []
    var failure: CNNError?
    var waiting = [folder]
    // Links may lead back to where they are: each folder is visited once.
    var visited: Set<String> = []
    while let path = waiting.popLast() {
      var entries: [Entry] = []
      do throws(CNNError) {
        let whole = root + [slash] + path
        guard let identity = try Self.identity(of: whole), visited.insert(identity).inserted else { continue }
        entries = try Self.entries(of: whole)
      } catch {
        guard skipsUnreadable && error.isOfFile else { throw error }
        failure = failure ?? error
        unreadableCount += 1
      }
      for entry in entries {
        let inner = path + [slash] + entry.name
        if Self.isFolder(entry) {
          waiting.append(inner)
        } else if entry.mayBeFile && isPictureName(entry.name) {
          files.append(inner)
        }
      }
    }
    firstUnreadable = firstUnreadable ?? failure
    guard !files.isEmpty || mayBeEmpty else {
      if let failure { throw failure }
      throw CNNError(
        .invalidArgument,
        "the folder '\(name)' of '\(String(decoding: root, as: UTF8.self))' has no pictures; expected files .jpg, .jpeg "
          + "or .png (with '\(option: "class_names")', a class may have none)")
    }
    guard files.count <= Int(Int32.max) - count else {
      throw CNNError(.outOfMemory, "there are more than \(Int32.max) files")
    }
    for file in sorted(files) {
      starts.append(paths.count)
      paths += file
      paths.append(0)
      labels.append(Int32(truncatingIfNeeded: label))
    }
  }

  private struct Entry {
    let name: [UInt8]
    /// The path of the folder that it is in.
    let folder: [UInt8]
    let kind: Int

    /// Whether it could be read: not a device or a pipe. A link to nowhere is found out when it is read.
    var mayBeFile: Bool { [Int(DT_REG), Int(DT_LNK), Int(DT_UNKNOWN)].contains(kind) }
  }

  private static func isFolder(_ entry: Entry) -> Bool {
    if entry.kind == Int(DT_DIR) { return true }
    guard entry.kind == Int(DT_LNK) || entry.kind == Int(DT_UNKNOWN) else { return false }
    return status(of: entry.folder + [slash] + entry.name).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
  }

  /// What is in a folder, but for what is hidden.
  private static func entries(of path: [UInt8]) throws(CNNError) -> [Entry] {
    let name = String(decoding: path, as: UTF8.self)
    guard let folder = opendir((path + [0]).map { CChar(bitPattern: $0) }) else {
      throw systemError("read the folder", name)
    }
    defer { closedir(folder) }
    var result: [Entry] = []
    while true {
      errno = 0
      guard let entry = readdir(folder) else {
        let code = errno
        if code != 0 { throw systemError("read the folder", name, code: code) }
        return result
      }
      // In place: the record may be shorter than its type.
      let bytes = withUnsafeMutablePointer(to: &entry.pointee.d_name) { start in
        let text = UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
        return Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
      }
      if bytes.first != UInt8(ascii: ".") {
        result.append(Entry(name: bytes, folder: path, kind: Int(entry.pointee.d_type)))
      }
    }
  }

  private static func status(of path: [UInt8]) -> stat? {
    var status = stat()
    return stat((path + [0]).map { CChar(bitPattern: $0) }, &status) == 0 ? status : nil
  }

  /// What is the same for all paths that lead to a folder; nil where it has gone.
  private static func identity(of path: [UInt8]) throws(CNNError) -> String? {
    if let status = status(of: path) { return "\(status.st_dev) \(status.st_ino)" }
    let code = errno
    if code == ENOENT { return nil }
    throw systemError("read the folder", String(decoding: path, as: UTF8.self), code: code)
  }
}

private let slash = UInt8(ascii: "/")

/// Byte by byte.
@inline(never)
private func sorted(_ names: [[UInt8]]) -> [[UInt8]] { names.sorted { $0.lexicographicallyPrecedes($1) } }

/// Whether a file's name ends as that of a picture, in whichever case.
private func isPictureName(_ name: [UInt8]) -> Bool {
  let lower = name.suffix(5).map { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 | 32 : $0 }
  return [".jpg", ".jpeg", ".png"].contains { lower.suffix($0.utf8.count).elementsEqual($0.utf8) }
}
