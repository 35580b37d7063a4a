// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

@_cdecl("scnn_model_save") @implementation
public func scnn_model_save(_ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ trainingState: Int32)
  -> scnn_status
{
  call { () throws(CNNError) in
    try save(model(handle), text(path, "path"), ModelFileOptions(includesTrainingState: trainingState != 0))
  }
}

@_cdecl("scnn_model_save_as") @implementation
public func scnn_model_save_as(
  _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!
) -> scnn_status {
  call { () throws(CNNError) in
    try save(model(handle), text(path, "path"), ModelFileOptions(json: SwiftCNNABI.options(options, "options")))
  }
}

/// Writes a model file, or an ONNX file where the path ends so.
private func save(_ model: Model, _ path: String, _ options: ModelFileOptions) throws(CNNError) {
  guard try FileEnding.format(of: path, for: options.includesTrainingState ? .checkpoint : .model) == .onnx else {
    return try model.write(
      to: path, includingTrainingState: options.includesTrainingState, precision: options.precision)
  }
  guard options.precision == .float32 else {
    throw CNNError(.invalidArgument, "dtype is '\(options.precision.rawValue)'; ONNX models are written in float32")
  }
  try exportONNX(model, path, JSONObject())
}

@_cdecl("scnn_model_save_memory") @implementation
public func scnn_model_save_memory(
  _ handle: OpaquePointer!, _ trainingState: Int32, _ buffer: UnsafeMutableRawPointer!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try save(model(handle), ModelFileOptions(includesTrainingState: trainingState != 0), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_save_memory_as") @implementation
public func scnn_model_save_memory_as(
  _ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!, _ buffer: UnsafeMutableRawPointer!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let options = try ModelFileOptions(json: SwiftCNNABI.options(options, "options"))
    try save(model(handle), options, to: buffer, capacity, length)
  }
}

/// Writes the contents of a model file to memory.
private func save(
  _ model: Model, _ options: ModelFileOptions, to buffer: UnsafeMutableRawPointer?, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>?
) throws(CNNError) {
  let room = UnsafeMutableRawBufferPointer(start: buffer, count: buffer == nil ? 0 : max(capacity, 0))
  let count = try model.write(
    into: room, includingTrainingState: options.includesTrainingState, precision: options.precision)
  length?.pointee = count
  guard count <= room.count else {
    throw CNNError(.bufferTooSmall, "the model has \(count) bytes; the buffer has \(room.count)")
  }
}

@_cdecl("scnn_model_save_weights") @implementation
public func scnn_model_save_weights(
  _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ naming: UnsafePointer<CChar>!
) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).writeWeights(
      to: text(path, "path"), naming: WeightNaming(named: optionalText(naming, "naming") ?? "native"))
  }
}

@_cdecl("scnn_model_save_weights_as") @implementation
public func scnn_model_save_weights_as(
  _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!
) -> scnn_status {
  call { () throws(CNNError) in
    let options = try WeightsFileOptions(json: SwiftCNNABI.options(options, "options"))
    try model(handle).writeWeights(to: text(path, "path"), naming: options.naming, precision: options.precision)
  }
}
