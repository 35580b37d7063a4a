import CNNCore
import CNNGraph
import Glibc

/// What `SWIFTCNN_VERBOSE=placement` prints: for each node who was asked, who refused and why, who won, and the cost in
/// thousands of cycles.
final class PlacementLog {
  private static let isOn =
    getenv("SWIFTCNN_VERBOSE").map { String(cString: $0).split(separator: ",").contains("placement") } ?? false

  private(set) var refusals: [StepCost.Refusal] = []
  /// What each implementation said that was asked.
  private var answers: [(name: String, precision: Precision, answer: Answer)] = []

  private enum Answer {
    case refusal(String)
    /// Cycles, with those of reorders.
    case offer(Double)
  }

  private var text = ""

  func begin(_ candidate: Candidate) {
    (refusals, answers) = ([], [])
    guard Self.isOn else { return }
    text = "placement: \(candidate.name) (\(candidate.node.operation.kind)\(candidate.fusion))\n"
  }

  func refused(_ implementation: any Implementation, _ reason: String) {
    refusals.append(StepCost.Refusal(implementation: implementation.name, reason: reason))
    answers.append((implementation.name, implementation.precision, .refusal(reason)))
    if Self.isOn { text += "  \(implementation.name): no: \(reason)\n" }
  }

  func offered(_ implementation: any Implementation, _ cycles: Double, reorders: Double) {
    answers.append((implementation.name, implementation.precision, .offer(cycles + reorders)))
    guard Self.isOn else { return }
    let copies = reorders > 0 ? " and \(Self.thousands(reorders)) of reorders" : ""
    text += "  \(implementation.name): \(Self.thousands(cycles)) kcycles\(copies)\n"
  }

  /// Cycles as they are shown.
  static func thousands(_ cycles: Double) -> String { "\((cycles / 100).rounded() / 10)" }

  /// Why an implementation of so many cycles was chosen that does not compute in a precision.
  func reason(against precision: Precision, chosen: String, _ cycles: Double) -> String {
    let other = answers.first { $0.precision == precision }
    switch other?.answer {
    case .refusal(let reason): return reason
    case .offer(let others):
      return "slower: \(other?.name ?? "") would take \(Self.thousands(others)) thousand cycles, \(chosen) takes "
        + Self.thousands(cycles)
    case nil: return "no \(precision.rawValue) implementation"
    }
  }

  func chose(_ implementation: String) {
    if Self.isOn { writeToErrorStream("\(text)  -> \(implementation)\n") }
  }
}
