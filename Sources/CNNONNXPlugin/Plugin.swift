// These functions are named and documented in Sources/CONNXPlugin/onnx_plugin.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CNNGraph
import CNNONNX
import CONNXPlugin

/// Runs the body of a function: an error is told to the host and becomes a status.
private func call(
  _ host: UnsafePointer<scnn_onnx_host>?, _ body: (scnn_onnx_host) throws(CNNError) -> Void
) -> Int32 {
  guard let host = host?.pointee else { return CNNError.Code.internalFault.rawValue }
  do throws(CNNError) {
    try body(host)
    return 0
  } catch {
    host.fail?(host.context, error.code.rawValue, error.message(in: .c))
    return error.code.rawValue
  }
}

/// A JSON object that the host gave.
private func object(_ text: UnsafePointer<CChar>?) throws(CNNError) -> JSONObject {
  guard let text, let object = try JSON(parsing: String(cString: text)).objectValue else {
    throw CNNError(.internalFault, "the request is no object")
  }
  return object
}

@_cdecl("scnn_onnx_plugin_version") @implementation
public func scnn_onnx_plugin_version() -> Int32 { Int32(SCNN_ONNX_PLUGIN_VERSION) }

@_cdecl("scnn_onnx_plugin_export") @implementation
public func scnn_onnx_plugin_export(
  _ request: UnsafePointer<CChar>!, _ host: UnsafePointer<scnn_onnx_host>!
) -> Int32 {
  call(host) { (host) throws(CNNError) in
    let request = try object(request)
    let graph = try Graph(json: request["graph"] ?? .null)
    let bytes = try ONNXExporter.model(graph, options: ONNXExportOptions(json: request.object("options"))) {
      (parameter) throws(CNNError) in
      var count = 0
      guard let values = host.values?(host.context, parameter.name, &count) else {
        throw CNNError(.internalFault, "parameter '\(parameter.name)' has no values")
      }
      return UnsafeBufferPointer(start: values, count: count)
    }
    let status = bytes.withUnsafeBytes { host.write?(host.context, $0.baseAddress, $0.count) ?? -1 }
    // The host knows better what went wrong with its file.
    if status != 0 { throw CNNError(.inputOutput, "the file could not be written") }
  }
}

@_cdecl("scnn_onnx_plugin_import") @implementation
public func scnn_onnx_plugin_import(
  _ bytes: UnsafeRawPointer!, _ count: Int, _ options: UnsafePointer<CChar>!, _ host: UnsafePointer<scnn_onnx_host>!
) -> Int32 {
  call(host) { (host) throws(CNNError) in
    let options = try ONNXImportOptions(json: object(options))
    let network = try ONNXImporter.network(UnsafeRawBufferPointer(start: bytes, count: count), options: options) {
      (location, offset, length) throws(CNNError) in
      var data: UnsafeRawPointer?, size = 0, message: UnsafePointer<CChar>?
      let status =
        host.external?(host.context, location, Int64(offset), Int64(length ?? -1), &data, &size, &message) ?? -1
      guard status == 0, let data else {
        throw CNNError(
          CNNError.Code(rawValue: status) ?? .internalFault,
          message.map { String(cString: $0) } ?? "external data could not be read")
      }
      let memory = try Memory(byteCount: size, for: "external data")
      memory.base.copyMemory(from: data, byteCount: size)
      return memory
    }
    let description: JSON = [
      "graph": network.graph.json, "name": .string(network.name),
      "mean": network.pixels.map { .array($0.mean.map { .number($0) }) } ?? .null,
      "std": network.pixels.map { .array($0.deviation.map { .number($0) }) } ?? .null,
      "report": network.report.json,
    ]
    host.network?(host.context, try description.serialized())
    for (name, floats) in network.values {
      host.parameter?(host.context, name, floats.memory.floats.baseAddress, floats.count)
    }
  }
}

@_cdecl("scnn_onnx_plugin_names") @implementation
public func scnn_onnx_plugin_names(_ host: UnsafePointer<scnn_onnx_host>!) {
  guard let host = host?.pointee else { return }
  host.names?(host.context, ImportedOperations.names.joined(separator: "\n"))
}
