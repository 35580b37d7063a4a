/// The limits that a container or service manager sets on a process.
///
/// A limit anywhere on the path to the root holds, so the smallest counts. Inside a container the path named in /proc is
/// often that of the host and its files are missing; the walk then ends at the container's own root.
public enum ControlGroup {
  /// The number of processors' worth of time that the process may use, rounded up, or nil if it is not limited.
  public static func processorQuota(
    groups: String = readSystemFile("/proc/self/cgroup"), root: String = "/sys/fs/cgroup"
  ) -> Int? {
    folders(controller: "cpu", groups, root).compactMap { folder in
      // Version 2: "max 100000" or "150000 100000"; version 1 has the two numbers in two files, -1 for no limit.
      var numbers = words(in: "\(folder)/cpu.max").map { Int($0) }
      if numbers.isEmpty { numbers = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map { number(in: "\(folder)/\($0)") } }
      guard numbers.count == 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else {
        return nil
      }
      return (quota - 1) / period + 1
    }.min()
  }

  /// The bytes that the process may still take, or nil if it is not limited.
  public static func availableMemory(
    groups: String = readSystemFile("/proc/self/cgroup"), root: String = "/sys/fs/cgroup"
  ) -> Int? {
    folders(controller: "memory", groups, root).compactMap { folder in
      for (limit, usage) in [
        ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"),
      ] {
        if let limit = number(in: "\(folder)/\(limit)"), let used = number(in: "\(folder)/\(usage)") {
          return max(0, limit.subtractingReportingOverflow(used).partialValue)
        }
      }
      return nil
    }.min()
  }

  /// The folders in which a controller's files are, from the process's own group up to the root.
  private static func folders(controller: String, _ groups: String, _ root: String) -> [String] {
    var result: [String] = []
    for line in groups.split(separator: "\n") {
      // hierarchy:controllers:path, with no controllers in version 2
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      let mounts: [String]
      if controllers.isEmpty {
        mounts = [root, "\(root)/unified"]
      } else if controllers.contains(where: { $0 == controller }) {
        mounts = ["\(root)/\(fields[1])", "\(root)/\(controller)"]
      } else {
        continue
      }
      for mount in mounts {
        var names = fields[2].split(separator: "/")
        repeat { result.append(([mount] + names.map(String.init)).joined(separator: "/")) } while names.popLast() != nil
      }
    }
    return result
  }

  private static func words(in path: String) -> [Substring] {
    readSystemFile(path).split(whereSeparator: \.isWhitespace)
  }

  private static func number(in path: String) -> Int? { words(in: path).first.flatMap { Int($0) } }
}
