import CNNCore
import Testing

@testable import SwiftCNN

/// Normalisations of pixels in files of Keras's, and what they are for a model.
struct KerasPixelsTests {
  private func pixels(
    stored: [JSON], own: [JSON] = [], hasReader: Bool = true, channels: Int = 3, network: JSON = .null,
    rescalings: Int64 = 1
  ) throws -> KerasPixels {
    var request = JSONObject()
    request["stored"] = .array(stored)
    request["own"] = .array(own)
    request["has_reader"] = .bool(hasReader)
    request["channels"] = .integer(Int64(channels))
    request["network"] = network
    request["rescalings"] = .integer(rescalings)
    return try KerasPixels(request)
  }

  private func layer(_ mean: [Double], _ variance: [Double]) -> JSON {
    [
      "label": "n", "name": "n", "mean": .array(mean.map { .number($0) }),
      "variance": .array(variance.map { .number($0) }),
    ]
  }

  private func network(before: JSON, after: JSON) -> JSON {
    let inner: JSON = [
      "class_name": "Functional",
      "config": ["layers": [before, ["class_name": "Normalization", "config": ["name": "n"]], after]],
    ]
    return ["class_name": "Functional", "config": ["layers": [["class_name": "InputLayer", "config": [:]], inner]]]
  }

  @Test func pixelsAreDividedBeforeAndNormalisedByDefault() throws {
    let found = try #require(try pixels(stored: [layer([0.5, 0.25, 0], [0.25, 0.0625, 1])]).normalization)
    #expect(found.mean == [0.5, 0.25, 0] && found.deviation == [0.5, 0.25, 1])
  }

  @Test func imagenetsDeviationDividesOnceMoreWhereThereAreTwoScalings() throws {
    let found = try #require(try pixels(stored: [layer([0.5], [0.25])], rescalings: 2).normalization)
    for (deviation, imagenet) in zip(found.deviation, [0.229, 0.224, 0.225]) {
      #expect(abs(deviation - 0.5 * imagenet.squareRoot()) < 1e-12)
    }
    for mean in found.mean { #expect(abs(mean - 0.5) < 1e-12) }
  }

  @Test func scalingsAroundAreThoseOfTheNetwork() throws {
    // ((2x + 1) - 3) / 2 * 4 + 8 = 4x + 4 = (x / 255 + 1 / 255) / (1 / (4 * 255))
    let told = network(
      before: ["class_name": "Rescaling", "config": ["scale": 2, "offset": [1]]],
      after: ["class_name": "Rescaling", "config": ["scale": [4, 4, 4], "offset": 8]])
    let found = try #require(try pixels(stored: [layer([3], [4])], network: told, rescalings: 9).normalization)
    for (mean, deviation) in zip(found.mean, found.deviation) {
      #expect(abs(deviation * 255 - 0.25) < 1e-12 && abs(mean * 255 + 1) < 1e-12)
    }
    let bare = network(before: ["class_name": "Dense", "config": [:]], after: ["class_name": "Dense", "config": [:]])
    let plain = try #require(try pixels(stored: [layer([3], [4])], network: bare).normalization)
    #expect(abs(plain.mean[0] * 255 - 3) < 1e-12 && abs(plain.deviation[0] * 255 - 2) < 1e-12)
  }

  @Test func aLayerOfTheModelHasToBeTheSame() throws {
    let own: JSON = ["name": "mine", "mean": [0.5000001], "variance": [4]]
    #expect(try pixels(stored: [layer([0.5, 0.5, 0.5], [4])], own: [own]).faults.isEmpty)
    let other = try pixels(stored: [layer([0.6], [4])], own: [own])
    #expect(other.normalization == nil && other.faults.count == 1)
    #expect(other.faults[0].hasPrefix("n: mean [0.6] and variance [4.0], where layer 'mine' has [0.5000001] and [4.0]"))
    let none: JSON = ["name": "mine", "mean": .null, "variance": .null]
    #expect(try pixels(stored: [layer([0.6], [4])], own: [none]).faults.count == 1)
  }

  @Test func whatHasNoPlaceOrNoMeaningIsAFault() throws {
    let good = layer([0.5], [4])
    #expect(try pixels(stored: []).faults.isEmpty)
    #expect(
      try pixels(stored: [good, good]).faults == [
        "n: the model has no place for it", "n: the model has no place for it",
      ])
    #expect(try pixels(stored: [good], hasReader: false).faults == ["n: the model has no place for it"])
    #expect(try pixels(stored: [layer([1, 2], [1, 2])]).faults == ["n: the model has no place for it"])
    #expect(try pixels(stored: [layer([], [])]).faults == ["n: the model has no place for it"])
    #expect(try pixels(stored: [layer([0], [-1])]).faults == ["n: mean [0.0] and variance [-1.0] are no such"])
    let told = network(before: ["class_name": "Rescaling", "config": ["scale": [1, 2]]], after: [:])
    #expect(try pixels(stored: [good], network: told).faults == ["n: 1 means do not fit the 3 channels of the model"])
    for channels in [-1, 0, 1 << 40] {
      expectError(.malformedFile, "'channels' is \(channels)") { _ = try pixels(stored: [good], channels: channels) }
    }
    expectError(.malformedFile, "'own': expected objects") { _ = try pixels(stored: [good], own: [3]) }
  }
}
