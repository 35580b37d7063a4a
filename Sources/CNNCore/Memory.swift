import Glibc

/// A block of memory from the one checked allocator: aligned to a cache line, zeroed, freed with the object.
///
/// Swift's own allocation ends the process when it fails, so everything that a caller or a file sizes comes from here.
/// Sharing between threads is by the rules of whoever owns the block.
public final class Memory: @unchecked Sendable {
  /// The first byte; 64-byte aligned.
  public let base: UnsafeMutableRawPointer
  /// The size in bytes (at least 1 byte is really held).
  public let byteCount: Int

  /// The pages of a large block.
  private let mapping: UnsafeMutableRawBufferPointer?

  /// Cache-line alignment of every block, in bytes.
  public static let alignment = 64

  /// The size of the pages that the system is asked for behind large blocks. With the usual 4 KiB, a kernel that walks
  /// along several megabytes waits for address translations, and where the pages happen to lie decides which of them
  /// share the sets of the second cache: the same step took from 0.3 to 0.5 ms.
  private static let largePage = 2 << 20

  /// `byteCount` rounded up to whole cache lines.
  /// - Throws: `.outOfMemory` if that overflows.
  public static func aligned(_ byteCount: Int) throws(CNNError) -> Int {
    try Checked.sum([byteCount, alignment - 1], "memory") / alignment * alignment
  }

  /// Reserves `byteCount` zeroed bytes.
  /// - Throws: `.outOfMemory` naming `what` if the size is negative, larger than what is available, or refused.
  public init(byteCount: Int, for what: @autoclosure () -> String) throws(CNNError) {
    // Linux hands out more address space than there is memory, and kills the process when it is touched.
    // Small blocks need no look at the system: it would cost more than they do.
    let limit = byteCount < 1 << 26 ? Memory.physicalByteCount : Memory.availableByteCount
    guard byteCount >= 0, byteCount <= limit else {
      throw CNNError(.outOfMemory, "\(what()): \(byteCount) bytes asked, \(limit) are available")
    }
    self.byteCount = byteCount
    if byteCount >= Memory.largePage {
      guard let mapping = Memory.map(byteCount) else {
        throw CNNError(.outOfMemory, "\(what()): \(byteCount) bytes could not be allocated")
      }
      (base, self.mapping) = mapping
      guard MemoryReserve.isLeft else {
        munmap(mapping.mapping.baseAddress, mapping.mapping.count)
        throw CNNError(
          .outOfMemory, "\(what()): \(byteCount) bytes could not be allocated: too little would be left beside them")
      }
      return
    }
    var pointer: UnsafeMutableRawPointer?
    let status = posix_memalign(&pointer, Memory.alignment, max(byteCount, 1))
    guard status == 0, let pointer else {
      throw CNNError(.outOfMemory, "\(what()): \(byteCount) bytes could not be allocated")
    }
    memset(pointer, 0, max(byteCount, 1))
    (base, mapping) = (pointer, nil)
  }

  /// Pages from the system, which gives them zeroed: clearing them once more would double the time a model takes to start.
  private static func map(_ byteCount: Int) -> (base: UnsafeMutableRawPointer, mapping: UnsafeMutableRawBufferPointer)?
  {
    let (length, overflow) = byteCount.addingReportingOverflow(largePage)
    guard !overflow, let start = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      start != MAP_FAILED
    else { return nil }
    let base = UnsafeMutableRawPointer(
      bitPattern: (UInt(bitPattern: start) + UInt(largePage - 1)) & ~UInt(largePage - 1))
    guard let base else { return nil }
    // A request; where it is refused, nothing else changes.
    madvise(base, byteCount / largePage * largePage, Int32(MADV_HUGEPAGE))
    return (base, UnsafeMutableRawBufferPointer(start: start, count: length))
  }

  /// Reserves room for `count` elements of `type`.
  public convenience init(count: Int, of type: ElementType, for what: @autoclosure () -> String) throws(CNNError) {
    try self.init(byteCount: Checked.product([count, type.byteCount], what()), for: what())
  }

  deinit {
    if let mapping { munmap(mapping.baseAddress, mapping.count) } else { free(base) }
  }

  /// The block as floats.
  public var floats: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: base.assumingMemoryBound(to: Float.self), count: byteCount / 4)
  }

  /// What the process may still take, in bytes: of the machine's memory and of its control group's.
  public static var availableByteCount: Int {
    let lines = readSystemFile("/proc/meminfo").split(separator: "\n")
    let kilobytes = lines.first { $0.hasPrefix("MemAvailable:") }?.split(separator: " ").dropFirst().first
    let ofMachine = kilobytes.flatMap { Int($0) }.map { $0 * 1024 } ?? physicalByteCount
    return min(ofMachine, ControlGroup.availableMemory() ?? ofMachine)
  }

  /// The machine's memory in bytes.
  public static let physicalByteCount: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    return pages > 0 && pageSize > 0 ? pages * pageSize : 1 << 34
  }()
}
