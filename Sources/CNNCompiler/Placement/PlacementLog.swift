import CNNCore
import CNNGraph
import Glibc

/// What `SWIFTCNN_VERBOSE=placement` prints: for each node who was asked, who refused and why, who won, and the cost in
/// thousands of cycles.
final class PlacementLog {
  private static let isOn =
    getenv("SWIFTCNN_VERBOSE").map { String(cString: $0).split(separator: ",").contains("placement") } ?? false

  private(set) var refusals: [StepCost.Refusal] = []
  /// What those said that compute in another precision than the one that was chosen.
  private var answers: [(precision: Precision, text: String)] = []
  private var text = ""

  func begin(_ candidate: Candidate) {
    (refusals, answers) = ([], [])
    guard Self.isOn else { return }
    text = "placement: \(candidate.name) (\(candidate.node.operation.kind)\(candidate.fusion))\n"
  }

  func refused(_ implementation: any Implementation, _ reason: String) {
    refusals.append(StepCost.Refusal(implementation: implementation.name, reason: reason))
    answers.append((implementation.precision, reason))
    if Self.isOn { text += "  \(implementation.name): no: \(reason)\n" }
  }

  func offered(_ implementation: any Implementation, _ cycles: Double, reorders: Double) {
    func thousands(_ cycles: Double) -> String { "\((cycles / 100).rounded() / 10)" }
    answers.append((implementation.precision, "slower: \(thousands(cycles + reorders)) thousand cycles"))
    guard Self.isOn else { return }
    let copies = reorders > 0 ? " and \(thousands(reorders)) of reorders" : ""
    text += "  \(implementation.name): \(thousands(cycles)) kcycles\(copies)\n"
  }

  /// Why what was chosen does not compute in a precision.
  func reason(against precision: Precision) -> String {
    answers.first { $0.precision == precision }?.text ?? "no \(precision.rawValue) implementation"
  }

  func chose(_ implementation: String) {
    if Self.isOn { writeToErrorStream("\(text)  -> \(implementation)\n") }
  }
}
