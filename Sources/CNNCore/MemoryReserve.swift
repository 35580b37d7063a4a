import Glibc

/// Memory that stays free for what a call allocates in passing.
///
/// What a caller or a file sizes is allocated with a check (`Memory`). The rest, names and lists and graphs, Swift
/// allocates itself, and ends the process where there is nothing left. So under a limit (`ulimit -v`) a call begins, and
/// a large block is taken, only where this much is left beside.
public enum MemoryReserve {
  /// What is kept, in bytes.
  public static let byteCount = 32 << 20

  /// Throws where less is left.
  /// - Throws: `.outOfMemory`.
  public static func require() throws(CNNError) {
    if isLeft { return }
    // Without a number in it, since making a text takes memory.
    throw CNNError(
      .outOfMemory, "less than 32 MiB of address space are left below the process's limit (ulimit -v); raise it")
  }

  /// Whether so much is left; without a limit it always is.
  static var isLeft: Bool {
    guard isLimited(RLIMIT_AS) || isLimited(RLIMIT_DATA) else { return true }
    guard
      let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      memory != MAP_FAILED
    else { return false }
    munmap(memory, byteCount)
    return true
  }

  private static func isLimited(_ resource: __rlimit_resource) -> Bool {
    var limit = rlimit()
    return getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 && limit.rlim_cur != .max
  }
}
