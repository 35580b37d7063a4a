import CNNCore
import Testing

@testable import SwiftCNN

@Suite struct GlobTests {
  @Test(arguments: [
    ("layer1.0.conv1", "layer1.0.conv1"), ("", ""), ("", "*"), ("", "***"), ("abc", "*"), ("abc", "a*"), ("abc", "*c"),
    ("abc", "a?c"), ("abc", "???"), ("abcabc", "*abc"), ("aXbXc", "a*b*c"), ("aaab", "*aab"),
    // Choices.
    ("layer1.w", "layer[12].w"), ("layer2.w", "layer[12].w"), ("layer7.w", "layer[1-37-9].w"), ("b", "[a-c]"),
    ("layer3.w", "layer[!12].w"), ("x", "[!a-c]"), ("5", "[0-9]"), ("layer1.0.bn", "layer[12].*"),
    // What could be read otherwise.
    ("]", "[]]"), ("a", "[]a]"), ("x", "[!]]"), ("-", "[a-]"), ("-", "[-a]"), ("a", "[-a]"), ("*", "[*]"), ("?", "[?]"),
    ("[", "[[]"), ("!", "[a!]"), ("b", "[a-a-cb]"),
    // Never closed.
    ("[abc", "[abc"), ("a[", "a["), ("[!", "[!"), ("[]", "[]"), ("[!]", "[!]"), ("[a", "[?"), ("[", "["),
    // Characters of several bytes are one.
    ("é", "?"), ("é", "[éü]"), ("größe", "gr?[xß]e"), ("日", "[一-龥]"), ("😀", "[!a-z]"),
  ])
  func matches(_ name: String, _ pattern: String) { #expect(Glob.matches(name, pattern)) }

  @Test(arguments: [
    ("layer1", "layer"), ("layer", "layer1"), ("", "?"), ("abc", "ab"), ("abc", "?"), ("abc", "a*b"), ("Abc", "abc"),
    ("layer3.w", "layer[12].w"), ("layer12.w", "layer[12].w"), ("layer.w", "layer[12].w"), ("", "[a]"),
    ("layer1.w", "layer[!12].w"), ("d", "[a-c]"), ("b", "[!a-c]"), ("m", "[z-a]"), ("]", "[!]]"), ("a", "[abc"),
    ("abc", "[abc]"), ("é", "??"), ("é", "[!é]"), ("ü", "[é]"),
  ])
  func matchesNot(_ name: String, _ pattern: String) { #expect(!Glob.matches(name, pattern)) }

  /// Random names and patterns beside the plain recursive definition.
  @Test func agreesWithTheDefinition() {
    func isMatch(_ name: Substring, _ pattern: Substring) -> Bool {
      guard let first = pattern.first else { return name.isEmpty }
      if first == "*" {
        return name.indices.contains { isMatch(name[$0...], pattern.dropFirst()) }
          || isMatch(name.suffix(0), pattern.dropFirst())
      }
      guard let character = name.first else { return false }
      if first == "[" {
        // All choices below are [ab] or [!a].
        let negated = pattern.dropFirst().first == "!"
        return (negated ? character != "a" : "ab".contains { $0 == character })
          && isMatch(name.dropFirst(), pattern.dropFirst(4))
      }
      return (first == "?" || first == character) && isMatch(name.dropFirst(), pattern.dropFirst())
    }
    var random = PhiloxGenerator(seed: 4, stream: 0)
    var matched = 0
    for _ in 0..<20_000 {
      let name = (0..<Int.random(in: 0...7, using: &random)).map { _ in
        ["a", "b", "c"].randomElement(using: &random) ?? ""
      }
      let pattern = (0..<Int.random(in: 0...6, using: &random)).map { _ in
        ["a", "b", "*", "*", "?", "[ab]", "[!a]"].randomElement(using: &random) ?? ""
      }
      let (text, glob) = (name.joined(), pattern.joined())
      let expected = isMatch(text[...], glob[...])
      if expected { matched += 1 }
      #expect(Glob.matches(text, glob) == expected, "\(text) \(glob)")
    }
    #expect((2000..<18_000).contains(matched))
  }

  @Test func manyStarsTakeNoLongTime() {
    let name = String(repeating: "a", count: 2000)
    #expect(!Glob.matches(name, String(repeating: "*a", count: 500) + "b"))
    #expect(!Glob.matches(name, String(repeating: "[a-z]*", count: 300) + "[!a]"))
  }

  @Test func parametersAreChosenByPatterns() throws {
    var options = ModelOptions()
    options.inputShape = [8, 8, 3]
    let model = try Model("resnet20", options: options)
    let learned = model.parameterList.filter(\.role.isLearned).map(\.name)
    #expect(
      try model.setTrainable(false, matching: "layer[12].*")
        == learned.filter { $0.hasPrefix("layer1.") || $0.hasPrefix("layer2.") }.count)
    #expect(
      try model.setTrainable(true, matching: "layer[!13].0.*") == learned.filter { $0.hasPrefix("layer2.0.") }.count)
    expectError(.unknownName, "layer[45]") { try model.setTrainable(false, matching: "layer[45].*") }
    #expect(
      ModelRegistry.names(matching: "resnet[135]*").allSatisfy {
        $0.hasPrefix("resnet1") || $0.hasPrefix("resnet3") || $0.hasPrefix("resnet5")
      })
    #expect(ModelRegistry.names(matching: "resnet[13][84]") == ["resnet18", "resnet34"])
  }
}
