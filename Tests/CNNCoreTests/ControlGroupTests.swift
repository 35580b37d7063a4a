import CNNCore
import Glibc
import Testing

@Test func limitsAreReadAndTheSmallestOnThePathCounts() throws {
  var template = Array("/tmp/swiftcnn-cgroup-XXXXXX".utf8CString)
  let root = try #require(mkdtemp(&template).map { String(cString: $0) })
  var made = [root]
  defer { for path in made.reversed() { remove(path) } }
  func write(_ text: String, _ path: String) throws {
    var folder = root
    for name in path.split(separator: "/").dropLast() {
      folder += "/\(name)"
      if mkdir(folder, 0o755) == 0 { made.append(folder) }
    }
    let file = try #require(fopen("\(root)/\(path)", "w"))
    fputs(text, file)
    fclose(file)
    made.append("\(root)/\(path)")
  }
  try write("max 100000\n", "a/b/cpu.max")
  try write("250000 100000\n", "a/cpu.max")
  #expect(ControlGroup.processorQuota(groups: "0::/a/b\n", root: root) == 3)
  #expect(ControlGroup.processorQuota(groups: "0::/elsewhere\n", root: root) == nil)
  try write("100000 100000\n", "cpu.max")
  #expect(ControlGroup.processorQuota(groups: "0::/elsewhere/on/the/host\n", root: root) == 1)

  try write("-1\n", "cpu,cpuacct/x/cpu.cfs_quota_us")
  try write("100000\n", "cpu,cpuacct/x/cpu.cfs_period_us")
  #expect(ControlGroup.processorQuota(groups: "4:cpu,cpuacct:/x\n", root: root) == nil)
  try write("150000\n", "cpu,cpuacct/x/cpu.cfs_quota_us")
  #expect(ControlGroup.processorQuota(groups: "9:memory:/x\n4:cpu,cpuacct:/x\n", root: root) == 2)

  // A quarter of the limit is taken.
  try write("4000\n", "m/memory.max")
  try write("1000\n", "m/memory.current")
  #expect(ControlGroup.availableMemory(groups: "0::/m\n", root: root) == 3000)
  try write("max\n", "m/memory.max")
  #expect(ControlGroup.availableMemory(groups: "0::/m\n", root: root) == nil)
}
