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

  @Test func tilesThatAreRefusedAreNotAmongWhatComputes() {
    let report = SystemReport("nobody may"), granted = SystemReport(nil)
    #expect(report.instructionSet != "amx" && !report.usesTiles && report.tileRefusal == "nobody may")
    #expect(report.description.contains("\ntiles        refused: nobody may\n"))
    #expect(report.json["tiles"] == .bool(false) && report.json["tile_refusal"] == .string("nobody may"))
    #expect(granted.usesTiles == (granted.instructionSet == "amx") && granted.json["tile_refusal"] == .null)
    let kept = granted.usesTiles ? "granted" : "none that is used"
    #expect(granted.description.contains("\ntiles        \(kept)\n"))
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
