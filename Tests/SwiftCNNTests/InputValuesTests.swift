import CNNCompiler
import CNNCore
import CNNGraph
import Glibc
import Testing

@testable import SwiftCNN

@Suite struct InputValuesTests {
  private static let pixels: [UInt8] = (0..<4 * 8 * 8 * 3).map { UInt8(truncatingIfNeeded: $0 &* 149 &+ $0 / 7 &* 31) }
  private static let shape = [4, 8, 8, 3]
  private static let normalization = Compiler.PixelNormalization(
    mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])

  private func kind(
    _ normalization: Compiler.PixelNormalization = Self.normalization, _ value: (Float, Int) -> Float
  ) throws -> InputValues? {
    let values = Self.pixels.enumerated().map { value(Float($1), $0 % 3) }
    let view = try Tensor(values, shape: Self.shape).view
    return InputValues(InputSample(view, normalization), normalization)
  }

  @Test func floatsAreRecognized() throws {
    let (mean, deviation) = ([0.485, 0.456, 0.406] as [Float], [0.229, 0.224, 0.225] as [Float])
    #expect(try kind { pixel, _ in pixel } == .bytes)
    #expect(try kind { pixel, _ in pixel * 0.9 - 100 } == .bytes)
    #expect(try kind { pixel, _ in pixel / 255 } == .unit)
    #expect(try kind { pixel, channel in (pixel / 255 - mean[channel]) / deviation[channel] } == .normalized)
    #expect(try kind { pixel, channel in (pixel / 255 - mean[channel]) / deviation[channel] + 0.01 } == .floats)
    #expect(try kind { pixel, _ in pixel / 127.5 - 1 } == .floats)
    #expect(try kind { pixel, _ in pixel > 100 ? 1 : 0 } == .floats)
  }

  @Test(arguments: [0, 1, 200, Float.nan, .infinity]) func nothingIsToldOfNumbersThatAreAllAlike(_ value: Float) throws
  {
    #expect(try kind { _, _ in value } == nil)
  }

  @Test func otherNormalizationsHaveOtherRanges() throws {
    let grey = Compiler.PixelNormalization(mean: [0, 0, 0], deviation: [1, 1, 1])
    #expect(try kind(grey) { pixel, _ in pixel / 255 } == .normalized)
    #expect(try kind(grey) { pixel, _ in pixel } == .bytes)
    let identity = Compiler.PixelNormalization(mean: [0, 0, 0], deviation: [Double](repeating: 1.0 / 255, count: 3))
    #expect(identity.isIdentity && !grey.isIdentity)
    #expect(try kind(identity) { pixel, _ in pixel } == .normalized)
    #expect(try kind(identity) { pixel, _ in pixel / 255 } == .unit)
    let extreme = Compiler.PixelNormalization(mean: [1e300, 0, -1e300], deviation: [1e-300, 1, 1e300])
    #expect(try kind(extreme) { pixel, _ in pixel } != nil)
  }

  @Test func int32IsPixels() throws {
    let model = try Model(tinyNetwork(), name: "tiny")
    let x = try Tensor(Self.pixels, shape: Self.shape)
    let wide = try Tensor(Self.pixels.map { Int32($0) }, shape: Self.shape)
    #expect(try model.predict(wide.view).values == model.predict(x.view).values)
    try model.compile(
      TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd()))
    let y = try Tensor([0, 1, 2, 3] as [Int32], shape: [4]), other = try model.copy()
    #expect(try model.evaluate(wide.view, y.view) == model.evaluate(x.view, y.view))
    #expect(try model.trainOnBatch(wide.view, y.view) == other.trainOnBatch(x.view, y.view))
    var options = FitOptions()
    (options.epochs, options.batchSize) = (2, 2)
    let runs = [
      try TrainingRun(model, wide.view, y.view, options: options),
      try TrainingRun(other, x.view, y.view, options: options),
    ]
    for _ in 0..<4 { #expect(try runs[0].step() == runs[1].step()) }
    #expect(try model.predict(x.view).values == other.predict(x.view).values)
    let wrong = try Tensor(Self.pixels.map { Int32($0) * 257 - 1 }, shape: Self.shape)
    expectError(.invalidArgument, "x holds integers from -1 to 65534; integers are pixels, expected from 0 to 255") {
      _ = try model.predict(wrong.view)
    }
    // A model that takes pixels as they are takes any.
    try model.setNormalization(mean: [0, 0, 0], deviation: [Double](repeating: 1.0 / 255, count: 3))
    let floats = try Tensor(Self.pixels.map { Float($0) * 257 - 1 }, shape: Self.shape)
    #expect(try model.predict(wrong.view).values == model.predict(floats.view).values)
  }

  private func warning(of model: Model) throws -> String {
    var text = ""
    try model.readWarning { text = $0 }
    return text
  }

  @Test func whatAModelWasTrainedOnGoesIntoItsFile() throws {
    let model = try Model(tinyNetwork(), name: "tiny")
    try model.compile(
      TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd()))
    let unit = try Tensor(Self.pixels.map { Float($0) / 255 }, shape: Self.shape)
    let x = try Tensor(Self.pixels, shape: Self.shape), y = try Tensor([0, 1, 2, 3] as [Int32], shape: [4])
    _ = try model.trainOnBatch(unit.view, y.view)
    #expect(try warning(of: model).hasPrefix("x looks like pixels divided by 255"))
    #expect(try warning(of: model) == "")
    let path = "/tmp/swiftcnn-test-\(UInt64.random(in: 0...UInt64.max)).safetensors"
    defer { unlink(path) }
    try model.write(to: path)
    let copy = try Model(tinyNetwork(), name: "tiny")
    try copy.copyState(of: model)
    for other in [try Model(contentsOf: path), try model.copy(), copy] {
      _ = try other.predict(unit.view)
      #expect(try warning(of: other) == "")
      _ = try other.predict(x.view)
      #expect(try warning(of: other).hasPrefix("x is pixels; the model was trained on float32 from 0 to 1"))
      _ = try other.predict(x.view)
      #expect(try warning(of: other) == "")
    }
    // A text that could not be read is there still.
    _ = try model.predict(x.view)
    expectError(.bufferTooSmall, "no room") {
      try model.readWarning { _ throws(CNNError) in throw CNNError(.bufferTooSmall, "no room") }
    }
    #expect(try warning(of: model) != "")
    try model.setNormalization(mean: [0, 0, 0], deviation: [1, 1, 1])
    #expect(model.trainedOn == nil)
  }
}
