import CNNCore

/// What the end of a file's name promises of its contents: another format than is written is an error, not a surprise.
package enum FileEnding {
  /// What is to be written.
  package enum Purpose: String, Sendable, CaseIterable {
    /// A model, in a file of its own or as ONNX.
    case model
    /// A model file, with which training may go on.
    case checkpoint
    /// The parameters alone.
    case weights
    /// The network for other programs.
    case onnx
  }

  /// A format that is written.
  package enum Format: String, Sendable {
    /// Safetensors, of a model with its network.
    case safetensors
    /// PyTorch's `state_dict`.
    case torch
    /// ONNX.
    case onnx
  }

  private static let torch: Set<String> = ["pth", "pt", "bin"]
  /// Endings of other programs' formats. Any other is taken for a part of the name.
  private static let foreign: [String: String] = [
    "keras": "Keras's models", "h5": "Keras's HDF5 files", "hdf5": "HDF5 files", "tflite": "TensorFlow Lite's models",
    "pb": "TensorFlow's graphs", "pt2": "the programs of torch.export", "npz": "NumPy's archives",
    "npy": "NumPy's arrays",
    "gguf": "GGUF models", "mlmodel": "Core ML's models", "mlpackage": "Core ML's models", "pkl": "pickles",
    "pickle": "pickles", "xml": "OpenVINO's networks", "json": "JSON files", "yaml": "YAML files", "yml": "YAML files",
    "zip": "archives", "tar": "archives", "gz": "archives",
  ]

  /// The format in which a file of this name is written.
  /// - Throws: `.invalidArgument` where the ending is that of a format that is not written so, with the call that does.
  package static func format(of path: String, for purpose: Purpose) throws(CNNError) -> Format {
    var name = path.split(separator: "/").last.map { $0.lowercased() } ?? ""
    if name.hasSuffix(".pth.tar") { name = String(name.dropLast(4)) }
    let ending = name.lastIndex(of: ".").map { String(name[name.index(after: $0)...]) } ?? ""
    let isTorch = torch.contains(ending)
    let what =
      isTorch
      ? "PyTorch's tensors"
      : ending == "onnx" ? "ONNX models" : ending == "safetensors" ? "safetensors" : foreign[ending]
    switch purpose {
    case .model where ending == "onnx", .onnx where ending == "onnx" || what == nil: return .onnx
    case .weights where isTorch: return .torch
    case .onnx: break
    default: if what == nil || ending == "safetensors" { return .safetensors }
    }
    throw CNNError(
      .invalidArgument,
      "'\(path)' ends as \(what ?? "other files") do; \(advice(purpose, isTorch: isTorch, isONNX: ending == "onnx"))")
  }

  private static func advice(_ purpose: Purpose, isTorch: Bool, isONNX: Bool) -> String {
    switch purpose {
    case .onnx: return "an ONNX model ends in .onnx"
    case .weights:
      return "weights are written as .safetensors or as PyTorch's .pth"
        + (isONNX ? "; export (scnn_model_export_onnx in C) writes ONNX" : "")
    case .model, .checkpoint:
      let model = "a model file ends in .safetensors"
      if isTorch { return "\(model); save_weights (scnn_model_save_weights in C) writes the weights alone as .pth" }
      return isONNX ? "\(model); export (scnn_model_export_onnx in C) writes ONNX, without training state" : model
    }
  }
}
