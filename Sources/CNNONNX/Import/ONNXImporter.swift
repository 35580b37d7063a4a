import CNNCore
import CNNGraph
import FoundationEssentials
import SwiftProtobuf

/// Reads ONNX models as networks.
public enum ONNXImporter {
  /// The versions of the operator set that are read.
  public static let operatorSets = 7...28

  /// The network of a model.
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - readExternal: reads the files beside it in which weights may lie.
  /// - Throws: `.malformedFile` where the bytes are no model, or contradict themselves; `.invalidArgument` naming the
  ///   node and its operation for what the library does not have.
  public static func network(
    _ bytes: UnsafeRawBufferPointer, options: ONNXImportOptions = ONNXImportOptions(),
    readExternal: @escaping ONNXExternalReader
  ) throws(CNNError) -> ONNXNetwork {
    let model = try decode(bytes)
    guard model.hasGraph else { throw CNNError(.malformedFile, "the file has no graph: it is no ONNX model") }
    var version: Int?
    for entry in model.opsetImport where ["", "ai.onnx"].contains(entry.domain) { version = Int(entry.version) }
    guard let version else { throw CNNError(.malformedFile, "the model does not say which operator set it uses") }
    guard operatorSets.contains(version) else {
      throw CNNError(
        .invalidArgument,
        "the model uses version \(version) of the operator set; expected \(operatorSets.lowerBound) to "
          + "\(operatorSets.upperBound)")
    }
    var importer = GraphImporter(model.graph, version: version, options: options, readExternal: readExternal)
    return try importer.run(
      pixels: ModelMetadata.pixels(model.metadataProps), layout: ModelMetadata.layout(model.metadataProps))
  }

  private static func decode(_ bytes: UnsafeRawBufferPointer) throws(CNNError) -> Onnx_ModelProto {
    guard bytes.count <= ONNXExporter.maximumByteCount else {
      throw CNNError(.malformedFile, "the file has \(bytes.count) bytes; an ONNX file has 2147483647 at most")
    }
    var options = BinaryDecodingOptions()
    options.discardUnknownFields = true
    // Nothing in the schema contains its own kind: this is more than any message needs.
    options.messageDepthLimit = 16
    guard let base = bytes.baseAddress else { throw CNNError(.malformedFile, "the file has no graph: it is empty") }
    do {
      // The caller's memory as it is; the model copies what it keeps.
      let data = Data(bytesNoCopy: UnsafeMutableRawPointer(mutating: base), count: bytes.count, deallocator: .none)
      return try Onnx_ModelProto(serializedBytes: data, partial: true, options: options)
    } catch {
      throw CNNError(.malformedFile, "the file is no ONNX model: \(error)")
    }
  }
}
