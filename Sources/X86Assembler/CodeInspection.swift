import CNNCore
import Glibc

/// What makes generated code visible from outside.
struct CodeInspection: Sendable {
  /// The folder for the codes and their listings.
  var dumpFolder: String?
  /// The file in which `perf` looks for the names of generated code.
  var perfMap: String?
  /// Whether gdb is told of the code.
  var registersWithDebugger = false

  /// As `SWIFTCNN_JIT_DUMP=folder`, `SWIFTCNN_JIT_PERF=1` and `SWIFTCNN_JIT_GDB=1` say.
  static var fromEnvironment: CodeInspection {
    CodeInspection(
      dumpFolder: dumpFolder, perfMap: writesPerfMap ? "/tmp/perf-\(getpid()).map" : nil,
      registersWithDebugger: registersWithDebugger)
  }

  private static let dumpFolder = EnvironmentVariable("SWIFTCNN_JIT_DUMP").text
  private static let writesPerfMap = EnvironmentVariable("SWIFTCNN_JIT_PERF").isOn()
  private static let registersWithDebugger = EnvironmentVariable("SWIFTCNN_JIT_GDB").isOn()

  /// Writes what is asked for. A file that cannot be written is left out: this is for looking, not for working.
  func show(_ codes: [(code: MachineCode, address: UnsafeRawPointer)]) {
    if let dumpFolder {
      for (code, _) in codes {
        Self.write(code.bytes, to: "\(dumpFolder)/\(code.name).bin", mode: "w")
        Self.write(Array(code.listing.utf8), to: "\(dumpFolder)/\(code.name).txt", mode: "w")
      }
    }
    if let perfMap {
      let lines = codes.map { code, address in
        let start = String(UInt(bitPattern: address), radix: 16)
        return "\(start) \(String(code.instructionByteCount, radix: 16)) \(code.name)\n"
      }
      Self.write(Array(lines.joined().utf8), to: perfMap, mode: "a")
    }
  }

  private static func write(_ bytes: [UInt8], to path: String, mode: String) {
    withoutFileSizeSignal {
      guard let file = fopen(path, mode) else { return }
      fwrite(bytes, 1, bytes.count, file)
      fclose(file)
    }
  }
}

extension MachineCode {
  /// The notes with their offsets, in hexadecimal as objdump has them, and what to call to see the instructions.
  var listing: String {
    var text = "; \(name): \(instructionByteCount) bytes of instructions, \(bytes.count) with constants\n"
    text += "; objdump -D -b binary -mi386:x86-64 -M intel \(name).bin\n"
    for note in notes {
      let digits = String(note.offset, radix: 16)
      text += String(repeating: " ", count: max(0, 6 - digits.utf8.count)) + digits + ":  ; " + note.text + "\n"
    }
    return text
  }
}
