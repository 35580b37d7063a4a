import CNNCore
import Glibc

/// The models that a compression has made, in a folder where there is one: after each of them all that is known is written, so
/// that a run which ends at any moment loses but the model that it was at.
struct CompressionJournal {
  /// What a run has to have in common with one that it goes on from.
  private let identity: JSONObject
  private let folder: String?
  private(set) var points: [CompressionReport.Point] = []
  /// The seconds that runs before this one took.
  private(set) var earlierSeconds = 0.0
  private var models: [String: Model] = [:]

  private static let file = "compression.json", format: Int64 = 1

  /// Opens the folder, and makes it where there is none.
  /// - Throws: `.invalidArgument` where it belongs to another compression, naming what differs; `.malformedFile`;
  ///   `.inputOutput`.
  init(_ options: CompressionOptions, of model: Model) throws(CNNError) {
    folder = options.folder
    identity = try Self.identity(options, model)
    guard let folder else { return }
    try checkPath(folder)
    guard mkdir(folder, 0o777) == 0 || errno == EEXIST else { throw systemError("make the folder", folder) }
    guard isFolder(folder) else {
      throw CNNError(.invalidArgument, "folder is '\(folder)', which is a file; expected a folder, or a name for one")
    }
    let path = "\(folder)/\(Self.file)"
    guard access(path, F_OK) == 0 else { return }
    do throws(CNNError) {
      try read(path)
    } catch {
      throw error.code == .invalidArgument ? error : error.prefixed("'\(path)'")
    }
  }

  /// A compression is one of the same network with the same numbers, by the same choices but for how long it may take.
  private static func identity(
    _ options: CompressionOptions, _ model: Model
  ) throws(CNNError) -> JSONObject {
    var identity = options.options
    for key in ["folder", "time_limit"] { identity[key] = nil }
    let hash = try model.lock.reading { () throws(CNNError) in try model.predictionHash() }
    identity["model"] = .string(model.name)
    identity["weights"] = .string(hash.text)
    identity["threads"] = .integer(Int64(Threads.count))
    return identity
  }

  private mutating func read(_ path: String) throws(CNNError) {
    let file = try FileReader(path: path)
    let memory = try Memory(byteCount: file.byteCount, for: "journal")
    let bytes = UnsafeMutableRawBufferPointer(start: memory.base, count: file.byteCount)
    try file.read(into: bytes, at: 0)
    guard let object = try JSON(parsing: UnsafeRawBufferPointer(bytes)).objectValue else {
      throw CNNError(.malformedFile, "expected a JSON object")
    }
    guard try object.integer("format") == Self.format else {
      throw CNNError(.malformedFile, "format \(try object.integer("format")) is not known; expected \(Self.format)")
    }
    let known = try object.object("compression")
    for (key, value) in identity.members {
      let theirs = try known[key]?.serialized(), mine = try value.serialized()
      if theirs == mine { continue }
      throw CNNError(
        .invalidArgument,
        "folder '\(folder ?? "")' has a compression whose \(key) is \(theirs ?? "not known"), and this one's is "
          + "\(mine); expected the same, or another folder")
    }
    earlierSeconds = try object.number("seconds")
    for row in try object.array("points") {
      guard let row = row.objectValue else { throw CNNError(.malformedFile, "a point is no object") }
      points.append(try CompressionReport.Point(json: row))
    }
  }

  /// The place of a model that was made.
  func index(_ name: String) -> Int? { points.firstIndex { $0.name == name } }

  /// A model that was made.
  /// - Throws: `.malformedFile` or `.inputOutput` where its file is not as it was.
  mutating func model(_ name: String) throws(CNNError) -> Model {
    if let known = models[name] { return known }
    let model = try Model(contentsOf: path(of: name) ?? "")
    models[name] = model
    return model
  }

  /// Where a model lies; nil where all are in memory.
  func path(of name: String) -> String? { folder.map { "\($0)/\(name).safetensors" } }

  /// Takes the model that the compression is of, as a point without a file.
  mutating func begin(_ point: CompressionReport.Point, _ model: Model) throws(CNNError) {
    models[point.name] = model
    if points.isEmpty { points.append(point) }
    try write(point.seconds)
  }

  /// Keeps a model: its file is there before the journal speaks of it.
  mutating func add(_ point: CompressionReport.Point, _ model: Model) throws(CNNError) {
    models[point.name] = model
    if let path = path(of: point.name) { try model.write(to: path) }
    points.append(point)
    try write(point.seconds)
  }

  private func write(_ seconds: Double) throws(CNNError) {
    let object: JSON = [
      "format": .integer(Self.format), "compression": .object(identity), "seconds": .number(seconds),
      "points": .array(points.map(\.json)),
    ]
    try write(object.serialized(), as: Self.file)
  }

  /// Writes a text into the folder, where there is one.
  func write(_ text: String, as name: String) throws(CNNError) {
    guard let folder else { return }
    try AtomicFile.write(to: "\(folder)/\(name)") { (file) throws(CNNError) in try file.write(text) }
  }
}
