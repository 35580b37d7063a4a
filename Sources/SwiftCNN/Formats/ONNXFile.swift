import CNNCompiler
import CNNCore
import CNNGraph
import Glibc

/// What turns networks into the bytes of ONNX files and back.
///
/// It is given from outside, since it needs Foundation, which the library does without: Swift packages take it from the
/// product `SwiftCNNONNX`, the C library from a library of its own.
package protocol ONNXCodec {
  /// Reads the bytes of a file beside the model: its name, the first byte, and how many, or nil for all that follow.
  typealias ExternalReader = (_ location: String, _ offset: Int, _ length: Int?) throws(CNNError) -> Memory
  /// The values of a parameter, which stay where they are until the call it is given to returns.
  typealias Values = (_ parameter: String) throws(CNNError) -> UnsafeBufferPointer<Float>

  /// Gives the bytes of a network's model to `write`, piece by piece.
  func encode(
    _ network: Graph, options: JSONObject, values: Values, write: (UnsafeRawBufferPointer) throws(CNNError) -> Void
  ) throws(CNNError)

  /// The network of a model's bytes.
  func decode(_ bytes: UnsafeRawBufferPointer, options: JSONObject, readExternal: @escaping ExternalReader)
    throws(CNNError) -> DecodedONNX
}

/// What an `ONNXCodec` reads.
package struct DecodedONNX {
  /// The network.
  package var graph: Graph
  /// Its name.
  package var name: String
  /// Mean and deviation of uint8 pixels; nil where the file does not say.
  package var mean, deviation: [Double]?
  /// How it was read.
  package var report: ImportReport
  /// The values of its parameters by name, each at the start of its memory.
  package var values: [String: Memory]

  /// A network that was read.
  package init(
    graph: Graph, name: String, mean: [Double]?, deviation: [Double]?, report: ImportReport, values: [String: Memory]
  ) {
    (self.graph, self.name, self.mean, self.deviation) = (graph, name, mean, deviation)
    (self.report, self.values) = (report, values)
  }
}

/// The options of reading that are the model's own, and no matter of the file.
private struct ReadPictureOptions {
  var preprocessing: JSONObject?
  var classNames: [String]?

  /// These options, and the others.
  static func split(_ options: JSONObject) throws(CNNError) -> (others: JSONObject, ReadPictureOptions) {
    var others = options, result = ReadPictureOptions()
    if let object = options["preprocessing"], object != .null {
      result.preprocessing = try options.object("preprocessing")
    }
    result.classNames = try options.optionalStrings("class_names")
    (others["preprocessing"], others["class_names"]) = (nil, nil)
    return (others, result)
  }
}

extension Model {
  /// How the ONNX file was read that this model was made of; nil for other models.
  public var importReport: ImportReport? { lock.reading { knownReport } }

  /// Writes the network as it predicts, with its weights, as an ONNX file; it appears whole or not at all.
  /// - Parameters:
  ///   - options: the keys that `include/swiftcnn.h` lists for `scnn_model_export_onnx`.
  ///   - codec: what makes the bytes.
  /// - Throws: `.invalidArgument` naming the layer for an operation that no ONNX operator is, `.invalidState` where the model
  ///   is in training for integers, `.inputOutput`.
  package func writeONNX(to path: String, options: JSONObject = JSONObject(), codec: some ONNXCodec) throws(CNNError) {
    _ = try FileEnding.format(of: path, for: .onnx)
    var takesPixels = false
    var request = JSONObject()
    try OptionReader.read(options) { (options) throws(CNNError) in
      try options.flag("pixels", &takesPixels, "Whether the file's input is pixels.")
      var layout: String?
      try options.text("layout", &layout, "The order of the axes.")
      if let layout { request["layout"] = .string(layout) }
    }
    try lock.reading { () throws(CNNError) in
      guard !network.isRoundedInTraining else {
        throw CNNError(
          .invalidState, "'\(name)' is in training for integers, which no ONNX operators are; quantize it first")
      }
      let pixels: JSON = [
        "mean": .array(pixelNormalization.mean.map { .number($0) }),
        "std": .array(pixelNormalization.deviation.map { .number($0) }),
      ]
      request[takesPixels ? "pixels" : "described_pixels"] = pixels
      request["name"] = .string(name)
      try AtomicFile.write(to: path) { (file) throws(CNNError) in
        try codec.encode(
          network, options: request,
          values: { (parameter) throws(CNNError) in
            guard let position = parameters.position(of: parameter) else {
              throw CNNError(.internalFault, "there is no parameter '\(parameter)'")
            }
            return UnsafeBufferPointer(parameters.values(at: position))
          },
          write: { (bytes) throws(CNNError) in try file.write(bytes) })
      }
    }
  }

  /// Reads an ONNX file.
  /// - Parameter options: the keys that `include/swiftcnn.h` lists for `scnn_model_import_onnx`.
  /// - Throws: `.inputOutput`; `.malformedFile` where it is no model; `.invalidArgument` naming the node and its operation
  ///   for what the library does not have.
  package convenience init(onnx path: String, options: JSONObject = JSONObject(), codec: some ONNXCodec)
    throws(CNNError)
  {
    let decoded: DecodedONNX
    let (options, pictures) = try ReadPictureOptions.split(options)
    do throws(CNNError) {
      let file = try FileReader(path: path), folder = ExternalDataFolder(of: path)
      guard file.byteCount <= Int(Int32.max) else {
        throw CNNError(.malformedFile, "the file has \(file.byteCount) bytes; an ONNX file has 2147483647 at most")
      }
      let contents = try Memory(byteCount: file.byteCount, for: "the file")
      let bytes = UnsafeMutableRawBufferPointer(start: contents.base, count: file.byteCount)
      try file.read(into: bytes, at: 0)
      decoded = try codec.decode(UnsafeRawBufferPointer(bytes), options: options) {
        (location, offset, length) throws(CNNError) in
        try folder.read(location, offset: offset, length: length)
      }
      withExtendedLifetime(contents) {}
    } catch {
      if error.code == .malformedFile, let foreign = try ForeignFile(FileReader(path: path), for: .onnx),
        foreign.name != ForeignFile.onnx
      {
        throw foreign.error(path, expected: "an ONNX model")
      }
      throw error.mentions(path) ? error : error.prefixed("'\(path)'")
    }
    try self.init(decoded, pictures)
  }

  /// Reads the bytes of an ONNX file.
  /// - Throws: as `init(onnx:options:codec:)` with a path; `.invalidArgument` where weights are in other files.
  package convenience init(
    onnx bytes: UnsafeRawBufferPointer, options: JSONObject = JSONObject(), codec: some ONNXCodec
  ) throws(CNNError) {
    let (options, pictures) = try ReadPictureOptions.split(options)
    try self.init(
      codec.decode(bytes, options: options) { (location, _, _) throws(CNNError) in
        throw CNNError(
          .invalidArgument,
          "the weights are in the file '\(location)' beside the model, and bytes have no folder: give the path of the model"
        )
      }, pictures)
  }

  private convenience init(_ decoded: DecodedONNX, _ pictures: ReadPictureOptions) throws(CNNError) {
    try self.init(
      uninitialized: decoded.graph, name: decoded.name, mean: decoded.mean, deviation: decoded.deviation)
    for (position, parameter) in parameters.parameters.enumerated() {
      let target = parameters.values(at: position)
      guard let values = decoded.values[parameter.name], values.floats.count >= target.count else {
        throw CNNError(.internalFault, "parameter '\(parameter.name)' has no values")
      }
      _ = target.update(fromContentsOf: values.floats[..<target.count])
    }
    parameters.markChanged()
    var report = decoded.report
    takeForImageNet(&report)
    knownReport = report
    try setPictureOptions(preprocessing: pictures.preprocessing, classNames: pictures.classNames)
  }

  /// A classifier of 1000 classes of colored images gets ImageNet's names of them, and the usual preprocessing carried over
  /// to the size of its input.
  private func takeForImageNet(_ report: inout ImportReport) {
    let shape = lockedInputShape
    guard lockedClassCount == ImageNet.classNames.count, shape.count == 3, shape[2] == 3 else { return }
    if ModelRegistry.publishedVariant(name) == nil {
      knownClasses = .chosen(ImageNet.classNames)
      chosenPreprocessing = Preprocessing(
        height: shape[0], width: shape[1], published: (side: 256, crop: 224), interpolation: .bilinear)
    }
    var words = "mean \(pixelNormalization.mean) and deviation \(pixelNormalization.deviation) of pixels"
    if case .shorterSide(let side)? = lockedPreprocessing.resizing, let crop = lockedPreprocessing.crop {
      words = "a shorter side of \(side), of which the middle \(crop.height) x \(crop.width) is cut out, \(words)"
    }
    report.note(
      "the model has 1000 classes and is taken for one of ImageNet: it has the names of those, and for pictures \(words); "
        + "give class_names and preprocessing where that is not so")
  }
}

/// The folder of a model, in whose files its weights may lie. Nothing outside of it is read, whatever the model says.
final class ExternalDataFolder {
  private let folder: FilesOfFolder
  private var files: [String: FileReader] = [:]
  /// Bytes that were read, of each file and of all.
  private var counts: [String: Int] = [:], count = 0
  private let limit = Memory.availableByteCount

  /// The folder in which this file lies.
  init(of path: String) { folder = FilesOfFolder(of: path) }

  /// The bytes of a file in the folder.
  /// - Throws: `.malformedFile` for a name that leads out of the folder, and where the file is too short.
  func read(_ location: String, offset: Int, length: Int?) throws(CNNError) -> Memory {
    let file = try open(location)
    guard offset >= 0, offset <= file.byteCount else {
      throw CNNError(
        .malformedFile, "the external data begin at byte \(offset) of '\(location)', which has \(file.byteCount)")
    }
    let count = length ?? file.byteCount - offset
    guard count >= 0, count <= file.byteCount - offset else {
      throw CNNError(
        .malformedFile,
        "the external data are \(count) bytes from byte \(offset) of '\(location)', which has \(file.byteCount)")
    }
    // A small model could ask for the same bytes again and again.
    let ofFile = try Checked.sum([counts[location] ?? 0, count], "external data")
    let ofAll = try Checked.sum([self.count, count], "external data")
    guard ofFile <= 2 * file.byteCount, ofAll <= limit else {
      throw CNNError(
        .outOfMemory,
        "\(ofFile) bytes are read of '\(location)', which has \(file.byteCount), and \(ofAll) of all external data")
    }
    (counts[location], self.count) = (ofFile, ofAll)
    let memory = try Memory(byteCount: count, for: "external data")
    try file.read(into: UnsafeMutableRawBufferPointer(start: memory.base, count: count), at: offset)
    return memory
  }

  private func open(_ location: String) throws(CNNError) -> FileReader {
    if let file = files[location] { return file }
    let file: FileReader
    do throws(CNNError) {
      file = try folder.open(location, followsLinks: false)
    } catch {
      throw error.prefixed("the external data")
    }
    files[location] = file
    return file
  }
}
