import CNNCore
import Glibc

/// Weights in several files of one folder, with an index that says which tensor is in which, as Hugging Face's libraries
/// write them: `model.safetensors.index.json`.
final class ShardedFile: TensorFile {
  /// The names in a folder under which weights are looked for, the likeliest first.
  static let names = [
    "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
  ]
  /// What the name of an index ends in.
  static let indexEnding = ".index.json"
  /// The most files that are opened for one index.
  private static let maximumShardCount = 1024

  let path: String
  let names: [String]
  private let shards: [any TensorFile]
  private let places: [String: Int]

  /// Opens the index and its files.
  /// - Throws: `.inputOutput` where one cannot be opened, named; `.malformedFile` where the index is none, a name leads out
  ///   of the folder, or a tensor is not in its file.
  init(path: String) throws(CNNError) {
    self.path = path
    let map: JSONObject
    do throws(CNNError) {
      let file = try FileReader(path: path)
      guard file.byteCount <= SafetensorsFile.maximumHeaderLength else {
        throw CNNError(
          .malformedFile, "it has \(file.byteCount) bytes; expected \(SafetensorsFile.maximumHeaderLength) at most")
      }
      var bytes = try ByteReader(file, 0..<file.byteCount, "the index")
      guard let object = try JSON(parsing: bytes.text(file.byteCount)).objectValue else {
        throw CNNError(.malformedFile, "it is not an object")
      }
      map = try object.object("weight_map")
    } catch {
      throw error.code == .inputOutput
        ? error : CNNError(.malformedFile, "'\(path)' is not an index of weights: \(error)")
    }
    let folder = FilesOfFolder(of: path)
    var positions: [String: Int] = [:], shards: [any TensorFile] = [], members: [[String]] = []
    var places: [String: Int] = [:]
    for (name, value) in map.members {
      guard let file = value.stringValue else {
        throw CNNError(.malformedFile, "'\(path)': the file of '\(name.prefix(100))' is not text")
      }
      if positions[file] == nil {
        guard shards.count < Self.maximumShardCount else {
          throw CNNError(.malformedFile, "'\(path)' names more than \(Self.maximumShardCount) files")
        }
        do throws(CNNError) {
          shards.append(try openTensorFile(folder.open(file, followsLinks: true)))
        } catch {
          throw error.prefixed("'\(path)' says that tensors are in '\(file.prefix(200))'")
        }
        positions[file] = shards.count - 1
        members.append([])
      }
      guard let shard = positions[file] else { continue }
      guard shards[shard].shape(of: name) != nil else {
        throw CNNError(
          .malformedFile, "'\(path)' says that '\(name.prefix(100))' is in '\(file)', which does not have it")
      }
      places[name] = shard
      members[shard].append(name)
    }
    // Each file's in its own order.
    names = zip(shards, members).flatMap { shard, members in
      let members = Set(members)
      return shard.names.filter(members.contains)
    }
    (self.shards, self.places) = (shards, places)
  }

  func shape(of name: String) -> [Int]? { places[name].flatMap { shards[$0].shape(of: name) } }

  func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CNNError) {
    guard let shard = places[name] else { throw unknownName("tensor", name, among: names).prefixed("'\(path)'") }
    try shards[shard].read(name, into: destination)
  }
}
