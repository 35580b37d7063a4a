// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

@_cdecl("scnn_compile") @implementation
public func scnn_compile(_ handle: OpaquePointer!, _ settings: UnsafePointer<CChar>!) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).compile(TrainingSettings(json: options(settings, "settings")))
  }
}

@_cdecl("scnn_metric_names") @implementation
public func scnn_metric_names(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    guard let settings = try model(handle).trainingSettings else {
      throw CNNError(.invalidState, "the model is not compiled; call compile first")
    }
    try write(settings.resultNames.joined(separator: "\n"), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_training_settings") @implementation
public func scnn_training_settings(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in try model.trainingSettingsText() }
}

@_cdecl("scnn_trained_steps") @implementation
public func scnn_trained_steps(_ handle: OpaquePointer!, _ steps: UnsafeMutablePointer<Int64>!) -> scnn_status {
  call { () throws(CNNError) in
    try required(steps, "steps").pointee = try Int64(model(handle).trainedSteps())
  }
}

@_cdecl("scnn_training_progress") @implementation
public func scnn_training_progress(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in try model.trainingProgressText() }
}

@_cdecl("scnn_set_training_notes") @implementation
public func scnn_set_training_notes(
  _ handle: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ data: UnsafeRawPointer!, _ size: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    guard size >= 0 else { throw CNNError(.invalidArgument, "size is \(size); expected 0 or more") }
    let start = size == 0 ? nil : try required(data, "data")
    try model.setTrainingNotes(optionalText(text, "text"), data: UnsafeRawBufferPointer(start: start, count: size))
  }
}

@_cdecl("scnn_training_notes") @implementation
public func scnn_training_notes(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    try model.trainingNotes()?.text ?? ""
  }
}

@_cdecl("scnn_training_notes_data") @implementation
public func scnn_training_notes_data(
  _ handle: OpaquePointer!, _ data: UnsafeMutableRawPointer!, _ capacity: Int, _ size: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let notes = try model(handle).trainingNotes()?.data
    let count = notes?.byteCount ?? 0
    size?.pointee = count
    guard let notes, count > 0 else { return }
    guard let data, capacity >= count else {
      throw CNNError(.bufferTooSmall, "the notes have \(count) bytes; data has \(data == nil ? 0 : capacity)")
    }
    data.copyMemory(from: notes.base, byteCount: count)
  }
}

/// Checks that results fit before anything is trained.
private func checkRoom(_ model: Model, _ results: UnsafeMutablePointer<Double>?, _ count: Int) throws(CNNError) {
  _ = try required(results, "results")
  guard let expected = model.trainingSettings?.resultNames.count else { return }
  guard count == expected else {
    throw CNNError(.bufferTooSmall, "there is room for \(count) results; there are \(expected)")
  }
}

@_cdecl("scnn_train_on_batch") @implementation
public func scnn_train_on_batch(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!, _ results: UnsafeMutablePointer<Double>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    try checkRoom(model, results, count)
    let measured = try model.trainOnBatch(
      inputs(x, "x"), view(y, "y"), sampleWeight: optionalView(sampleWeight, "sample_weight"))
    try write(measured.values, to: results, count)
  }
}

@_cdecl("scnn_evaluate") @implementation
public func scnn_evaluate(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!, _ batchSize: Int64, _ results: UnsafeMutablePointer<Double>!,
  _ count: Int
) -> scnn_status {
  evaluate(handle, x, y, sampleWeight, batchSize, results, count, usingAverage: false)
}

@_cdecl("scnn_evaluate_ema") @implementation
public func scnn_evaluate_ema(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!, _ batchSize: Int64, _ results: UnsafeMutablePointer<Double>!,
  _ count: Int
) -> scnn_status {
  evaluate(handle, x, y, sampleWeight, batchSize, results, count, usingAverage: true)
}

private func evaluate(
  _ handle: OpaquePointer?, _ x: UnsafePointer<scnn_tensor>?, _ y: UnsafePointer<scnn_tensor>?,
  _ sampleWeight: UnsafePointer<scnn_tensor>?, _ batchSize: Int64, _ results: UnsafeMutablePointer<Double>?,
  _ count: Int, usingAverage: Bool
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    try checkRoom(model, results, count)
    let measured = try model.evaluate(
      inputs(x, "x"), view(y, "y"), sampleWeight: optionalView(sampleWeight, "sample_weight"),
      batchSize: Int(batchSize), usingAverage: usingAverage)
    try write(measured.values, to: results, count)
  }
}

@_cdecl("scnn_get_gradient") @implementation
public func scnn_get_gradient(
  _ handle: OpaquePointer!, _ parameter: UnsafePointer<CChar>!, _ data: UnsafeMutablePointer<Float>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).copyGradient(of: text(parameter, "parameter"), into: floats(data, count, "data"))
  }
}

@_cdecl("scnn_get_learning_rate") @implementation
public func scnn_get_learning_rate(_ handle: OpaquePointer!, _ rate: UnsafeMutablePointer<Double>!) -> scnn_status {
  call { () throws(CNNError) in try required(rate, "rate").pointee = try model(handle).learningRate() }
}

@_cdecl("scnn_set_learning_rate") @implementation
public func scnn_set_learning_rate(_ handle: OpaquePointer!, _ rate: Double) -> scnn_status {
  call { () throws(CNNError) in try model(handle).setLearningRate(rate) }
}

@_cdecl("scnn_swap_ema") @implementation
public func scnn_swap_ema(_ handle: OpaquePointer!) -> scnn_status {
  call { () throws(CNNError) in try model(handle).swapMovingAverage() }
}

@_cdecl("scnn_apply_ema") @implementation
public func scnn_apply_ema(_ handle: OpaquePointer!) -> scnn_status {
  call { () throws(CNNError) in try model(handle).applyMovingAverage() }
}

/// A training run; calls from several threads take turns.
final class FitHandle: @unchecked Sendable {
  private let run: TrainingRun
  private let lock = LockSet(of: "the run")

  init(_ run: TrainingRun) { self.run = run }

  func alone(_ body: (TrainingRun) throws(CNNError) -> TrainingRun.Progress) throws(CNNError) -> TrainingRun.Progress {
    try lock.writing { () throws(CNNError) in try body(run) }
  }
}

/// What a function of a run reports.
private func report(
  _ fit: OpaquePointer?, _ progress: UnsafeMutablePointer<scnn_progress>?,
  _ body: (TrainingRun) throws(CNNError) -> TrainingRun.Progress
) -> scnn_status {
  call { () throws(CNNError) in
    let run = try Handles.get(fit, "fit", as: FitHandle.self)
    let out = try required(progress, "progress")
    let progress = try run.alone(body)
    var result = scnn_progress()
    result.epoch = Int64(progress.epoch)
    result.batch = Int64(progress.batch)
    result.batches = Int64(progress.batches)
    result.step = Int64(progress.step)
    result.epoch_ended = progress.epochEnded ? 1 : 0
    result.finished = progress.finished ? 1 : 0
    result.learning_rate = progress.learningRate
    result.metric_count = Int32(progress.results.values.count)
    withUnsafeMutableBytes(of: &result.results) { bytes in
      let values = bytes.bindMemory(to: Double.self)
      for (index, value) in progress.results.values.prefix(values.count).enumerated() { values[index] = value }
    }
    out.pointee = result
  }
}

@_cdecl("scnn_fit_begin") @implementation
public func scnn_fit_begin(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!, _ options: UnsafePointer<CChar>!,
  _ fit: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    let out = try required(fit, "fit")
    out.pointee = nil
    let options = try FitOptions(json: SwiftCNNABI.options(options, "options"))
    let hasData = x != nil || y != nil || sampleWeight != nil
    let run =
      hasData
      ? try TrainingRun(
        model, inputs(x, "x"), view(y, "y"), sampleWeight: optionalView(sampleWeight, "sample_weight"), options: options
      )
      : try TrainingRun(model, options: options)
    out.pointee = Handles.make(FitHandle(run))
  }
}

@_cdecl("scnn_fit_step") @implementation
public func scnn_fit_step(_ fit: OpaquePointer!, _ progress: UnsafeMutablePointer<scnn_progress>!) -> scnn_status {
  report(fit, progress) { (run) throws(CNNError) in try run.step() }
}

@_cdecl("scnn_fit_on_batch") @implementation
public func scnn_fit_on_batch(
  _ fit: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!, _ progress: UnsafeMutablePointer<scnn_progress>!
) -> scnn_status {
  report(fit, progress) { (run) throws(CNNError) in
    try run.step(inputs(x, "x"), view(y, "y"), sampleWeight: optionalView(sampleWeight, "sample_weight"))
  }
}

@_cdecl("scnn_fit_end_epoch") @implementation
public func scnn_fit_end_epoch(_ fit: OpaquePointer!, _ progress: UnsafeMutablePointer<scnn_progress>!) -> scnn_status {
  report(fit, progress) { (run) throws(CNNError) in
    try run.endEpoch()
    return run.progress
  }
}

@_cdecl("scnn_fit_progress") @implementation
public func scnn_fit_progress(_ fit: OpaquePointer!, _ progress: UnsafeMutablePointer<scnn_progress>!) -> scnn_status {
  report(fit, progress) { (run) throws(CNNError) in run.progress }
}

@_cdecl("scnn_fit_free") @implementation
public func scnn_fit_free(_ fit: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(fit, "fit", as: FitHandle.self) }
}
