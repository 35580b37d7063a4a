import CNNCore
import Glibc
import Testing

@testable import SwiftCNN

private let old = Array("old contents".utf8)

@Suite struct AtomicFileTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("model")
  }

  private func permissions(_ path: String) -> mode_t? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
  }

  @Test func createsAFileWithTheUsualPermissions() throws {
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      try file.write("one ")
      try file.write("two")
    }
    #expect(contents(of: path) == Array("one two".utf8))
    #expect(directory.names() == ["model"])
    let mask = umask(0o022)
    umask(mask)
    #expect(permissions(path) == 0o666 & ~mask)
  }

  @Test func replacesAFileAndKeepsItsPermissions() throws {
    try put(old, to: path)
    chmod(path, 0o640)
    try AtomicFile.write(to: path) { (file) throws(CNNError) in try file.write("new") }
    #expect(contents(of: path) == Array("new".utf8))
    #expect(permissions(path) == 0o640)
    #expect(directory.names() == ["model"])
  }

  @Test func keepsTheOldFileWhenTheWriterThrows() throws {
    try put(old, to: path)
    let thrown = CNNError(.notFinite, "x")
    let error = #expect(throws: CNNError.self) {
      try AtomicFile.write(to: path) { (file) throws(CNNError) in
        try file.write("half")
        throw thrown
      }
    }
    #expect(error == thrown)
    #expect(contents(of: path) == old)
    #expect(directory.names() == ["model"])
  }

  @Test func keepsTheOldFileWhenTheDiskIsFull() throws {
    try put(old, to: path)
    let full = open("/dev/full", O_WRONLY)
    try #require(full >= 0)
    defer { close(full) }
    let error = #expect(throws: CNNError.self) {
      try AtomicFile.write(to: path) { (file) throws(CNNError) in
        try file.write("half")
        dup2(full, file.descriptor)
        try file.write("the rest")
      }
    }
    #expect(
      error == CNNError(.inputOutput, "cannot write '\(path)': No space left on device", systemCode: ENOSPC))
    #expect(contents(of: path) == old)
    #expect(directory.names() == ["model"])
  }

  @Test func surfacesTheFileSizeLimitAsAnError() async throws {
    // The limit belongs to the whole process, hence the exit test. SIGXFSZ keeps its default, deadly, action.
    try put(old, to: path)
    await #expect(processExitsWith: .success) { [path = path as String] in
      var limit = rlimit(rlim_cur: 100_000, rlim_max: 100_000)
      guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { exit(2) }
      signal(SIGXFSZ, SIG_DFL)
      do throws(CNNError) {
        try AtomicFile.write(to: path) { (file) throws(CNNError) in
          try file.write(String(repeating: "x", count: 1_000_000))
        }
        exit(3)
      } catch {
        exit(error.code == .inputOutput && error.message.hasSuffix(": File too large") ? 0 : 4)
      }
    }
    #expect(contents(of: path) == old)
    #expect(directory.names() == ["model"])
  }

  @Test func keepsTheOldFileWhenTheProcessIsKilled() async throws {
    try put(old, to: path)
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      try AtomicFile.write(to: path) { (file) throws(CNNError) in
        try file.write("half")
        kill(getpid(), SIGKILL)
      }
    }
    #expect(contents(of: path) == old)
  }

  @Test func writesThroughSymbolicLinks() throws {
    try put(old, to: path)
    let link = directory.file("link"), chain = directory.file("chain"), dangling = directory.file("dangling")
    symlink("model", link)
    symlink(link, chain)
    symlink("later", dangling)
    try AtomicFile.write(to: chain) { (file) throws(CNNError) in try file.write("new") }
    try AtomicFile.write(to: dangling) { (file) throws(CNNError) in try file.write("later") }
    #expect(contents(of: path) == Array("new".utf8))
    #expect(contents(of: directory.file("later")) == Array("later".utf8))
    #expect(directory.names() == ["chain", "dangling", "later", "link", "model"])
    var status = stat()
    #expect(lstat(chain, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
  }

  @Test func refusesLinksThatGoRound() throws {
    symlink("model", path)
    #expect(throws: CNNError.self) { try AtomicFile.write(to: path) { _ in } }
  }

  @Test func replacesNothingButRegularFiles() throws {
    mkfifo(path, 0o600)
    for path in [path, directory.path, "/dev/null"] {
      let error = #expect(throws: CNNError.self) { try AtomicFile.write(to: path) { _ in } }
      #expect(error?.code == .inputOutput)
      #expect(error?.message.contains("not a regular file") == true)
    }
    #expect(directory.names() == ["model"])
  }

  @Test(arguments: ["", "a\0b", "/nonexistent/model", "/proc/model", "/dev/null/model"])
  func refusesPathsThatCannotBe(path: String) {
    let error = #expect(throws: CNNError.self) { try AtomicFile.write(to: path) { _ in } }
    #expect(error?.code == .inputOutput)
  }

  @Test func acceptsTheLongestNames() throws {
    let long = directory.file(String(repeating: "é", count: 127))
    try AtomicFile.write(to: long) { (file) throws(CNNError) in try file.write("new") }
    #expect(contents(of: long) == Array("new".utf8))
    let tooLong = directory.file(String(repeating: "é", count: 128))
    #expect(throws: CNNError.self) { try AtomicFile.write(to: tooLong) { _ in } }
    #expect(directory.names().count == 1)
  }
}
