import CNNCore
import CNNGraph

/// What `SWIFTCNN_VERBOSE=placement` prints: for each node who was asked, who refused and why, who won, the cost in
/// thousands of cycles, and what the result is.
final class PlacementLog {
  /// Writes to the error stream, where that is asked for.
  static let printing: (@Sendable (String) -> Void)? =
    EnvironmentVariable("SWIFTCNN_VERBOSE").choices(among: ["placement"], otherwise: "nothing is printed for it")
      .isEmpty
    ? nil : { @Sendable in writeToErrorStream($0) }

  private let report: ((String) -> Void)?
  /// What each implementation said that was asked.
  private var answers: [(name: String, precision: Precision, answer: Answer)] = []

  private enum Answer {
    case refusal(String)
    /// Cycles, with those of reorders.
    case offer(Double)
  }

  private var text = ""

  /// - Parameter report: is told of each node; nil where nobody asks.
  init(_ report: ((String) -> Void)?) { self.report = report }

  func begin(_ candidate: Candidate) {
    answers = []
    guard report != nil else { return }
    text = "placement: \(candidate.name) (\(candidate.node.operation.kind)\(candidate.fusion))\n"
  }

  func refused(_ implementation: any Implementation, _ reason: String) {
    answers.append((implementation.name, implementation.precision, .refusal(reason)))
    if report != nil { text += "  \(implementation.name): no: \(reason)\n" }
  }

  func offered(_ implementation: any Implementation, _ cycles: Double, reorders: Double) {
    answers.append((implementation.name, implementation.precision, .offer(cycles + reorders)))
    guard report != nil else { return }
    let copies = reorders > 0 ? " and \(Self.thousands(reorders)) of reorders" : ""
    text += "  \(implementation.name): \(Self.thousands(cycles)) kcycles\(copies)\n"
  }

  /// Cycles as they are shown.
  static func thousands(_ cycles: Double) -> String { "\((cycles / 100).rounded() / 10)" }

  /// Why an implementation of so many cycles was chosen that does not compute in a precision.
  func reason(against precision: Precision, chosen: String, _ cycles: Double) -> String {
    var offers: [(name: String, cycles: Double)] = [], reasons: [String] = []
    for other in answers where other.precision == precision {
      switch other.answer {
      case .refusal(let reason): reasons.append(reason)
      case .offer(let cycles): offers.append((other.name, cycles))
      }
    }
    if let best = offers.min(by: { $0.cycles < $1.cycles }) {
      return "slower: \(best.name) would take \(Self.thousands(best.cycles)) thousand cycles, \(chosen) takes "
        + Self.thousands(cycles)
    }
    return reasons.isEmpty ? "no \(precision.rawValue) implementation" : Self.joined(reasons)
  }

  /// Reasons in a row, each once.
  static func joined(_ reasons: [String]) -> String {
    reasons.enumerated().filter { !reasons[..<$0].contains($1) }.map(\.element).joined(separator: "; ")
  }

  /// What is printed of a node when it has been placed; others may be before that.
  func chose(_ implementation: String) -> String { report == nil ? "" : "\(text)  -> \(implementation)" }

  func placed(_ choice: String, _ result: TensorType?) {
    report?("\(choice)\(result.map { ": \($0)" } ?? "")\n")
  }
}
