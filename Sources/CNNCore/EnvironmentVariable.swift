import Glibc

/// A variable of the environment by which users change what the library does. What it does not know is reported once, since
/// each is read once.
public struct EnvironmentVariable {
  /// As in `SWIFTCNN_ISA`.
  public let name: String
  /// What it says; nil where it is not set, or empty.
  public let text: String?
  private let report: (String) -> Void

  /// A variable of this process.
  public init(_ name: String) {
    self.init(name, getenv(name).map { String(cString: $0) }) { writeToErrorStream($0) }
  }

  package init(_ name: String, _ text: String?, report: @escaping (String) -> Void) {
    (self.name, self.report) = (name, report)
    self.text = text == "" ? nil : text
  }

  /// The one of `choices` that it says; nil where it says none of them, or something else, which is reported.
  /// - Parameter otherwise: what is done then, as in `amx is used`.
  public func choice(among choices: [String], otherwise: @autoclosure () -> String) -> String? {
    text.flatMap { choice($0, among: choices, otherwise()) }
  }

  /// Those of `choices` that it lists with commas between them; anything else is reported.
  public func choices(among choices: [String], otherwise: @autoclosure () -> String) -> [String] {
    (text ?? "").split(separator: ",").compactMap { choice(String($0), among: choices, otherwise()) }
  }

  /// Whether it is `1`, and not `0`; anything else is reported.
  public func isOn(byDefault: Bool = false) -> Bool {
    let answers = (off: "0", on: "1")
    let answer = choice(among: [answers.off, answers.on], otherwise: "\(byDefault ? answers.on : answers.off) is used")
    return answer.map { $0 == answers.on } ?? byDefault
  }

  private func choice(_ word: String, among choices: [String], _ otherwise: @autoclosure () -> String) -> String? {
    if choices.contains(word) { return word }
    let names = choices.dropLast().joined(separator: ", ") + (choices.count > 1 ? " or " : "") + (choices.last ?? "")
    report("swiftcnn: \(name) is '\(word)'; \(names) is needed, so \(otherwise())\n")
    return nil
  }
}
