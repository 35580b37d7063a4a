// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

/// Measures; calls from several threads take turns.
final class MeasuresHandle: @unchecked Sendable {
  private let measures: Measures
  private let lock = LockSet(of: "the measures")

  init(_ measures: Measures) { self.measures = measures }

  func use(_ body: (Measures) throws(CNNError) -> Void) throws(CNNError) {
    try lock.writing { () throws(CNNError) in try body(measures) }
  }
}

private func use(_ handle: OpaquePointer?, _ body: (Measures) throws(CNNError) -> Void) throws(CNNError) {
  try Handles.get(handle, "measures", as: MeasuresHandle.self).use(body)
}

@_cdecl("scnn_measures_create") @implementation
public func scnn_measures_create(_ settings: UnsafePointer<CChar>!, _ measures: UnsafeMutablePointer<OpaquePointer?>!)
  -> scnn_status
{
  call { () throws(CNNError) in
    let out = try required(measures, "measures")
    out.pointee = nil
    out.pointee = Handles.make(MeasuresHandle(try Measures(json: options(settings, "settings"))))
  }
}

@_cdecl("scnn_model_measures") @implementation
public func scnn_model_measures(
  _ handle: OpaquePointer!, _ ofTraining: Int32, _ measures: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let out = try required(measures, "measures")
    out.pointee = nil
    let model = try model(handle)
    let made = ofTraining != 0 ? try model.trainingMeasures() : try model.newMeasures()
    out.pointee = Handles.make(MeasuresHandle(made))
  }
}

@_cdecl("scnn_measures_free") @implementation
public func scnn_measures_free(_ measures: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(measures, "measures", as: MeasuresHandle.self) }
}

@_cdecl("scnn_measures_reset") @implementation
public func scnn_measures_reset(_ measures: OpaquePointer!) -> scnn_status {
  call { () throws(CNNError) in try use(measures) { $0.reset() } }
}

@_cdecl("scnn_measures_add") @implementation
public func scnn_measures_add(
  _ measures: OpaquePointer!, _ targets: UnsafePointer<scnn_tensor>!, _ predictions: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!
) -> scnn_status {
  call { () throws(CNNError) in
    let targets = try view(targets, "y_true"), predictions = try view(predictions, "y_pred")
    let weights = try optionalView(sampleWeight, "sample_weight")
    try use(measures) { (measures) throws(CNNError) in
      try measures.add(targets: targets, predictions: predictions, sampleWeight: weights)
    }
  }
}

@_cdecl("scnn_measures_evaluate") @implementation
public func scnn_measures_evaluate(
  _ measures: OpaquePointer!, _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!,
  _ y: UnsafePointer<scnn_tensor>!, _ sampleWeight: UnsafePointer<scnn_tensor>!, _ batchSize: Int64, _ useEMA: Int32
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle), x = try inputs(x, "x"), y = try view(y, "y")
    let weights = try optionalView(sampleWeight, "sample_weight")
    try use(measures) { (measures) throws(CNNError) in
      try model.evaluate(
        x, y, sampleWeight: weights, batchSize: Int(batchSize), usingAverage: useEMA != 0, into: measures)
    }
  }
}

@_cdecl("scnn_measures_results") @implementation
public func scnn_measures_results(
  _ measures: OpaquePointer!, _ results: UnsafeMutablePointer<Double>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    try use(measures) { (measures) throws(CNNError) in try write(measures.results, to: results, count) }
  }
}

@_cdecl("scnn_measures_values") @implementation
public func scnn_measures_values(
  _ measures: OpaquePointer!, _ index: Int, _ values: UnsafeMutablePointer<Double>!, _ capacity: Int,
  _ shape: UnsafeMutablePointer<Int64>!, _ rank: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    try use(measures) { (measures) throws(CNNError) in
      let found = try measures.values(at: index)
      try write(found.shape.map { $0 }, to: shape, rank)
      guard let values, capacity >= found.elements.count else {
        throw CNNError(
          .bufferTooSmall,
          "the metric has \(found.elements.count) numbers; there is room for \(values == nil ? 0 : capacity)")
      }
      for (place, value) in found.elements.enumerated() { values[place] = value }
    }
  }
}

@_cdecl("scnn_measures_batch") @implementation
public func scnn_measures_batch(
  _ measures: OpaquePointer!, _ targets: UnsafeMutablePointer<scnn_tensor>!,
  _ predictions: UnsafeMutablePointer<scnn_tensor>!, _ sampleWeight: UnsafeMutablePointer<scnn_tensor>!
) -> scnn_status {
  call { () throws(CNNError) in
    let targets = try required(targets, "y_true"), predictions = try required(predictions, "y_pred")
    let weights = try required(sampleWeight, "sample_weight")
    try use(measures) { (measures) throws(CNNError) in
      guard let batch = measures.lastBatch else {
        throw CNNError(.invalidState, "no batch is kept: nothing was measured, or there are no custom_metrics")
      }
      targets.pointee = tensor(batch.targets.view)
      predictions.pointee = tensor(batch.predictions.view)
      weights.pointee = tensor(batch.sampleWeight?.view)
    }
  }
}

@_cdecl("scnn_measure_rows") @implementation
public func scnn_measure_rows(
  _ settings: UnsafePointer<CChar>!, _ targets: UnsafePointer<scnn_tensor>!,
  _ predictions: UnsafePointer<scnn_tensor>!, _ rows: UnsafeMutablePointer<Float>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    try RowMeasures.evaluate(
      options(settings, "settings"), targets: view(targets, "y_true"), predictions: view(predictions, "y_pred"),
      into: floats(rows, count, "rows"))
  }
}
