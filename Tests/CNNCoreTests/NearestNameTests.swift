import Testing

@testable import CNNCore

@Test(arguments: [
  ("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("ReLU", "relu", 0), ("ab", "ba", 2),
])
func editDistanceOfKnownPairs(a: String, b: String, expected: Int) {
  #expect(editDistance(a, b) == expected)
  #expect(editDistance(b, a) == expected)
}

@Test func unknownNameSuggestsTheNearest() {
  let error = unknownName("model", "resnet5o", among: ["resnet18", "resnet50", "vgg16"])
  #expect(error == CNNError(.unknownName, "unknown model 'resnet5o'; did you mean 'resnet50'?"))
}

@Test func unknownNameListsAFewCandidatesWhenNoneIsNear() {
  let error = unknownName("loss", "banana-split", among: ["mse", "kl"])
  #expect(error.message == "unknown loss 'banana-split'; expected one of: kl, mse")
}

@Test func unknownNameStaysShortForHostileNames() {
  let name = String(repeating: "x", count: 1_000_000)
  let candidates = (0..<1000).map { "candidate\($0)" }
  #expect(unknownName("model", name, among: candidates).message.utf8.count < 200)
}
