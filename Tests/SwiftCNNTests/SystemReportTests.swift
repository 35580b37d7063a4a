import CNNCore
import CNNRuntime
import SwiftCNN
import Testing

@Suite struct SystemReportTests {
  @Test func itSaysWhatComputationsUse() throws {
    let report = SystemReport()
    #expect(report.threadCount == Threads.count)
    #expect(report.libraries.map(\.name) == ["OpenBLAS", "JPEG", "PNG"])
    let known = report.features + (report.features.contains("amx_tile") ? ["amx"] : [])
    #expect(report.instructionSet == "portable" || known.contains(report.instructionSet))
    #expect(report.hasExecutableMemory == (Computing.slowReason == nil))
    #expect(try JSON(parsing: JSON.object(report.json).serialized()).objectValue == report.json)
  }

  @Test func whatIsMissingAndWhatIsWrongIsInTheTable() {
    var report = SystemReport()
    report.libraries = [.init(name: "PNG", found: nil, advice: "install it")]
    report.problems = ["this is slow"]
    let rows = report.description.split(separator: "\n")
    #expect(rows.suffix(2) == ["PNG          not found: install it", "problem      this is slow"])
    report.problems = []
    #expect(report.description.hasSuffix("\nproblems     none"))
  }
}
