import CNNCore
import Testing

@testable import SwiftCNN

@Suite struct FileEndingTests {
  @Test(arguments: [
    ("m.safetensors", FileEnding.Purpose.checkpoint, FileEnding.Format.safetensors), ("m", .model, .safetensors),
    ("run.v2/m.v1.5", .checkpoint, .safetensors), ("m.st", .weights, .safetensors), ("m.onnx", .model, .onnx),
    ("m.ONNX", .onnx, .onnx), ("m", .onnx, .onnx), ("w.pth", .weights, .torch), ("w.PT", .weights, .torch),
    ("pytorch_model.bin", .weights, .torch), ("best.pth.tar", .weights, .torch), (".h5/m", .model, .safetensors),
    ("m-{val_loss:.2f}", .checkpoint, .safetensors), ("", .model, .safetensors),
  ])
  func theEndingChoosesTheFormat(_ path: String, _ purpose: FileEnding.Purpose, _ format: FileEnding.Format) throws {
    #expect(try FileEnding.format(of: path, for: purpose) == format)
  }

  @Test(arguments: [
    ("m.keras", FileEnding.Purpose.model, ".safetensors"), ("m.h5", .checkpoint, ".safetensors"),
    ("m.weights.h5", .weights, ".pth"), ("m.pth", .model, "save_weights"), ("m.pt", .checkpoint, "save_weights"),
    ("m.onnx", .checkpoint, "export"), ("m.onnx", .weights, "export"), ("m.tflite", .onnx, ".onnx"),
    ("m.tflite", .model, "TensorFlow Lite"), ("m.pb", .model, "TensorFlow"), ("m.safetensors", .onnx, ".onnx"),
    ("m.H5", .model, "Keras"), ("m.pth.tar", .model, "save_weights"), ("m.npz", .weights, "NumPy"),
  ])
  func theEndingOfAnotherFormatIsAnErrorThatNamesTheCall(
    _ path: String, _ purpose: FileEnding.Purpose, _ message: String
  ) throws {
    let error = try #require(throws: CNNError.self) { try FileEnding.format(of: path, for: purpose) }
    #expect(error.code == .invalidArgument && error.mentions(message) && error.mentions(path), "\(error)")
  }

  @Test func nothingIsWrittenUnderAWrongEnding() throws {
    let directory = try TemporaryDirectory(), model = try Model("resnet20", options: ModelOptions())
    for name in ["m.pth", "m.h5", "m.keras", "m.onnx"] {
      #expect(throws: CNNError.self) { try model.write(to: directory.file(name)) }
      #expect(!exists(directory.file(name)))
    }
    #expect(throws: CNNError.self) { try model.writeWeights(to: directory.file("w.h5")) }
    try model.writeWeights(to: directory.file("pytorch_model.bin"))
    #expect(try openTensorFile(directory.file("pytorch_model.bin")) is TorchFile)
  }
}
