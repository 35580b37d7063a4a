import Testing

@testable import CNNCore

@Suite struct EnvironmentVariableTests {
  /// What a variable's reader makes of a text, and what it reports.
  private func read<Result>(_ text: String?, _ read: (EnvironmentVariable) -> Result) -> (
    result: Result, said: [String]
  ) {
    var said: [String] = []
    let result = read(EnvironmentVariable("SWIFTCNN_TEST", text) { said.append($0) })
    return (result, said)
  }

  @Test func aSwitchIsOnOrOffAndAnythingElseIsReported() {
    for byDefault in [false, true] {
      func isOn(_ text: String?) -> (result: Bool, said: [String]) { read(text) { $0.isOn(byDefault: byDefault) } }
      for text in [nil, ""] { #expect(isOn(text) == (byDefault, [])) }
      #expect(isOn("0") == (false, []) && isOn("1") == (true, []))
      let used = byDefault ? 1 : 0
      for text in ["yes", "2", " 1", "true"] {
        #expect(
          isOn(text) == (byDefault, ["swiftcnn: SWIFTCNN_TEST is '\(text)'; 0 or 1 is needed, so \(used) is used\n"]))
      }
    }
  }

  @Test func aChoiceIsOneOfSeveral() {
    func choice(_ text: String?, _ choices: [String]) -> (result: String?, said: [String]) {
      read(text) { $0.choice(among: choices, otherwise: "it is left") }
    }
    #expect(choice(nil, ["a"]) == (nil, []) && choice("", ["a"]) == (nil, []) && choice("a", ["a"]) == ("a", []))
    #expect(choice("b", ["a"]) == (nil, ["swiftcnn: SWIFTCNN_TEST is 'b'; a is needed, so it is left\n"]))
    #expect(
      choice("A", ["a", "b", "c"]) == (nil, ["swiftcnn: SWIFTCNN_TEST is 'A'; a, b or c is needed, so it is left\n"]))
  }

  @Test func ofAListEachUnknownWordIsReported() {
    func choices(_ text: String?) -> (result: [String], said: [String]) {
      read(text) { $0.choices(among: ["a", "b"], otherwise: "it is left") }
    }
    #expect(choices(nil) == ([], []) && choices("") == ([], []))
    #expect(choices("b,a") == (["b", "a"], []))
    #expect(
      choices("x,a,y")
        == (
          ["a"], ["x", "y"].map { "swiftcnn: SWIFTCNN_TEST is '\($0)'; a or b is needed, so it is left\n" }
        ))
  }
}
