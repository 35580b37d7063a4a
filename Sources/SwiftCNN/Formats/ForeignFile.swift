import CNNCore
import Glibc

/// What a file is that is not what was asked for, and what to do with it.
struct ForeignFile {
  /// What was expected of a file.
  enum Purpose { case model, weights, onnx }

  /// What it is, as "an ONNX model".
  let name: String
  /// What reads it, or gives what is read; empty where nothing does.
  let advice: String

  /// The kind of a file that is open; nil for safetensors, and for what is not known.
  init?(_ file: FileReader, for purpose: Purpose) throws(CNNError) {
    let memory = try Memory(byteCount: min(file.byteCount, FileSignature.byteCount), for: "the first bytes")
    let start = UnsafeMutableRawBufferPointer(start: memory.base, count: memory.byteCount)
    try file.read(into: start, at: 0)
    // A header's length in eight bytes, and the header.
    if start.count > 8, start[8] == UInt8(ascii: "{"), start[5...7].allSatisfy({ $0 == 0 }) { return nil }
    guard var name = FileSignature.name(of: UnsafeRawBufferPointer(start)) else { return nil }
    if name == "a zip archive" { name = Self.nameOfArchive(file) }
    if start.starts(with: TorchFile.oldSignature) { name = Self.torch }
    // Both are found by their first fields alone.
    if name == Self.onnx, file.path.hasSuffix(".mlmodel") { name = "a Core ML model" }
    self.init(name, purpose)
    withExtendedLifetime(memory) {}
  }

  /// The kind of a folder.
  init(folder: String, for purpose: Purpose) {
    func has(_ name: String) -> Bool { exists("\(folder)/\(name)") }
    if has("saved_model.pb") {
      self.init("a TensorFlow SavedModel", purpose)
    } else if ShardedFile.names.contains(where: has) {
      self.init("a folder of weights", purpose)
    } else {
      self.init("a folder", purpose)
    }
  }

  private init(_ name: String, _ purpose: Purpose) {
    self.name = name
    advice = Self.advice(name, purpose)
  }

  /// Whether PyTorch's reader is the one for it.
  var isTorch: Bool { name == Self.torch || name == Self.damagedArchive }

  /// The error for a file, or a folder, that is of this kind.
  func error(_ path: String, expected: String) -> CNNError {
    let text = "'\(path)' is \(name), not \(expected)\(advice.isEmpty ? "" : "; \(advice)")"
    return isFolder(path) ? CNNError(.inputOutput, text, systemCode: EISDIR) : CNNError(.malformedFile, text)
  }

  static let onnx = "an ONNX model"
  private static let damagedArchive = "a zip archive that is cut off or damaged"
  private static let torch = "a file of PyTorch's tensors"

  /// What an archive is by the names in it.
  private static func nameOfArchive(_ file: FileReader) -> String {
    guard let archive = try? ZipArchive(file) else { return damagedArchive }
    func has(_ test: (String) -> Bool) -> Bool { archive.names.contains(where: test) }
    func ends(_ end: String) -> Bool { has { $0.hasSuffix(end) } }
    if ends("serialized_exported_program.json")
      || has({ $0.hasSuffix("archive_format") || $0.hasSuffix("models/model.json") })
    {
      return "a program of torch.export (.pt2)"
    }
    if ends("/data.pkl") {
      return has { $0.split(separator: "/").dropFirst().first == "code" } ? "a TorchScript program" : torch
    }
    if has({ $0 == "model.weights.h5" || $0 == "config.json" }) { return "a Keras model (.keras, a zip archive)" }
    if ends(".npy") { return "a NumPy archive (.npz)" }
    if ends("saved_model.pb") { return "a zipped TensorFlow SavedModel" }
    return "a zip archive"
  }

  /// What to do with weights where a model is expected.
  static let building =
    "build the network by name and give the file as its weights: create_model(name, weights=path) in Python, option "
    + "\"weights\" of scnn_model_create in C"

  private static func advice(_ name: String, _ purpose: Purpose) -> String {
    let state = "save the tensors of its network: torch.save(model.state_dict(), path)"
    let other = "export it as ONNX, which can be read, or save its weights"
    switch name {
    case torch, "a folder of weights": return purpose == .weights ? "" : building
    case "a TorchScript program": return state.replacingModel("torch.jit.load(old)")
    case "a program of torch.export (.pt2)": return state.replacingModel("torch.export.load(old).module()")
    case "an HDF5 file", "a Keras model (.keras, a zip archive)":
      return "Keras's files of weights and models are read by the Python package, where h5py is installed: "
        + (purpose == .weights ? "load_weights" : "create_model(name, weights=path)")
    case onnx:
      return purpose == .onnx ? "" : "read it as a model: swiftcnn.onnx.load in Python, scnn_model_import_onnx in C"
    case "a TensorFlow SavedModel", "a TensorFlow graph", "a zipped TensorFlow SavedModel", "a TensorFlow Lite model",
      "a Core ML model":
      return other
    case "a NumPy archive (.npz)", "a NumPy array (.npy)":
      return "give the arrays to load_state_dict in Python, or save them as safetensors"
    case "a pickle": return "pickles are not run; " + state
    default:
      if name.hasSuffix("picture") { return "pictures are for classify" }
      if name.hasSuffix("archive") { return "unpack it first" }
      return ""
    }
  }
}

extension String {
  fileprivate func replacingModel(_ other: String) -> String {
    "torch.save(\(other).state_dict(), path) saves its tensors"
  }
}
