import CNNCore
import Glibc
import Testing

@testable import SwiftCNN

/// Files of other kinds say what they are.
@Suite struct ForeignFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private static let kinds: [(file: String, bytes: [UInt8], name: String)] =
    [
      ("a.h5", [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0], "an HDF5 file"),
      ("a.onnx", [0x08, 0x08, 0x12, 0x07] + Array("pytorch".utf8), "an ONNX model"),
      ("b.onnx", [0x08, 0x0A, 0x3A, 0x80, 0x01, 0x0A], "an ONNX model"),
      ("a.mlmodel", [0x08, 0x04, 0x12, 0x07] + Array("pytorch".utf8), "a Core ML model"),
      ("saved_model.pb", [0x08, 0x01, 0x12, 0xFF, 0x10, 0x0A], "a TensorFlow SavedModel"),
      ("frozen.pb", [0x0A, 0x2B, 0x0A, 0x05, 0x69, 0x6E], "a TensorFlow graph"),
      ("a.png", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 0x0D], "a PNG picture"),
      ("a.jpg", [0xFF, 0xD8, 0xFF, 0xE0, 0, 0x10], "a JPEG picture"),
      ("a.gz", [0x1F, 0x8B, 8, 0, 0, 0], "a gzip archive"),
      ("a.npy", [0x93] + Array("NUMPY".utf8) + [1, 0], "a NumPy array"), ("a.pkl", [0x80, 4, 0x95, 0], "a pickle"),
      ("a.tflite", [0x1C, 0, 0, 0] + Array("TFL3".utf8), "a TensorFlow Lite model"), ("empty", [], "is empty"),
      ("a.tar", [UInt8](repeating: 0, count: 257) + Array("ustar".utf8), "a tar archive"),
      ("a.bmp", Array("BM".utf8) + [1, 2, 0, 0, 0, 0], "a BMP picture"),
    ]
    + [
      ("a.gguf", "GGUF\u{3}\0\0\0", "a GGUF model"), ("a.gif", "GIF89a\u{1}", "a GIF picture"),
      ("a.pdf", "%PDF-1.7", "a PDF"),
      ("a.webp", "RIFF\u{1}\u{1}\u{1}\u{1}WEBPVP8 ", "a WebP picture"),
      ("lfs.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"),
      ("page.pth", "<!DOCTYPE html>\n<html><head>", "an HTML page"), ("b.pth", "\n<HTML>", "an HTML page"),
      ("a.xml", "<?xml version=\"1.0\"?>\n<net name=\"m\">", "OpenVINO"), ("a.json", "{\"a\": 1}", "a JSON file"),
      ("a.yaml", "model: resnet\nlr: 0.1\n", "a text file"), ("ä.txt", "grün", "a text file"),
    ].map { (file: $0.0, bytes: Array($0.1.utf8), name: $0.2) }

  @Test func filesOfOtherKindsSayWhatTheyAre() throws {
    let model = try Model("resnet20", options: ModelOptions())
    for (file, bytes, name) in Self.kinds {
      let path = directory.file(file)
      try put(bytes, to: path)
      for error in [
        try #require(throws: CNNError.self) { try Model(contentsOf: path) },
        try #require(throws: CNNError.self) { try model.loadWeights(from: path) },
      ] {
        #expect(error.code == .malformedFile && error.mentions(name) && error.mentions(path), "\(file): \(error)")
        #expect(!error.mentions("its header should have"), "\(file): \(error)")
      }
    }
  }

  private func archive(_ names: [String]) throws -> String {
    let path = directory.file("archive")
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      var archive = ZipWriter()
      for name in names { try archive.add(name, [1, 2, 3], to: file) }
      try archive.finish(file)
    }
    return path
  }

  @Test(arguments: [
    (["a/data.pkl", "a/code/__torch__/m.py"], "a TorchScript program", "torch.jit.load"),
    (["a/archive_format", "a/models/model.json"], "torch.export", "module().state_dict()"),
    (["metadata.json", "config.json", "model.weights.h5"], "a Keras model", "h5py"),
    (["conv.npy", "fc.npy"], "a NumPy archive", "load_state_dict"),
    (["x/saved_model.pb"], "a zipped TensorFlow", "ONNX"),
    (["readme.txt"], "a zip archive", "unpack"),
  ])
  func archivesAreToldByWhatIsInThem(_ names: [String], _ kind: String, _ advice: String) throws {
    let path = try archive(names), model = try Model("resnet20", options: ModelOptions())
    for error in [
      try #require(throws: CNNError.self) { try Model(contentsOf: path) },
      try #require(throws: CNNError.self) { try model.loadWeights(from: path) },
    ] { #expect(error.code == .malformedFile && error.mentions(kind) && error.mentions(advice), "\(error)") }
  }

  @Test func weightsWhereAModelIsExpectedSayHowTheyAreUsed() throws {
    let model = try Model("resnet20", options: ModelOptions())
    for name in ["w.pth", "w.safetensors"] {
      try model.writeWeights(to: directory.file(name))
      let error = try #require(throws: CNNError.self) { try Model(contentsOf: directory.file(name)) }
      #expect(error.mentions("create_model(name, weights=path)") && error.mentions("scnn_model_create"), "\(error)")
    }
    let error = try #require(throws: CNNError.self) { try Model(contentsOf: goldenWeights("zip.pth")) }
    #expect(error.mentions("a file of PyTorch's tensors, not a model file"))
  }

  @Test func aFolderSaysWhatItIs() throws {
    let error = try #require(throws: CNNError.self) { try Model(contentsOf: directory.path) }
    #expect(error.code == .inputOutput && error.systemCode == EISDIR && error.mentions("is a folder"))
    try put([8, 1], to: directory.file("saved_model.pb"))
    let other = try #require(throws: CNNError.self) { try openTensorFile(directory.path) }
    #expect(other.mentions("a TensorFlow SavedModel"))
  }
}
