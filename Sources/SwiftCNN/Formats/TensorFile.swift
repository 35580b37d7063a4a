import CNNCore

/// A file of named tensors, whatever its format.
public protocol TensorFile: Sendable {
  /// The path it was opened with.
  var path: String { get }
  /// The tensors' names, in the order that is fast to read them in.
  var names: [String] { get }
  /// The sizes of the tensor `name`, outermost first; nil if the file has none of that name.
  func shape(of name: String) -> [Int]?
  /// Reads the tensor `name` as floats in row-major order, whatever its type in the file.
  /// - Throws: `.unknownName`; `.shapeMismatch` if `destination` has not exactly one place for each element;
  ///   `.inputOutput` or `.malformedFile` if reading fails.
  func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CNNError)
}

extension SafetensorsFile: TensorFile {
  /// The tensors' names in the order of their bytes.
  public var names: [String] { tensors.map(\.name) }

  /// The sizes of the tensor `name`.
  public func shape(of name: String) -> [Int]? { self[name]?.shape }
}

/// Opens a file of tensors; its first bytes say in which format it is.
/// - Throws: `.inputOutput` if `path` cannot be read; `.malformedFile` if it is none of the known formats, or damaged.
public func openTensorFile(_ path: String) throws(CNNError) -> any TensorFile {
  let file = try FileReader(path: path)
  let start = try Memory(byteCount: min(file.byteCount, 16), for: "the first bytes")
  let bytes = UnsafeMutableRawBufferPointer(start: start.base, count: start.byteCount)
  try file.read(into: bytes, at: 0)
  if bytes.starts(with: ZipArchive.signature) || bytes.starts(with: TorchFile.oldSignature) {
    return try TorchFile(file)
  }
  if bytes.starts(with: [0x89, 0x48, 0x44, 0x46]) {
    throw CNNError(
      .malformedFile,
      "'\(path)' is an HDF5 file, which only the Python package reads; expected safetensors or PyTorch's .pth")
  }
  return try SafetensorsFile(file)
}
