// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

@_cdecl("scnn_quantize") @implementation
public func scnn_quantize(
  _ handle: OpaquePointer!, _ calibration: UnsafePointer<scnn_tensor>!, _ options: UnsafePointer<CChar>!,
  _ quantized: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle)
    let x = try calibration.map { (x) throws(CNNError) in try inputs(x, "calibration") }
    let settings = try QuantizationOptions(json: SwiftCNNABI.options(options, "options"))
    try give(quantized, "quantized") { () throws(CNNError) in
      guard let x else { return try original.quantized(options: settings) }
      return try original.quantized(calibration: x, options: settings)
    }
  }
}

@_cdecl("scnn_quantization_aware") @implementation
public func scnn_quantization_aware(
  _ handle: OpaquePointer!, _ calibration: UnsafePointer<scnn_tensor>!, _ options: UnsafePointer<CChar>!,
  _ trained: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle)
    let x = try calibration.map { (x) throws(CNNError) in try inputs(x, "calibration") }
    let settings = try QuantizationAwareOptions(json: SwiftCNNABI.options(options, "options"))
    try give(trained, "trained") { () throws(CNNError) in
      guard let x else { return try original.quantizationAware(options: settings) }
      return try original.quantizationAware(calibration: x, options: settings)
    }
  }
}

@_cdecl("scnn_quantize_validated") @implementation
public func scnn_quantize_validated(
  _ handle: OpaquePointer!, _ calibration: UnsafePointer<scnn_tensor>!, _ x: UnsafePointer<scnn_tensor>!,
  _ y: UnsafePointer<scnn_tensor>!, _ options: UnsafePointer<CChar>!,
  _ quantized: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle), images = try inputs(calibration, "calibration")
    let validation = (x: try inputs(x, "x"), y: try view(y, "y"))
    let settings = try QuantizationOptions(json: SwiftCNNABI.options(options, "options"))
    try give(quantized, "quantized") { () throws(CNNError) in
      try original.quantized(calibration: images, validation: validation, options: settings)
    }
  }
}

@_cdecl("scnn_distill") @implementation
public func scnn_distill(
  _ handle: OpaquePointer!, _ teacher: OpaquePointer!, _ options: UnsafePointer<CChar>!,
  _ learner: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let student = try model(handle)
    guard teacher != nil else { throw CNNError(.invalidArgument, "teacher is NULL; expected a model") }
    let other = try model(teacher), settings = try DistillationOptions(json: SwiftCNNABI.options(options, "options"))
    try give(learner, "learner") { () throws(CNNError) in try student.distilled(from: other, options: settings) }
  }
}

@_cdecl("scnn_distilled_student") @implementation
public func scnn_distilled_student(_ handle: OpaquePointer!, _ student: UnsafeMutablePointer<OpaquePointer?>!)
  -> scnn_status
{
  call { () throws(CNNError) in
    let learner = try model(handle)
    try give(student, "student") { () throws(CNNError) in
      guard let student = learner.student else {
        throw CNNError(.invalidState, "the model has no teacher; expected one that scnn_distill has made")
      }
      return student
    }
  }
}

@_cdecl("scnn_measured_teacher") @implementation
public func scnn_measured_teacher(_ handle: OpaquePointer!, _ teacher: UnsafeMutablePointer<OpaquePointer?>!)
  -> scnn_status
{
  call { () throws(CNNError) in
    let learner = try model(handle)
    try give(teacher, "teacher") { () throws(CNNError) in try learner.measuredTeacher() }
  }
}

@_cdecl("scnn_compare_with_teacher") @implementation
public func scnn_compare_with_teacher(
  _ handle: OpaquePointer!, _ results: UnsafePointer<Double>!, _ ofTeacher: UnsafePointer<Double>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let learner = try model(handle)
    let expected = learner.trainingSettings?.resultNames.count ?? count
    guard count == expected, count >= 0 else {
      throw CNNError(.invalidArgument, "count is \(count); expected \(expected), the loss and the metrics")
    }
    let mine = UnsafeBufferPointer(start: try required(results, "results"), count: count)
    let theirs = UnsafeBufferPointer(start: try required(ofTeacher, "teacher_results"), count: count)
    try learner.compare(Array(mine), withTeacher: Array(theirs))
  }
}

@_cdecl("scnn_model_quantization_report") @implementation
public func scnn_model_quantization_report(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ reference: OpaquePointer!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try modelHandle(handle)
    guard x != nil else {
      guard reference == nil else {
        throw CNNError(.invalidArgument, "reference is given without x; expected images that it is measured on")
      }
      handle.quantizationReport = try handle.model.quantizationReport()
      return
    }
    let other = try reference.map { (reference) throws(CNNError) in try model(reference) }
    handle.quantizationReport = try handle.model.quantizationReport(inputs(x, "x"), reference: other)
  }
}

@_cdecl("scnn_model_quantization_report_text") @implementation
public func scnn_model_quantization_report_text(
  _ handle: OpaquePointer!, _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, as: format, to: buffer, capacity, length) { (handle, format) throws(CNNError) in
    guard let report = handle.quantizationReport else {
      throw CNNError(.invalidState, "there is no report yet; call scnn_model_quantization_report first")
    }
    return try report.formatted(format)
  }
}

@_cdecl("scnn_sparsify") @implementation
public func scnn_sparsify(
  _ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!, _ sparse: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle)
    let settings = try SparsityOptions(json: SwiftCNNABI.options(options, "options"))
    try give(sparse, "sparse") { () throws(CNNError) in try original.sparsified(options: settings) }
  }
}

@_cdecl("scnn_model_set_sparsity") @implementation
public func scnn_model_set_sparsity(_ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    try model.setSparsity(SparsityOptions(json: SwiftCNNABI.options(options, "options")))
  }
}

@_cdecl("scnn_model_sparsity_report") @implementation
public func scnn_model_sparsity_report(
  _ handle: OpaquePointer!, _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, as: format, to: buffer, capacity, length) { (handle, format) throws(CNNError) in
    try handle.model.sparsityReport().formatted(format)
  }
}

@_cdecl("scnn_prune") @implementation
public func scnn_prune(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ options: UnsafePointer<CChar>!, _ pruned: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle), settings = try PruningOptions(json: SwiftCNNABI.options(options, "options"))
    let data = try labelled(x, y)
    try give(pruned, "pruned") { () throws(CNNError) in
      guard let data else { return try original.pruned(settings) }
      return try original.pruned(settings, on: data.x, data.y)
    }
  }
}

@_cdecl("scnn_model_prune") @implementation
public func scnn_model_prune(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ options: UnsafePointer<CChar>!
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle), settings = try PruningOptions(json: SwiftCNNABI.options(options, "options"))
    guard let data = try labelled(x, y) else { return try model.prune(settings) }
    try model.prune(settings, on: data.x, data.y)
  }
}

/// Samples and their targets; nil where both are NULL.
private func labelled(
  _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!
) throws(CNNError) -> (x: [TensorView], y: TensorView)? {
  x == nil && y == nil ? nil : (try inputs(x, "x"), try view(y, "y"))
}

@_cdecl("scnn_model_pruning_report") @implementation
public func scnn_model_pruning_report(
  _ handle: OpaquePointer!, _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, as: format, to: buffer, capacity, length) { (handle, format) throws(CNNError) in
    guard let report = handle.model.pruningReport else {
      throw CNNError(.invalidState, "'\(handle.model.name)' was not pruned; there is no report")
    }
    return try report.formatted(format)
  }
}
