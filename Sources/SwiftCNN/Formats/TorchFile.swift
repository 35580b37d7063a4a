import CNNCore

/// A file that `torch.save` has written, open for reading: the tensors of a `state_dict`, alone or in a checkpoint.
///
/// In a checkpoint a tensor's name is that of its dictionary, or of the dictionaries one in the other, and its own, as
/// `model_ema/module.conv1.weight`. What else is in the file is passed over, and none of it is run.
///
/// Both forms are read: the zip archive of today, and what PyTorch wrote before 1.6, which is several pickles followed by
/// the storages. Opening reads the description of all tensors; reading one touches only its own bytes. It may be used by
/// several threads at once.
public final class TorchFile: TensorFile {
  /// The bytes that the older form begins with: a pickle of PyTorch's own magic number.
  static let oldSignature: [UInt8] = [
    0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
  ]
  /// The longest description that is accepted: checkpoints have arrays of statistics in it.
  static let maximumPickleByteCount = 1 << 26

  /// The tensors' names in the order in which they are described.
  public let names: [String]
  private let file: FileReader
  private let tensors: [String: TorchTensor]
  /// Where the bytes of a storage begin, by its key.
  private let storageStarts: [String: Int]
  /// The class of a network that is in the file as a whole, which is not read.
  let networkClass: String?

  /// The path it was opened with.
  public var path: String { file.path }

  /// Opens the file and checks the description of its tensors.
  /// - Throws: `.inputOutput` if `path` cannot be read; `.malformedFile` saying what is wrong, and of a pickle without
  ///   tensors, what it has instead.
  public convenience init(path: String) throws(CNNError) { try self.init(FileReader(path: path)) }

  init(_ file: FileReader) throws(CNNError) {
    self.file = file
    do throws(CNNError) {
      var pickle = TorchPickle()
      let members: [(name: String, tensor: TorchTensor)]
      let head = try Memory(byteCount: min(file.byteCount, Self.oldSignature.count), for: "the first bytes")
      let bytes = UnsafeMutableRawBufferPointer(start: head.base, count: head.byteCount)
      try file.read(into: bytes, at: 0)
      if bytes.starts(with: Self.oldSignature) {
        var reader = try ByteReader(
          file, 0..<min(file.byteCount, SafetensorsFile.maximumHeaderLength), "the description")
        let root = try Self.oldRoot(&reader, &pickle)
        members = try pickle.tensors(of: root)
        let keys = try Self.oldKeys(&reader, &pickle)
        storageStarts = try Self.oldStarts(keys, pickle.storages, from: reader.position, in: file)
      } else {
        let archive = try ZipArchive(file)
        let folder = try Self.folder(of: archive)
        let range = try archive.byteRange(of: "\(folder)data.pkl")
        guard range.count <= Self.maximumPickleByteCount else {
          throw CNNError(
            .malformedFile,
            "its pickle has \(range.count) bytes; expected \(Self.maximumPickleByteCount) at most")
        }
        var reader = try ByteReader(file, range, "the pickle")
        let root = try pickle.value(of: &reader)
        members = try pickle.tensors(of: root)
        try Self.checkByteOrder(of: archive, folder, in: file)
        storageStarts = try Self.starts(members.map(\.tensor.storage), in: archive, folder)
      }
      names = members.map(\.name)
      tensors = Dictionary(members.map { ($0.name, $0.tensor) }, uniquingKeysWith: { _, last in last })
      networkClass = pickle.networkClass
    } catch {
      throw error.code == .malformedFile ? error.prefixed("'\(file.path)' is not a file of PyTorch's tensors") : error
    }
  }

  /// The sizes of the tensor `name`, outermost first; nil if the file has none of that name.
  public func shape(of name: String) -> [Int]? { tensors[name]?.shape }

  /// Reads the tensor `name` as floats in row-major order, whatever its type and strides in the file.
  /// - Throws: `.unknownName`; `.shapeMismatch` if `destination` has not exactly one place for each element;
  ///   `.inputOutput` or `.malformedFile` if reading fails.
  public func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CNNError) {
    guard let tensor = tensors[name], let start = storageStarts[tensor.storage.key] else {
      throw unknownName("tensor", name, among: names).prefixed("'\(path)'")
    }
    guard tensor.count == destination.count else {
      throw CNNError(
        .shapeMismatch, "tensor '\(name)' in '\(path)' has \(tensor.count) elements; expected \(destination.count)")
    }
    if tensor.count == 0 { return }
    let type = tensor.storage.type
    // The storage lies in the file, and the tensor in the storage: none of these sizes is larger than the file.
    let begin = start + tensor.offset * type.byteCount
    if tensor.isContiguous {
      return try file.read(begin..<begin + tensor.count * type.byteCount, of: type, into: destination)
    }
    let span = zip(tensor.shape, tensor.strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
    let elements = try Memory(count: span, of: .float32, for: "tensor '\(name)'")
    try file.read(begin..<begin + span * type.byteCount, of: type, into: elements.floats)
    var index = Array(repeating: 0, count: tensor.shape.count), place = 0
    for position in destination.indices {
      destination[position] = elements.floats[place]
      for axis in tensor.shape.indices.reversed() {
        index[axis] += 1
        place += tensor.strides[axis]
        if index[axis] < tensor.shape[axis] { break }
        place -= index[axis] * tensor.strides[axis]
        index[axis] = 0
      }
    }
  }

  // -------------------------------------------------------------------------------------------------------- zip archive

  /// The folder in the archive, with its slash, which is named after the file that was first written.
  private static func folder(of archive: ZipArchive) throws(CNNError) -> String {
    let pickle = "data.pkl"
    guard let name = archive.names.filter({ $0.hasSuffix("/" + pickle) }).min(by: { $0.utf8.count < $1.utf8.count })
    else { throw CNNError(.malformedFile, "the archive has no entry '\(pickle)'") }
    return String(name.dropLast(pickle.count))
  }

  private static func checkByteOrder(
    of archive: ZipArchive, _ folder: String, in file: FileReader
  ) throws(CNNError) {
    guard archive.names.contains("\(folder)byteorder") else { return }
    var order = try ByteReader(file, archive.byteRange(of: "\(folder)byteorder"), "the order of the bytes")
    guard try order.text(order.remaining) == "little" else {
      throw CNNError(.malformedFile, "its numbers are not stored little endian")
    }
  }

  private static func starts(
    _ storages: [TorchStorage], in archive: ZipArchive, _ folder: String
  ) throws(CNNError) -> [String: Int] {
    var starts: [String: Int] = [:]
    for storage in storages where starts[storage.key] == nil {
      let range = try archive.byteRange(of: "\(folder)data/\(storage.key)")
      let expected = try Checked.product([storage.count, storage.type.byteCount], "storage '\(storage.key)'")
      guard range.count >= expected else {
        throw CNNError(
          .malformedFile, "storage '\(storage.key)' has \(range.count) bytes; its tensors need \(expected)")
      }
      starts[storage.key] = range.lowerBound
    }
    return starts
  }

  // --------------------------------------------------------------------------------------------------- before PyTorch 1.6

  /// The object, after magic number, version and a description of the machine.
  private static func oldRoot(_ reader: inout ByteReader, _ pickle: inout TorchPickle) throws(CNNError) -> PickleValue {
    _ = try pickle.value(of: &reader)
    guard case .integer(1001) = try pickle.value(of: &reader) else {
      throw CNNError(.malformedFile, "its version is not 1001")
    }
    guard case .container(let index) = try pickle.value(of: &reader) else {
      throw CNNError(.malformedFile, "it does not describe the machine it was written on")
    }
    let machine = pickle.containers[index].items
    for (position, item) in machine.enumerated() where position + 1 < machine.count {
      if case .text("little_endian") = item, case .bool(false) = machine[position + 1] {
        throw CNNError(.malformedFile, "its numbers are not stored little endian")
      }
    }
    return try pickle.value(of: &reader)
  }

  /// The keys of the storages in their order.
  private static func oldKeys(_ reader: inout ByteReader, _ pickle: inout TorchPickle) throws(CNNError) -> [String] {
    guard case .container(let index) = try pickle.value(of: &reader) else {
      throw CNNError(.malformedFile, "it has no list of storages")
    }
    var keys: [String] = []
    for item in pickle.containers[index].items {
      guard case .text(let key) = item else { throw CNNError(.malformedFile, "the key of a storage is not text") }
      keys.append(key)
    }
    return keys
  }

  /// Each storage is its number of elements in eight bytes, and the elements.
  private static func oldStarts(
    _ keys: [String], _ storages: [String: TorchStorage], from start: Int, in file: FileReader
  ) throws(CNNError) -> [String: Int] {
    var starts: [String: Int] = [:]
    var position = start
    for key in keys {
      guard position <= file.byteCount - 8 else { throw CNNError(.malformedFile, "it ends before storage '\(key)'") }
      var header = try ByteReader(file, position..<position + 8, "a storage")
      let count = try header.size()
      guard let storage = storages[key] else {
        // The size of its elements is not known: what follows could not be found.
        throw CNNError(.malformedFile, "it has a storage '\(key.prefix(100))' that its pickle does not describe")
      }
      guard count >= storage.count else {
        throw CNNError(.malformedFile, "storage '\(key)' has \(count) elements; its tensors need \(storage.count)")
      }
      let byteCount = try Checked.product([count, storage.type.byteCount], "storage '\(key)'")
      guard byteCount <= file.byteCount - position - 8 else {
        throw CNNError(.malformedFile, "storage '\(key)' does not end within the file")
      }
      starts[key] = position + 8
      position += 8 + byteCount
    }
    if let key = storages.keys.first(where: { starts[$0] == nil }) {
      throw CNNError(.malformedFile, "it has no storage '\(key.prefix(100))'")
    }
    return starts
  }
}
