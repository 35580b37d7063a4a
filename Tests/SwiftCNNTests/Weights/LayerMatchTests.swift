import CNNCore
import Testing

@testable import SwiftCNN

/// Layers of a file and of a model, which belong together.
@Suite struct LayerMatchTests {
  /// A layer with one weight.
  private func layer(
    _ label: String, given: String = "", path: String = "", kind: String = "conv2d", _ shape: [Int] = [3, 3, 1, 2]
  ) -> JSON {
    [
      "path": .strings(path.split(separator: "/" as Character).map { String($0) }), "given": .strings([given]),
      "kind": .string(kind), "label": .string(label),
      "weights": [
        ["name": "kernel", "parameter": .string("\(label).weight"), "label": .string(label), "shape": .integers(shape)]
      ],
    ]
  }

  private func match(_ wanted: [JSON], _ stored: [JSON], hasOrder: Bool = false, last: String = "") throws -> JSONObject
  {
    var request = JSONObject()
    request["wanted"] = .array(wanted)
    request["stored"] = .array(stored)
    request["has_order"] = .bool(hasOrder)
    request["last"] = .string(last)
    return try #require(LayerMatch(json: request).json.objectValue)
  }

  @Test func givenNamesDecide() throws {
    let found = try match(
      [layer("a", given: "a"), layer("b", given: "b")], [layer("b", given: "b"), layer("a", given: "a")])
    #expect(found["pairs"] == [[0, 1], [1, 0]] && found["by_order"] == [])
  }

  @Test func torchvisionsNamesAreKnownByKerass() throws {
    let names = [
      "conv1_conv": "conv1", "conv2_block3_0_bn": "layer1.2.downsample.1", "conv5_block1_2_conv": "layer4.0.conv2",
    ]
    for (keras, torch) in names {
      let found = try match(
        [layer("other", given: "x"), layer(torch, given: torch)], [layer(keras, given: keras)])
      #expect(found["pairs"] == [[1, 0]] && found["missing"] == ["other.weight"])
    }
  }

  @Test func placesDecideWhereGroupsAreAlike() throws {
    let found = try match(
      [layer("a", path: "layers/conv2d"), layer("b", path: "layers/conv2d_1")],
      [layer("d", path: "layers/conv2d_1"), layer("c", path: "layers/conv2d")])
    #expect(found["pairs"] == [[0, 1], [1, 0]] && found["by_order"] == ["c as a", "d as b"])
  }

  @Test func orderDecidesOtherwise() throws {
    let found = try match(
      [layer("a", kind: "conv2d"), layer("n", kind: "dense", [2, 3]), layer("b", kind: "conv2d")],
      [
        layer("m", kind: "dense", [2, 3]), layer("c", kind: "conv2d"), layer("d", kind: "conv2d"),
        layer("e", kind: "conv2d"),
      ])
    #expect(found["pairs"] == [[0, 1], [1, 0], [2, 2]] && found["left_over"] == ["e"])
  }

  @Test func otherShapesAreToldAndAHeadIsRecognized() throws {
    let wanted = [layer("a", given: "a"), layer("head", given: "head", kind: "dense", [8, 10])]
    let stored = [layer("a", given: "a", [5, 5, 1, 2]), layer("head", given: "head", kind: "dense", [8, 1000])]
    let found = try match(wanted, stored, last: "head.weight")
    #expect(found["pairs"] == [] && found["other_classes"] == 1000)
    #expect(found["misshapen"] == ["a [5, 5, 1, 2] instead of a [3, 3, 1, 2]"])
    #expect(try match(wanted, stored)["other_classes"] == .null)
  }
}
