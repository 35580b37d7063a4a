import Glibc

/// The file of this library.
enum ThisLibrary {
  /// A byte of this library, by which the system tells which file it is.
  private static let landmark: StaticString = "landmark"

  /// The file's path; nil where the system does not tell.
  static var path: String? {
    // By name, since Swift's view of the system's headers leaves dladdr out. It fills four pointers, the file's name first.
    typealias Dladdr = @convention(c) (UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Int32
    guard let function = dlsym(nil, "dladdr") else { return nil }
    var info: [UnsafeRawPointer?] = [nil, nil, nil, nil]
    let isFound = info.withUnsafeMutableBytes {
      unsafeBitCast(function, to: Dladdr.self)(UnsafeRawPointer(landmark.utf8Start), $0.baseAddress)
    }
    guard isFound != 0, let file = info[0] else { return nil }
    return String(cString: file.assumingMemoryBound(to: CChar.self))
  }

  /// The folder that it lies in.
  static var folder: String? {
    guard let path, let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
    return String(path[..<slash])
  }
}
