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

/// Opens a file of tensors; its first bytes say in which format it is. `*.index.json` names files with parts of them, and a
/// folder is searched for such an index or a file as Hugging Face's libraries call them.
/// - Throws: `.inputOutput` if `path` cannot be read; `.malformedFile` if it is none of the known formats, and then what it
///   is, or damaged.
public func openTensorFile(_ path: String) throws(CNNError) -> any TensorFile {
  try checkPath(path)
  if isFolder(path) {
    guard let name = ShardedFile.names.first(where: { !isFolder("\(path)/\($0)") && exists("\(path)/\($0)") }) else {
      throw ForeignFile(folder: path, for: .weights).error(path, expected: "one of weights")
    }
    return try openTensorFile("\(path)/\(name)")
  }
  return path.hasSuffix(ShardedFile.indexEnding)
    ? try ShardedFile(path: path) : try openTensorFile(FileReader(path: path))
}

/// As `openTensorFile(_:)`, for one file that is open.
func openTensorFile(_ file: FileReader) throws(CNNError) -> any TensorFile {
  guard let foreign = try ForeignFile(file, for: .weights) else { return try SafetensorsFile(file) }
  if foreign.isTorch { return try TorchFile(file) }
  throw foreign.error(file.path, expected: "safetensors or PyTorch's .pth")
}
