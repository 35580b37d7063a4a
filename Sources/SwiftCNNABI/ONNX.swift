// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CNNGraph
import CONNXPlugin
import CSwiftCNN
import Glibc
import SwiftCNN

/// Reads and writes ONNX files through the library that is loaded for it.
private struct LoadedONNXCodec: ONNXCodec {
  let library: ONNXLibrary

  func encode(
    _ network: Graph, options: JSONObject, values: Values, write: (UnsafeRawBufferPointer) throws(CNNError) -> Void
  ) throws(CNNError) {
    let request: JSON = ["graph": network.json, "options": .object(options)]
    let text = try request.serialized()
    try withoutActuallyEscaping(values) { (values) throws(CNNError) in
      try withoutActuallyEscaping(write) { (write) throws(CNNError) in
        try Exchange(values: values, write: write).run { library.export(text, $0) }
      }
    }
  }

  func decode(_ bytes: UnsafeRawBufferPointer, options: JSONObject, readExternal: @escaping ExternalReader)
    throws(CNNError) -> DecodedONNX
  {
    let options = try JSON.object(options).serialized()
    let exchange = Exchange(external: readExternal)
    try exchange.run { library.import(bytes.baseAddress, bytes.count, options, $0) }
    return try exchange.decoded()
  }
}

/// One call of the other library, with what it asks for and gives in the meantime.
private final class Exchange {
  private let values: ONNXCodec.Values?
  private let write: ((UnsafeRawBufferPointer) throws(CNNError) -> Void)?
  private let external: ONNXCodec.ExternalReader?
  private var failure: CNNError?
  private var lastExternal: Memory?
  private var lastMessage: UnsafeMutablePointer<CChar>?
  private var description = ""
  private var parameters: [String: Memory] = [:]
  var names = ""

  init(
    values: ONNXCodec.Values? = nil, write: ((UnsafeRawBufferPointer) throws(CNNError) -> Void)? = nil,
    external: ONNXCodec.ExternalReader? = nil
  ) {
    (self.values, self.write, self.external) = (values, write, external)
  }

  deinit { free(lastMessage) }

  private static func of(_ context: UnsafeMutableRawPointer?) -> Exchange? {
    context.map { Unmanaged<Exchange>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Makes the call. An error of a callback goes before what the other library makes of it.
  func run(_ call: (UnsafePointer<scnn_onnx_host>) -> Int32) throws(CNNError) {
    var host = scnn_onnx_host()
    host.context = Unmanaged.passUnretained(self).toOpaque()
    host.values = { context, name, count in
      guard let exchange = Exchange.of(context), let name, let values = exchange.values else { return nil }
      do throws(CNNError) {
        // Parameters stay where they are while the model is held for reading.
        let buffer = try values(String(cString: name))
        count?.pointee = buffer.count
        return buffer.baseAddress
      } catch {
        exchange.failure = error
        return nil
      }
    }
    host.write = { context, bytes, count in
      guard let exchange = Exchange.of(context), let write = exchange.write else { return -1 }
      do throws(CNNError) {
        try write(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
      } catch {
        exchange.failure = error
        return error.code.rawValue
      }
    }
    host.external = { context, location, offset, length, bytes, count, message in
      guard let exchange = Exchange.of(context), let location, let external = exchange.external else { return -1 }
      do throws(CNNError) {
        let memory = try external(String(cString: location), Int(offset), length < 0 ? nil : Int(length))
        exchange.lastExternal = memory
        bytes?.pointee = UnsafeRawPointer(memory.base)
        count?.pointee = memory.byteCount
        return 0
      } catch {
        free(exchange.lastMessage)
        exchange.lastMessage = strdup(error.message(in: .c))
        exchange.systemCode = error.systemCode
        message?.pointee = UnsafePointer(exchange.lastMessage)
        return error.code.rawValue
      }
    }
    host.network = { context, json in
      if let json { Exchange.of(context)?.description = String(cString: json) }
    }
    host.parameter = { context, name, values, count in
      guard let exchange = Exchange.of(context), let name, let values, exchange.failure == nil else { return }
      do throws(CNNError) {
        let memory = try Memory(count: count, of: .float32, for: "parameter")
        memory.base.copyMemory(from: values, byteCount: count * 4)
        exchange.parameters[String(cString: name)] = memory
      } catch {
        exchange.failure = error
      }
    }
    host.names = { context, names in if let names { Exchange.of(context)?.names = String(cString: names) } }
    host.fail = { context, status, message in
      guard let exchange = Exchange.of(context), exchange.failure == nil else { return }
      let text = message.map { String(cString: $0) } ?? "ONNX failed"
      exchange.failure = CNNError(
        CNNError.Code(rawValue: status) ?? .internalFault, text, systemCode: exchange.systemCode)
    }
    let status = call(&host)
    if let failure { throw failure }
    if status != 0 { throw CNNError(.internalFault, "the ONNX library returned \(status)") }
  }

  private var systemCode: Int32 = 0

  /// What was read. The network's shape rules are applied again.
  func decoded() throws(CNNError) -> DecodedONNX {
    guard let object = try JSON(parsing: description).objectValue else {
      throw CNNError(.internalFault, "the ONNX library gave no network")
    }
    return DecodedONNX(
      graph: try Graph(json: object["graph"] ?? .null), name: try object.string("name"),
      mean: try object.optionalNumbers("mean"), deviation: try object.optionalNumbers("std"),
      report: try ImportReport(json: object.object("report")), values: parameters)
  }
}

/// Whether a file is ONNX by its name.
func isNamedAsONNX(_ path: String) -> Bool {
  let ending = ".onnx"
  return path.utf8.count > ending.utf8.count && String(path.suffix(ending.count)).lowercased() == ending
}

/// The model of an ONNX file.
func onnxModel(_ path: String, options: JSONObject) throws(CNNError) -> Model {
  try Model(onnx: path, options: options, codec: LoadedONNXCodec(library: ONNXLibrary.get()))
}

@_cdecl("scnn_model_export_onnx") @implementation
public func scnn_model_export_onnx(
  _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!
) -> scnn_status {
  call { () throws(CNNError) in
    try exportONNX(model(handle), text(path, "path"), SwiftCNNABI.options(options, "options"))
  }
}

/// Writes an ONNX file through the library that is loaded for it.
func exportONNX(_ model: Model, _ path: String, _ options: JSONObject) throws(CNNError) {
  _ = try FileEnding.format(of: path, for: .onnx)  // Also where there is no such library.
  try model.writeONNX(to: path, options: options, codec: LoadedONNXCodec(library: ONNXLibrary.get()))
}

@_cdecl("scnn_model_import_onnx") @implementation
public func scnn_model_import_onnx(
  _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!, _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let path = try text(path, "path"), options = try SwiftCNNABI.options(options, "options")
    try give(model, "model") { () throws(CNNError) in
      try onnxModel(path, options: options)
    }
  }
}

@_cdecl("scnn_model_import_onnx_bytes") @implementation
public func scnn_model_import_onnx_bytes(
  _ bytes: UnsafeRawPointer!, _ count: Int, _ options: UnsafePointer<CChar>!,
  _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let options = try SwiftCNNABI.options(options, "options")
    let bytes = try SwiftCNNABI.bytes(bytes, count)
    try give(model, "model") { () throws(CNNError) in
      try Model(
        onnx: bytes, options: options,
        codec: LoadedONNXCodec(library: ONNXLibrary.get()))
    }
  }
}

@_cdecl("scnn_model_import_report") @implementation
public func scnn_model_import_report(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    try model.importReport?.json.serialized() ?? ""
  }
}

@_cdecl("scnn_onnx_operations") @implementation
public func scnn_onnx_operations(
  _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int, _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let library = try ONNXLibrary.get(), exchange = Exchange()
    try exchange.run { host in
      library.names(host)
      return 0
    }
    try write(exchange.names, to: buffer, capacity, length)
  }
}
