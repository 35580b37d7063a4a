import CNNCore
import Glibc
import Testing

@testable import CNNGraph
@testable import SwiftCNN

/// Networks as model files describe them, changed at random from a seed: each is refused as malformed, or is a network,
/// and of those some are compiled and run. `SWIFTCNN_FUZZ_COUNT` sets the number for a long run (`make fuzz`).
@Suite struct ModelFileFuzzTests {
  /// A network of operations that have numbers, lists and names for attributes.
  private static func shapes() throws -> Graph {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [9, 8, 4])
    var x = try builder.apply(ZeroPadding2D([1, 0, 2, 1]), input)
    x = try builder.apply(Crop2D([0, 1, 1, 0]), x)
    x = try builder.depthwiseConvolution(x, "depthwise", kernel: (3, 3), stride: (2, 1), padding: .same)
    let pooled = try builder.apply(Pooling2D(.average, kernel: [3, 2], stride: [1, 1], padding: .same), x)
    x = try builder.apply(Concatenate(axis: -1), x, pooled)
    x = try builder.apply(Gather(axis: 3, indices: [7, 0, 3, 3]), x)
    x = try builder.apply(Slice(axis: 2, start: 1, length: 4), x)
    x = try builder.apply(Permute([0, 2, 1, 3]), x)
    x = try builder.apply(Activation(.elu, ["alpha": 0.5]), x)
    x = try builder.apply(Rescaling(scale: [0.5], offset: [1]), x)
    let means = try builder.apply(Reduction(.mean, axes: [1, 2], keepsAxes: true), x)
    x = try builder.apply(Multiply(), x, means)
    x = try builder.apply(Reshape.flatten, x)
    x = try builder.dense(x, "fc", units: 3)
    try builder.graph.addOutput("logits", x)
    return builder.graph
  }

  /// One to three changes of a text: digits, so that numbers lie; words exchanged; bytes of all kinds.
  private static func changed(_ text: [UInt8], _ random: inout PhiloxGenerator) -> [UInt8] {
    let words = ["-1", "0", "9223372036854775807", "1e308", "65536", "null", "[]", "\"x\"", "\"concat\"", "\"reduce\""]
      .map { Array($0.utf8) }
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    var text = text
    for _ in 0..<Int.random(in: 1...3, using: &random) where !text.isEmpty {
      let place = Int.random(in: text.indices, using: &random)
      switch Int.random(in: 0..<8, using: &random) {
      case 0: text[place] = UInt8.random(in: .min ... .max, using: &random)
      case 1: text.removeSubrange(place..<min(text.count, place + Int.random(in: 1...8, using: &random)))
      case 2:
        let from = Int.random(in: text.indices, using: &random), length = Int.random(in: 1...40, using: &random)
        text.insert(contentsOf: Array(text[from..<min(text.count, from + length)]), at: place)
      case let choice:
        guard let first = text[place...].firstIndex(where: digits.contains) else { continue }
        let end = text[first...].firstIndex { !digits.contains($0) } ?? text.count
        if choice < 6 {
          text[first] = UInt8.random(in: digits, using: &random)
        } else {
          text.replaceSubrange(first..<end, with: words.randomElement(using: &random) ?? [])
        }
      }
    }
    return text
  }

  @Test func changedNetworksAreReadOrRefused() throws {
    let count = getenv("SWIFTCNN_FUZZ_COUNT").flatMap { Int(String(cString: $0)) } ?? 5000
    let seeds = try [randomNetwork(), Self.shapes()].map { Array(try $0.json.serialized().utf8) }
    var random = PhiloxGenerator(seed: 2026, stream: 9), read = 0, ran = 0, longest = 0.0
    for index in 0..<count {
      let text = Self.changed(seeds[index % seeds.count], &random)
      let start = clock()
      do throws(CNNError) {
        let graph = try Graph(json: JSON(parsing: text))
        read += 1
        if read % 16 == 0, Self.isSmall(graph), let input = graph.inputs.first {
          let model = try Model(graph, name: "changed", seed: 1)
          let sizes = graph.type(of: input.value).shape
          _ = try model.predict(Tensor(zeros: [2] + sizes.dropFirst()).view)
          ran += 1
        }
      } catch {
        #expect(error.code != .internalFault, "case \(index): \(error.message)")
      }
      longest = max(longest, Double(clock() - start) / Double(CLOCKS_PER_SEC))
    }
    print("\(count) changed networks: \(read) read, \(ran) run, the longest in \(longest) s of the processor's time")
    #expect(read > count / 20 && read < count && ran > 0)
    // Processor time of all tests that run at the same time.
    if getenv("SWIFTCNN_FUZZ_COUNT") != nil { #expect(longest < 1) }
  }

  /// Whether running the network takes little; what is large may be in order and yet take long.
  private static func isSmall(_ graph: Graph) -> Bool {
    let values = graph.nodes.flatMap(\.results) + graph.inputs.map(\.value)
    return values.allSatisfy { graph.type(of: $0).count < 1 << 16 }
      && graph.parameters.allSatisfy { $0.shape.reduce(1, *) < 1 << 16 }
  }
}
