import CNNCore
import Glibc

/// An assembler that others wrote, as a witness.
enum OutsideAssembler: String, CaseIterable {
  case llvm, gnu

  /// Whether it is installed.
  var isThere: Bool { system("command -v \(self == .llvm ? "llvm-mc" : "as") objcopy > /dev/null") == 0 }

  /// The machine code of `lines` in Intel's syntax.
  func assemble(_ lines: [String], in folder: String) throws -> [UInt8] {
    let source = "\(folder)/code.s", object = "\(folder)/code.o", binary = "\(folder)/code.bin"
    try writeFile((".intel_syntax noprefix\n" + lines.joined(separator: "\n") + "\n").utf8, to: source)
    let command =
      switch self {
      case .llvm: "llvm-mc --arch=x86-64 -filetype=obj -o \(object) \(source)"
      case .gnu: "as --64 -o \(object) \(source)"
      }
    // Of thousands of complaints the first few say what is wrong.
    let log = "\(folder)/log"
    let both = "\(command) 2> \(log) && objcopy -O binary -j .text \(object) \(binary)"
    guard system("\(both) || { head -n 6 \(log) >&2; false; }") == 0 else {
      throw CNNError(.invalidArgument, "\(self) does not understand \(source)")
    }
    return try readFile(binary)
  }
}

/// A new empty folder for a test, and its removal.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  var template = Array("/tmp/x86assembler-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw CNNError(.inputOutput, "no temporary folder") }
  let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  defer { _ = system("rm -r \(folder)") }
  return try body(folder)
}

func writeFile(_ bytes: some Sequence<UInt8>, to path: String) throws {
  guard let file = fopen(path, "w") else { throw CNNError(.inputOutput, "\(path) cannot be written") }
  defer { fclose(file) }
  let bytes = Array(bytes)
  guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw CNNError(.inputOutput, path) }
}

func readFile(_ path: String) throws -> [UInt8] {
  guard let file = fopen(path, "r") else { throw CNNError(.inputOutput, "\(path) is missing") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
  return bytes
}
