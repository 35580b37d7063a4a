import CNNCore
import Glibc
import Synchronization

/// Code that can be called: all kernels of a plan in one block of memory, which is never writable and executable at
/// once. Freed with the object.
public final class ExecutableMemory: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  private let offsets: [Int]
  private let registration: DebuggerRegistration?

  /// Puts the codes into memory, each at a multiple of 64 bytes, and writes what `SWIFTCNN_JIT_DUMP` and
  /// `SWIFTCNN_JIT_PERF` ask for.
  /// - Throws: `.invalidState` where the system allows no new code; the caller then does without.
  public convenience init(_ codes: [MachineCode]) throws(CNNError) {
    do throws(CNNError) {
      try self.init(codes, ways: Way.allCases, inspection: .fromEnvironment)
    } catch {
      Self.wasRefused.store(true, ordering: .relaxed)
      throw error
    }
  }

  private static let wasRefused = Atomic(false)

  /// What it means that the system has once given no memory for code to this process, and what to do; nil where it always
  /// has.
  public static var refusal: StaticString? {
    guard wasRefused.load(ordering: .relaxed) else { return nil }
    return """
      portable kernels are used, which are many times slower: the system gives no executable memory for generated code. \
      Where a sandbox forbids it (seccomp, SELinux, MemoryDenyWriteExecute= of systemd, PR_SET_MDWE), allow memfd_create \
      with mmap(PROT_EXEC), or mprotect(PROT_EXEC); where memory is limited (ulimit -v), raise the limit
      """
  }

  init(_ codes: [MachineCode], ways: [Way], inspection: CodeInspection) throws(CNNError) {
    var offsets: [Int] = [], end = 0
    for code in codes {
      offsets.append(end)
      end += (code.bytes.count + 63) / 64 * 64
    }
    let pageByteCount = max(4096, sysconf(Int32(_SC_PAGESIZE)))
    byteCount = max(1, (end + pageByteCount - 1) / pageByteCount) * pageByteCount
    self.offsets = offsets
    base = try Self.map(byteCount, ways) { memory in
      // int3: a jump to a place where there is no code stops there.
      memset(memory, 0xCC, end)
      for (code, offset) in zip(codes, offsets) {
        code.bytes.withUnsafeBytes { bytes in
          if let source = bytes.baseAddress { memcpy(memory + offset, source, bytes.count) }
        }
      }
    }
    let placed = zip(codes, offsets).map { [base] in (code: $0, address: UnsafeRawPointer(base + $1)) }
    inspection.show(placed)
    registration = inspection.registersWithDebugger && !placed.isEmpty ? DebuggerRegistration(placed) : nil
  }

  deinit { munmap(base, byteCount) }

  /// Where the code number `index` begins.
  public func address(of index: Int) -> UnsafeRawPointer { UnsafeRawPointer(base + offsets[index]) }

  /// How memory becomes executable.
  enum Way: CaseIterable {
    /// A file in memory, mapped once to be written and once to be run; the first mapping is gone before the code runs.
    case memoryFile
    /// Memory that is written first and then made executable.
    case protection
  }

  private static func map(
    _ byteCount: Int, _ ways: [Way], fill: (UnsafeMutableRawPointer) -> Void
  ) throws(CNNError) -> UnsafeMutableRawPointer {
    for way in ways {
      switch way {
      case .memoryFile: if let memory = mapMemoryFile(byteCount, fill) { return memory }
      case .protection: if let memory = mapProtected(byteCount, fill) { return memory }
      }
    }
    throw CNNError(.invalidState, "the system gives no memory for generated code (\(byteCount) bytes asked)")
  }

  private static func mapMemoryFile(
    _ byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) -> UnsafeMutableRawPointer? {
    let closeOnExec: UInt32 = 1
    guard let file = createMemoryFile?("swiftcnn-code", closeOnExec), file >= 0 else { return nil }
    defer { close(file) }
    guard withoutFileSizeSignal({ ftruncate(file, byteCount) }) == 0,
      let writable = map(byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file)
    else { return nil }
    fill(writable)
    munmap(writable, byteCount)
    // Private, since in memory that is shared a debugger cannot set breakpoints.
    return map(byteCount, PROT_READ | PROT_EXEC, MAP_PRIVATE, file)
  }

  private static func mapProtected(
    _ byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void
  ) -> UnsafeMutableRawPointer? {
    guard let memory = map(byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1) else { return nil }
    fill(memory)
    if mprotect(memory, byteCount, PROT_READ | PROT_EXEC) == 0 { return memory }
    munmap(memory, byteCount)
    return nil
  }

  private static func map(
    _ byteCount: Int, _ protection: Int32, _ flags: Int32, _ file: Int32
  ) -> UnsafeMutableRawPointer? {
    let memory = mmap(nil, byteCount, protection, flags, file, 0)
    return memory == MAP_FAILED ? nil : memory
  }

  private typealias CreateMemoryFile = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32

  /// Looked up, since Swift's Glibc does not have it.
  private static let createMemoryFile: CreateMemoryFile? =
    dlsym(nil, "memfd_create").map { unsafeBitCast($0, to: CreateMemoryFile.self) }
}
