import CNNCore
import CNNGraph
import CNNONNX
import SwiftCNN

/// Reads and writes ONNX files within the process.
struct LinkedONNXCodec: ONNXCodec {
  func encode(
    _ network: Graph, options: JSONObject, values: Values, write: (UnsafeRawBufferPointer) throws(CNNError) -> Void
  ) throws(CNNError) {
    let bytes = try ONNXExporter.model(network, options: ONNXExportOptions(json: options)) {
      (parameter) throws(CNNError) in try values(parameter.name)
    }
    try bytes.span.bytes.withUnsafeBytes { (bytes) throws(CNNError) in try write(bytes) }
  }

  func decode(_ bytes: UnsafeRawBufferPointer, options: JSONObject, readExternal: @escaping ExternalReader)
    throws(CNNError) -> DecodedONNX
  {
    let network = try ONNXImporter.network(
      bytes, options: ONNXImportOptions(json: options), readExternal: readExternal)
    return DecodedONNX(
      graph: network.graph, name: network.name, mean: network.pixels?.mean, deviation: network.pixels?.deviation,
      report: network.report, values: network.values.mapValues(\.memory))
  }
}

extension Model {
  /// Writes the network as it predicts, with its weights, as an ONNX file of operator set 17; it appears whole or not at
  /// all.
  /// - Parameters:
  ///   - path: where.
  ///   - layout: how images stand at the model's input and output.
  ///   - takesPixels: whether the model takes uint8 pixels and normalises them with this model's mean and deviation, or
  ///     floats as they are to be computed with.
  /// - Throws: `.invalidArgument` naming the layer for an operation that no ONNX operator is; `.invalidState` where the
  ///   model is in training for integers; `.inputOutput`.
  public func writeONNX(
    to path: String, layout: ONNXExportOptions.Layout = .nhwc, takesPixels: Bool = false
  ) throws(CNNError) {
    var options = JSONObject()
    options["layout"] = .string(layout.rawValue)
    options["pixels"] = .bool(takesPixels)
    try writeONNX(to: path, options: options, codec: LinkedONNXCodec())
  }

  /// Reads an ONNX file, with what lies of its weights in files beside it.
  /// - Throws: `.inputOutput`; `.malformedFile` where it is no model; `.invalidArgument` naming the node and its operation
  ///   for what the library does not have.
  public convenience init(onnx path: String, options: ONNXImportOptions = ONNXImportOptions()) throws(CNNError) {
    try self.init(onnx: path, options: options.json, codec: LinkedONNXCodec())
  }

  /// Reads the bytes of an ONNX file.
  /// - Throws: as `init(onnx:options:)` with a path; `.invalidArgument` where weights are in other files.
  public convenience init(onnx bytes: UnsafeRawBufferPointer, options: ONNXImportOptions = ONNXImportOptions())
    throws(CNNError)
  {
    try self.init(onnx: bytes, options: options.json, codec: LinkedONNXCodec())
  }
}
