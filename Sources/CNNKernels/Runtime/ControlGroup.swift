/// The limits that a container or service manager sets on a process.
enum ControlGroup {
  /// The number of processors' worth of time that the process may use, rounded up, or nil if it is not limited.
  ///
  /// A limit anywhere on the path to the root holds, so the smallest counts. Inside a container the path named in
  /// /proc is often that of the host and its files are missing; the walk then ends at the container's own root.
  static func processorQuota(
    groups: String = readSystemFile("/proc/self/cgroup"), root: String = "/sys/fs/cgroup"
  ) -> Int? {
    var smallest: Int?
    for line in groups.split(separator: "\n") {
      // hierarchy:controllers:path, with no controllers in version 2
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      let mounts: [String]
      if controllers.isEmpty {
        mounts = [root, "\(root)/unified"]
      } else if controllers.contains("cpu") {
        mounts = ["\(root)/\(fields[1])", "\(root)/cpu"]
      } else {
        continue
      }
      for mount in mounts {
        var names = fields[2].split(separator: "/")
        while true {
          let folder = ([mount] + names.map(String.init)).joined(separator: "/")
          if let quota = quota(ofGroupAt: folder) { smallest = min(smallest ?? quota, quota) }
          if names.popLast() == nil { break }
        }
      }
    }
    return smallest
  }

  private static func quota(ofGroupAt folder: String) -> Int? {
    // Version 2: "max 100000" or "150000 100000"; version 1 has the two numbers in two files, -1 for no limit.
    var numbers = readSystemFile("\(folder)/cpu.max").split(whereSeparator: \.isWhitespace).map { Int($0) }
    if numbers.isEmpty {
      numbers = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map { name in
        readSystemFile("\(folder)/\(name)").split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
      }
    }
    guard numbers.count == 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else { return nil }
    return (quota - 1) / period + 1
  }
}
