import CNNCore
import CX86Debugger

/// Tells gdb the names of generated code as long as the object lives, so that a stop in it shows the kernel.
final class DebuggerRegistration {
  private let entry: UnsafeMutablePointer<jit_code_entry>
  private let file: UnsafeMutableBufferPointer<UInt8>

  /// Guards gdb's list.
  private static let lock = ProcessLock()

  init(_ codes: [(code: MachineCode, address: UnsafeRawPointer)]) {
    let bytes = SymbolFile.bytes(codes)
    file = .allocate(capacity: bytes.count)
    _ = file.initialize(from: bytes)
    entry = .allocate(capacity: 1)
    entry.initialize(
      to: jit_code_entry(
        next_entry: nil, prev_entry: nil, symfile_addr: UnsafeRawPointer(file.baseAddress),
        symfile_size: UInt64(bytes.count)))
    Self.lock.withLock { [entry] in
      let descriptor = x86_debugger_descriptor()
      entry.pointee.next_entry = descriptor.pointee.first_entry
      descriptor.pointee.first_entry?.pointee.prev_entry = entry
      descriptor.pointee.first_entry = entry
      Self.announce(entry, registered: true)
    }
  }

  deinit {
    Self.lock.withLock { [entry] in
      let descriptor = x86_debugger_descriptor()
      let next = entry.pointee.next_entry, previous = entry.pointee.prev_entry
      next?.pointee.prev_entry = previous
      if let previous { previous.pointee.next_entry = next } else { descriptor.pointee.first_entry = next }
      Self.announce(entry, registered: false)
    }
    entry.deallocate()
    file.deallocate()
  }

  private static func announce(_ entry: UnsafeMutablePointer<jit_code_entry>, registered: Bool) {
    let descriptor = x86_debugger_descriptor()
    descriptor.pointee.relevant_entry = entry
    descriptor.pointee.action_flag = registered ? 1 : 2
    __jit_debug_register_code()
    descriptor.pointee.action_flag = 0
  }
}

/// The smallest ELF file that gives places in memory their names.
enum SymbolFile {
  static func bytes(_ codes: [(code: MachineCode, address: UnsafeRawPointer)]) -> [UInt8] {
    let start = codes.first.map { UInt64(UInt(bitPattern: $0.address)) } ?? 0
    let end = codes.last.map { UInt64(UInt(bitPattern: $0.address) + UInt($0.code.bytes.count)) } ?? 0
    let headerSize = 64, symbolSize = 24

    var symbols = Bytes(), names = Bytes()
    symbols.append(zeros: symbolSize)
    names.append(zeros: 1)
    for (code, address) in codes {
      symbols.append(UInt32(names.bytes.count))
      symbols.append(UInt8(0x12))  // a global function
      symbols.append(UInt8(0))
      symbols.append(UInt16(1))  // in section 1
      symbols.append(UInt64(UInt(bitPattern: address)) - start)
      symbols.append(UInt64(code.instructionByteCount))
      names.bytes += Array(code.name.utf8) + [0]
    }
    let sectionNames = Array("\0.text\0.symtab\0.strtab\0.shstrtab\0".utf8)

    var file = Bytes()
    file.bytes += [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1]  // ELF, 64 bits, little-endian
    file.append(zeros: 9)
    file.append(UInt16(1))  // relocatable: values of symbols count from their section
    file.append(UInt16(62))  // x86-64
    file.append(UInt32(1))
    file.append(zeros: 16)
    file.append(UInt64(headerSize))  // where the sections' headers are
    file.append(UInt32(0))
    for size in [headerSize, 0, 0, headerSize, 5, 4] { file.append(UInt16(size)) }

    let contents = headerSize + 5 * headerSize
    let namesOffset = contents + symbols.bytes.count
    file.append(zeros: headerSize)
    // Allocated and executable, without contents in the file: the code is where it is.
    file.appendSection(
      name: 1, kind: 8, flags: 6, address: start, offset: contents, size: Int(end - start), alignment: 64)
    file.appendSection(
      name: 7, kind: 2, offset: contents, size: symbols.bytes.count, link: 3, info: 1, alignment: 8,
      entrySize: symbolSize)
    file.appendSection(name: 15, kind: 3, offset: namesOffset, size: names.bytes.count)
    file.appendSection(name: 23, kind: 3, offset: namesOffset + names.bytes.count, size: sectionNames.count)
    return file.bytes + symbols.bytes + names.bytes + sectionNames
  }

  private struct Bytes {
    var bytes: [UInt8] = []

    mutating func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    mutating func append(zeros count: Int) { bytes += [UInt8](repeating: 0, count: count) }

    mutating func appendSection(
      name: Int, kind: Int, flags: Int = 0, address: UInt64 = 0, offset: Int, size: Int, link: Int = 0, info: Int = 0,
      alignment: Int = 1, entrySize: Int = 0
    ) {
      append(UInt32(name))
      append(UInt32(kind))
      append(UInt64(flags))
      append(address)
      append(UInt64(offset))
      append(UInt64(size))
      append(UInt32(link))
      append(UInt32(info))
      append(UInt64(alignment))
      append(UInt64(entrySize))
    }
  }
}
