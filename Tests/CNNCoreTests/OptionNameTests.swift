import Testing

@testable import CNNCore

@Suite struct OptionNameTests {
  @Test func optionsAreSpelledAsTheLanguageHasThem() {
    let error = CNNError(.invalidArgument, "\(option: "batch_size") is 0 and \(option: "std", swift: "deviation") 1")
    #expect(error.message == "batchSize is 0 and deviation 1")
    #expect(error.message(in: .c) == "batch_size is 0 and std 1")
    #expect("\(error)" == error.message && error.localizedDescription == error.message)
  }

  @Test func namesSurviveWhatIsSaidAroundThem() {
    let error = CNNError(.malformedFile, "\(option: "beta_1") is 2", systemCode: 3).prefixed("the file").coded(
      .invalidArgument)
    #expect(error.message == "the file: beta1 is 2")
    #expect(error.message(in: .c) == "the file: beta_1 is 2")
    #expect(error.code == .invalidArgument && error.systemCode == 3)
    #expect(error.mentions("the file") && error.mentions("is 2") && !error.mentions("is 3"))
  }

  @Test func otherTextsStayAsTheyAre() {
    let text = "'layer_1.drop_path' is 5 \u{1F600}"
    #expect(CNNError(.notFinite, text).message == text && CNNError(.notFinite, text).message(in: .c) == text)
  }
}
