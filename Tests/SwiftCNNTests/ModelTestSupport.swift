import CNNCore
import CNNGraph
import Glibc
import Testing

@testable import SwiftCNN

/// The values that Tests/Golden/formula.py computes too.
enum Formula {
  /// Element i is a hash of the name and i, uniform in `offset - scale ..< offset + scale`.
  static func values(_ name: String, _ count: Int, scale: Double = 1, offset: Double = 0) -> [Float] {
    let start = RandomStream.initialValue(of: name)  // FNV-1a, as the formula's.
    return (0..<count).map { index in
      var x = start &+ UInt64(index) &+ 0x9e37_79b9_7f4a_7c15
      x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
      x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
      x ^= x >> 31
      let unit = Double(x >> 40) * 0x1p-23 - 1
      return Float(offset + Double(Float(scale)) * unit)
    }
  }

  /// A parameter of a state_dict; its scale and offset follow from name and rank.
  static func parameter(_ name: String, _ shape: [Int]) -> [Float] {
    let count = shape.reduce(1, *)
    if name.hasSuffix("running_mean") || name.hasSuffix("bias") { return values(name, count, scale: 0.1) }
    if name.hasSuffix("running_var") { return values(name, count, scale: 0.4, offset: 1) }
    if shape.count == 1 { return values(name, count, scale: 0.2, offset: 1) }
    return values(name, count, scale: (3 / Double(shape.dropFirst().reduce(1, *))).squareRoot())
  }
}

/// The folder Tests/Golden, beside the folder that a test is in.
func goldenFolder(from source: String) -> String {
  let parts = source.split(separator: "/")
  let end = parts.lastIndex(of: "Tests") ?? parts.startIndex
  return "/\(parts[...end].joined(separator: "/"))/Golden"
}

/// One of the files of Tests/Golden.
struct GoldenFile: Sendable {
  let file: SafetensorsFile
  let document: JSONObject

  init(_ name: String, from source: String = #filePath) throws {
    file = try SafetensorsFile(path: "\(goldenFolder(from: source))/\(name).safetensors")
    guard let text = file.metadata["golden"], let document = try JSON(parsing: text).objectValue else {
      throw CNNError(.malformedFile, "\(name) has no document")
    }
    self.document = document
  }

  func shape(_ name: String) throws -> [Int] {
    guard let tensor = file[name] else { throw CNNError(.unknownName, "no golden tensor '\(name)'") }
    return tensor.shape
  }

  func values(_ name: String) throws -> [Float] {
    var values = [Float](repeating: 0, count: try shape(name).reduce(1, *))
    try values.withUnsafeMutableBufferPointer { try file.read(name, into: $0) }
    return values
  }

  func tensor(_ name: String) throws -> Tensor { try Tensor(values(name), shape: shape(name)) }
}

extension Model {
  func values(_ name: String) throws -> [Float] {
    let parameter = try #require(parameterList.first { $0.name == name })
    var values = [Float](repeating: 0, count: parameter.shape.reduce(1, *))
    try values.withUnsafeMutableBufferPointer { try copyValue(of: name, into: $0) }
    return values
  }

  func set(_ name: String, _ values: [Float]) throws {
    try values.withUnsafeBufferPointer { try setValue(of: name, from: $0) }
  }

  func gradient(_ name: String) throws -> [Float] {
    let parameter = try #require(parameterList.first { $0.name == name })
    var values = [Float](repeating: 0, count: parameter.shape.reduce(1, *))
    try values.withUnsafeMutableBufferPointer { try copyGradient(of: name, into: $0) }
    return values
  }

  /// The bits of all parameters, one after the other.
  func bits() throws -> [UInt32] { try parameterList.flatMap { try values($0.name).map(\.bitPattern) } }

  func fillWithFormula() throws {
    for parameter in parameterList { try set(parameter.name, Formula.parameter(parameter.name, parameter.shape)) }
  }

  func compile(_ text: String) throws {
    try compile(TrainingSettings(json: try #require(JSON(parsing: text).objectValue)))
  }
}

extension Tensor {
  var bits: [UInt32] { values.map(\.bitPattern) }
}

/// The network of training_step.safetensors.
func tinyNetwork() throws -> Graph {
  var builder = GraphBuilder()
  func convolution(_ x: Value, _ name: String, _ normalization: String, _ channels: Int, _ kernel: Int, _ stride: Int)
    throws -> Value
  {
    let y = try builder.convolution(
      x, name, outputChannels: channels, kernel: (kernel, kernel), stride: (stride, stride), padding: .all(kernel / 2))
    return try builder.batchNormalization(y, normalization)
  }
  let input = try builder.input(shape: [8, 8, 3])
  var x = try builder.activation(.relu, convolution(input, "conv1", "bn1", 4, 3, 1))
  let stem = x
  x = try builder.activation(.relu, convolution(x, "layer1.0.conv1", "layer1.0.bn1", 8, 3, 2))
  x = try convolution(x, "layer1.0.conv2", "layer1.0.bn2", 8, 3, 1)
  let shortcut = try convolution(stem, "layer1.0.downsample.0", "layer1.0.downsample.1", 8, 1, 2)
  x = try builder.activation(.relu, builder.apply(Add(), x, shortcut))
  x = try builder.apply(GlobalPooling2D(.average), x)
  x = try builder.dense(x, "fc", units: 5)
  try builder.graph.addOutput("logits", x)
  return builder.graph
}

/// A small network with everything that is random in training.
func randomNetwork() throws -> Graph {
  var builder = GraphBuilder()
  let input = try builder.input(shape: [6, 6, 2])
  // Classes differ in rows, which neither changes.
  var x = try builder.apply(RandomFlip(vertical: false, stream: 3), input)
  x = try builder.apply(RandomCrop(height: 6, width: 5, stream: 4), x)
  x = try builder.convolution(x, "conv1", outputChannels: 4, kernel: (3, 3), padding: .same)
  x = try builder.batchNormalization(x, "bn1")
  x = try builder.activation(.relu, x, "relu")
  var branch = try builder.convolution(x, "conv2", outputChannels: 4, kernel: (3, 3), padding: .same)
  branch = try builder.batchNormalization(branch, "bn2")
  branch = try builder.apply(StochasticDepth(rate: 0.3, stream: 1), branch)
  x = try builder.activation(.relu, builder.apply(Add(), branch, x))
  x = try builder.apply(GlobalPooling2D(.average), x)
  x = try builder.apply(Dropout(rate: 0.4, stream: 2), x)
  x = try builder.dense(x, "fc", units: 3)
  x = try builder.apply(Softmax(), x)
  try builder.graph.addOutput("probabilities", x)
  return builder.graph
}

/// Images and labels of `classes` classes: an image is bright in the part that its class says.
func imageData(_ count: Int, height: Int = 6, channels: Int = 2, classes: Int = 3) throws -> (x: Tensor, y: Tensor) {
  let pixels = height * height * channels
  var x = Formula.values("images", count * pixels, scale: 0.3)
  let labels = (0..<count).map { Int32($0 * 5 % classes) }
  for sample in 0..<count {
    let row = Int(labels[sample]) * height / classes
    for position in 0..<height * channels { x[sample * pixels + row * height * channels + position] += 1 }
  }
  return (try Tensor(x, shape: [count, height, height, channels]), try Tensor(labels, shape: [count]))
}

/// Expects numbers that differ by at most `tolerance` of the largest expected, or of `floor` where that is larger.
func expectClose(
  _ actual: [Float], _ expected: [Float], _ tolerance: Float, _ what: String, floor: Float = 1e-6,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == expected.count else {
    Issue.record("\(what): \(actual.count) elements, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let scale = max(expected.map(abs).max() ?? 0, floor)
  let worst = zip(actual, expected).map { abs($0 - $1) }.reduce(0) { $1 <= $0 ? $0 : $1 }
  #expect(worst <= tolerance * scale, "\(what): off by \(worst / scale) of \(scale)", sourceLocation: sourceLocation)
}

/// Expects a `CNNError` of this kind that mentions `message`, be it in Swift's or in C's words.
func expectError(
  _ code: CNNError.Code, _ message: String, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) {
  let error = #expect(throws: CNNError.self, sourceLocation: sourceLocation) { try body() }
  #expect(error?.code == code, sourceLocation: sourceLocation)
  let mentions = [error?.message, error?.message(in: .c)].contains { $0?.contains(message) == true }
  #expect(mentions, "\(error?.message ?? "")", sourceLocation: sourceLocation)
}
