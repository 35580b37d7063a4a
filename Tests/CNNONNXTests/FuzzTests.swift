import CNNCore
import CNNGraph
import Foundation
import Testing

@testable import CNNONNX

/// Files changed at random, from a seed: each is read or refused, none ends the process, hangs or takes more memory than
/// is stated. `SWIFTCNN_FUZZ_COUNT=1000000` tries as many.
@Suite struct FuzzTests {
  /// Small models that between them have most operations.
  private static func seeds() throws -> [[UInt8]] {
    var nchw = ONNXExportOptions()
    nchw.layout = .nchw
    nchw.pixels = .init(mean: [0, 0, 0], deviation: [1, 1, 1])
    let shapes = proto(
      [
        node("Shape", ["x"], ["s"]), node("Slice", ["s", "zero", "one"], ["n"]),
        node("Concat", ["n", "rest"], ["t"], [attribute("axis", 0)]), node("Reshape", ["x", "t"], ["r"]),
        node("Split", ["r", "parts"], ["a", "b"], [attribute("axis", 1)]), node("Sub", ["a", "b"], ["d"]),
        node("Pad", ["d", "pads"], ["p"]), node("Gather", ["p", "zero"], ["g"], [attribute("axis", 2)]),
        node("Squeeze", ["g", "two"], ["q"]),
        node("ReduceMean", ["q"], ["m"], [list("axes", [1]), attribute("keepdims", 1)]),
        node("Div", ["q", "m"], ["v"]), node("LayerNormalization", ["v", "scale"], ["l"]),
        node("Range", ["start", "limit", "step"], ["range"]), node("Add", ["l", "range"], ["o"]),
        node("Softmax", ["o"], ["y"]),
      ],
      initializers: [
        integers("zero", [0]), integers("one", [1]), integers("two", [2]), integers("rest", [6, -1]),
        integers("parts", [3, 3]), integers("pads", [0, 0, 1, 0, 1, 0]), tensor("scale", [4], [1, 2, 3, 4]),
        tensor("start", [], [0]), tensor("limit", [], [4]), tensor("step", [], [1]),
      ])
    let images = proto(
      [
        node("Resize", ["x", "empty", "scales"], ["r"]),
        node("ConvTranspose", ["r", "w"], ["t"], [list("strides", [2, 3]), list("output_padding", [1, 2])]),
        node("LRN", ["t"], ["l"], [attribute("size", 3)]),
        node("InstanceNormalization", ["l", "four", "four"], ["i"]),
        node("GroupNormalization", ["i", "four", "four"], ["g"], [attribute("num_groups", 2)]),
        node("Max", ["g", "t", "limits"], ["m"]), node("Sum", ["m", "g", "i"], ["s"]),
        node("Less", ["s", "limits"], ["c"]), node("Not", ["c"], ["d"]), node("And", ["c", "d"], ["e"]),
        node("Where", ["e", "s", "limits"], ["v"]),
        node("Resize", ["v", "empty", "empty", "sizes"], ["z"], [attribute("antialias", 1)]),
        node("ReduceMax", ["z", "axes"], ["a"]), node("LpNormalization", ["a"], ["b"], [attribute("p", 1)]),
        node("ReduceLogSumExp", ["b", "axes"], ["f"]),
        node("ArgMax", ["f"], ["y"], [attribute("axis", 1), attribute("keepdims", 0)]),
      ], input: [1, 3, 8, 8],
      initializers: [
        tensor("empty", [0], []), tensor("scales", [4], [1, 1, 1.5, 0.7]), tensor("four", [4], [1, 2, 3, 4]),
        tensor("w", [3, 4, 2, 2], Array(repeating: 0.5, count: 48)), tensor("limits", [4, 1, 1], [0, 1, 2, 3]),
        integers("sizes", [1, 4, 5, 7]), integers("axes", [2]),
      ], version: 21)
    return [
      try model(smallNetwork()), try model(smallNetwork(), options: nchw), try shapes.serializedBytes(),
      try images.serializedBytes(),
    ]
  }

  /// One to eight changes: bits, bytes, whole numbers that are extreme, pieces taken out, doubled or exchanged.
  private static func mutated(_ bytes: [UInt8], _ random: inout PhiloxGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...8, using: &random) where !bytes.isEmpty {
      let position = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<7, using: &random) {
      case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[position] = UInt8.random(in: .min ... .max, using: &random)
      case 2: bytes[position] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
      case 3: bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...16, using: &random)))
      case 4:
        let piece = bytes[position..<min(bytes.count, position + Int.random(in: 1...32, using: &random))]
        bytes.insert(contentsOf: Array(piece), at: Int.random(in: 0...bytes.count, using: &random))
      case 5:
        // The largest number that ten bytes of a varint hold, or 2^63.
        let last: UInt8 = Bool.random(using: &random) ? 0x7F : 0x01
        bytes.replaceSubrange(
          position..<min(bytes.count, position + 10), with: Array(repeating: 0xFF, count: 9) + [last])
      default: bytes.removeSubrange(position...)
      }
    }
    return bytes
  }

  @Test func changedFilesAreReadOrRefused() throws {
    let seeds = try Self.seeds()
    for seed in seeds { _ = try network(seed) }
    let count = ProcessInfo.processInfo.environment["SWIFTCNN_FUZZ_COUNT"].flatMap { Int($0) } ?? 3000
    var random = PhiloxGenerator(seed: 11, stream: 6), read = 0, slowest = 0.0
    let before = peakMemory()
    for index in 0..<count {
      let bytes = Self.mutated(seeds[index % seeds.count], &random)
      var options = ONNXImportOptions()
      options.layout = index % 5 == 0 ? .file : .nhwc
      options.batch = index % 7 != 0
      let start = Clock.now()
      do {
        _ = try network(bytes, options: options)
        read += 1
      } catch {
        if error.code == .internalFault { Issue.record("case \(index): \(error.message)") }
      }
      slowest = max(slowest, Clock.now() - start)
    }
    print(
      "ONNX fuzzing: \(count) files, \(read) read, the slowest in \(slowest) s, \(peakMemory() - before) KB more memory"
    )
    #expect(read > 0 && read < count)
    #expect(slowest < 1)
    // What is computed of constants has 2^24 elements at most; a file here has some kilobytes.
    #expect(peakMemory() - before < 1_000_000)
  }
}

/// Seconds of a clock that nobody sets.
private enum Clock {
  static func now() -> Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }
}

/// The largest resident size so far, in KB.
private func peakMemory() -> Int {
  let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
  return line.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") } ?? 0
}
