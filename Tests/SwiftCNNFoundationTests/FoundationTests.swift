import Foundation
import SwiftCNNFoundation
import Testing

@Suite struct FoundationTests {
  @Test func errorsAreReadAsTheirMessages() throws {
    let thrown = #expect(throws: CNNError.self) { try Model("resnet19") }
    let error = try #require(thrown)
    #expect(error.localizedDescription == error.message && error.message.contains("resnet18"))
    let any: any Error = error
    #expect(any.localizedDescription == error.message)
    #expect((any as NSError).localizedDescription == error.message)
  }

  @Test func filesAreGivenAsURLs() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).safetensors")
    defer { try? FileManager.default.removeItem(at: url) }
    let model = try Model("resnet20", options: ModelOptions(inputShape: [8, 8, 3], classes: 2))
    try model.write(to: url)
    #expect(try Model(contentsOf: url).description == model.description)
    #expect(try model.loadWeights(from: url).isComplete)
    let web = try #require(URL(string: "https://example.org/m.safetensors"))
    let refused = #expect(throws: CNNError.self) { try Model(contentsOf: web) }
    #expect(refused?.message == "'https://example.org/m.safetensors' is no file; expected a file URL")
    #expect(throws: CNNError.self) { try model.write(to: URL(fileURLWithPath: "/nowhere/m.safetensors")) }
  }

  @Test func picturesAreDecodedFromData() throws {
    // A PNG of one white pixel.
    let png = try #require(
      Data(
        base64Encoded: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="))
    let picture = try Picture(decoding: png)
    #expect((picture.height, picture.width, picture.channels) == (1, 1, 3))
    let error = #expect(throws: CNNError.self) { try Picture(decoding: Data([1, 2, 3])) }
    #expect(error?.code == .malformedFile)
  }
}
