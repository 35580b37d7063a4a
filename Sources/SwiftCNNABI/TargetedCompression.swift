// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

private typealias Begin = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> scnn_status

@_cdecl("scnn_compress") @implementation
public func scnn_compress(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ validationX: UnsafePointer<scnn_tensor>!, _ validationY: UnsafePointer<scnn_tensor>!,
  _ options: UnsafePointer<CChar>!,
  _ begin: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> scnn_status)!,
  _ context: UnsafeMutableRawPointer!, _ compressed: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle)
    var given = try SwiftCNNABI.options(options, "options"), fit = FitOptions(batchSize: 128)
    if let told = try given.optionalObject("fit") {
      fit = try FitOptions(json: told, usual: fit)
      given["fit"] = nil
    }
    let settings = try CompressionOptions(json: given)
    let training = (x: try inputs(x, "x"), y: try view(y, "y"))
    let validation = (x: try inputs(validationX, "validation_x"), y: try view(validationY, "validation_y"))
    try give(compressed, "compressed") { () throws(CNNError) in
      try original.compressed(training: training, validation: validation, options: settings, fit: fit) {
        (stage) throws(CNNError) in try tell(begin, context, stage)
      }
    }
  }
}

@_cdecl("scnn_compress_with") @implementation
public func scnn_compress_with(
  _ handle: OpaquePointer!, _ calibration: UnsafePointer<scnn_tensor>!, _ data: UnsafePointer<scnn_compression_data>!,
  _ options: UnsafePointer<CChar>!, _ compressed: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle), images = try inputs(calibration, "calibration")
    let source = try CallerData(required(data, "data").pointee)
    let settings = try CompressionOptions(json: SwiftCNNABI.options(options, "options"))
    try give(compressed, "compressed") { () throws(CNNError) in
      try original.compressed(with: source, calibration: images, options: settings)
    }
  }
}

@_cdecl("scnn_model_compression_report") @implementation
public func scnn_model_compression_report(
  _ handle: OpaquePointer!, _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, as: format, to: buffer, capacity, length) { (handle, format) throws(CNNError) in
    guard let report = handle.model.compressionReport else {
      throw CNNError(.invalidState, "'\(handle.model.name)' was not made by a compression; there is no report")
    }
    return try report.formatted(format)
  }
}

/// Tells a caller's function what begins.
private func tell(_ begin: Begin?, _ context: UnsafeMutableRawPointer?, _ stage: CompressionStage) throws(CNNError) {
  guard let begin else { return }
  let text = try stage.json.serialized()
  try check(text.withCString { begin(context, $0) }, "begin")
}

/// Ends with what a caller's function has returned.
private func check(_ status: scnn_status, _ function: String) throws(CNNError) {
  guard status != scnn_status(SCNN_OK) else { return }
  let said = LastError.message.map { String(cString: $0) } ?? ""
  throw CNNError(
    CNNError.Code(rawValue: status) ?? .interrupted, said.isEmpty ? "\(function) has returned \(status)" : said)
}

/// Data that a C program trains and measures models with.
private struct CallerData: CompressionData {
  private let data: scnn_compression_data
  private let trainer: @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, Int, Double) -> scnn_status
  private let validator:
    @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, UnsafeMutablePointer<UInt8>?)
      -> scnn_status

  init(_ data: scnn_compression_data) throws(CNNError) {
    self.data = data
    (trainer, validator) = (try required(data.train, "data.train"), try required(data.validate, "data.validate"))
    guard (1...Int(Int32.max)).contains(data.samples) else {
      throw CNNError(.invalidArgument, "data.samples is \(UInt(bitPattern: data.samples)); expected 2 or more")
    }
    guard (1...Int(Int32.max)).contains(data.steps_per_epoch) else {
      throw CNNError(
        .invalidArgument, "data.steps_per_epoch is \(UInt(bitPattern: data.steps_per_epoch)); expected 1 or more")
    }
  }

  var stepsPerEpoch: Int { data.steps_per_epoch }

  func train(_ model: Model, steps: Int, seconds: Double) throws(CNNError) {
    try check(trainer(data.context, Handles.make(ModelHandle(model)), steps, seconds), "train")
  }

  func areRight(_ model: Model) throws(CNNError) -> [Bool] {
    var right = [UInt8](repeating: 0, count: data.samples)
    let handle = Handles.make(ModelHandle(model))
    try check(right.withUnsafeMutableBufferPointer { validator(data.context, handle, $0.baseAddress) }, "validate")
    return right.map { $0 != 0 }
  }

  func begin(_ stage: CompressionStage) throws(CNNError) { try tell(data.begin, data.context, stage) }
}
