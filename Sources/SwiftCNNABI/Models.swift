// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CNNGraph
import CSwiftCNN
import Glibc
import SwiftCNN

/// A model and the C strings of its parameters' names, which live as long as the handle.
final class ModelHandle: Sendable {
  let model: Model
  let parameters: [Parameter]
  private let strings: CStrings
  private let lastProfile = Guarded<Profile?> { nil }
  private let lastReport = Guarded<QuantizationReport?> { nil }
  private let others = Guarded { TextPool() }

  /// What the last profiling of this handle measured.
  var profile: Profile? {
    get { lastProfile.withLock { $0 } }
    set { lastProfile.withLock { $0 = newValue } }
  }

  /// The last report on quantisation of this handle.
  var quantizationReport: QuantizationReport? {
    get { lastReport.withLock { $0 } }
    set { lastReport.withLock { $0 = newValue } }
  }

  init(_ model: Model) {
    self.model = model
    parameters = model.parameterList
    strings = CStrings(parameters.map(\.name) + Parameter.Role.allCases.map(\.rawValue))
  }

  /// The name of the parameter at `index`.
  func name(_ index: Int) -> UnsafePointer<CChar>? { strings.pointers[index] }

  /// Any text, as a C string that lives as long as the handle.
  func string(_ text: String) -> UnsafePointer<CChar>? { others.withLock { $0[text] } }

  /// The name of a role.
  func name(_ role: Parameter.Role) -> UnsafePointer<CChar>? {
    Parameter.Role.allCases.firstIndex(of: role).flatMap { strings.pointers[parameters.count + $0] }
  }
}

/// C strings that are freed together.
private final class CStrings: @unchecked Sendable {
  let pointers: [UnsafePointer<CChar>?]

  init(_ texts: [String]) { pointers = texts.map { strdup($0).map { UnsafePointer($0) } } }

  deinit { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
}

/// C strings that are made when they are first asked for.
private final class TextPool: @unchecked Sendable {
  private var pointers: [String: UnsafeMutablePointer<CChar>] = [:]

  subscript(text: String) -> UnsafePointer<CChar>? {
    if let known = pointers[text] { return UnsafePointer(known) }
    guard let new = strdup(text) else { return nil }
    pointers[text] = new
    return UnsafePointer(new)
  }

  deinit { for pointer in pointers.values { free(pointer) } }
}

/// The model behind a handle, with what belongs to the handle.
/// - Throws: as well `.invalidState` in a forked child where another thread was changing the model.
func modelHandle(_ handle: OpaquePointer?) throws(CNNError) -> ModelHandle {
  let handle = try Handles.get(handle, "model", as: ModelHandle.self)
  try handle.model.requireWhole()
  return handle
}

/// The model behind a handle.
func model(_ handle: OpaquePointer?) throws(CNNError) -> Model { try modelHandle(handle).model }

/// Gives out a new model; `out` is NULL until then.
func give(_ out: UnsafeMutablePointer<OpaquePointer?>?, _ name: String, _ make: () throws(CNNError) -> Model)
  throws(CNNError)
{
  let out = try required(out, name)
  out.pointee = nil
  out.pointee = Handles.make(ModelHandle(try make()))
}

@_cdecl("scnn_model_create") @implementation
public func scnn_model_create(
  _ name: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!, _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    try give(model, "model") { () throws(CNNError) in
      try Model(
        text(name, "name"), options: ModelOptions(json: SwiftCNNABI.options(options, "options")))
    }
  }
}

@_cdecl("scnn_model_load") @implementation
public func scnn_model_load(
  _ path: UnsafePointer<CChar>!, _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let path = try text(path, "path")
    try give(model, "model") { () throws(CNNError) in
      isNamedAsONNX(path) ? try onnxModel(path, options: JSONObject()) : try Model(contentsOf: path)
    }
  }
}

@_cdecl("scnn_model_load_memory") @implementation
public func scnn_model_load_memory(
  _ bytes: UnsafeRawPointer!, _ count: Int, _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let bytes = try SwiftCNNABI.bytes(bytes, count)
    try give(model, "model") { () throws(CNNError) in try Model(bytes: bytes) }
  }
}

@_cdecl("scnn_file_format") @implementation
public func scnn_file_format(
  _ path: UnsafePointer<CChar>!, _ purpose: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!,
  _ capacity: Int, _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let path = try text(path, "path"), name = try text(purpose, "purpose")
    guard let purpose = FileEnding.Purpose(rawValue: name) else {
      throw unknownName("purpose", name, among: FileEnding.Purpose.allCases.map(\.rawValue))
    }
    try write(FileEnding.format(of: path, for: purpose).rawValue, to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_load_weights") @implementation
public func scnn_model_load_weights(_ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ strict: Int32)
  -> scnn_status
{
  call { () throws(CNNError) in try model(handle).loadWeights(from: text(path, "path"), strict: strict != 0) }
}

@_cdecl("scnn_match_layers") @implementation
public func scnn_match_layers(
  _ layers: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let match = try LayerMatch(json: options(required(layers, "layers"), "layers"))
    try write(match.json.serialized(), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_keras_network") @implementation
public func scnn_keras_network(
  _ config: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let network = try KerasNetwork(options(required(config, "config"), "config"))
    try write(network.json.serialized(), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_weights_report") @implementation
public func scnn_model_weights_report(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    try model.lastWeightsReport?.json.serialized() ?? ""
  }
}

@_cdecl("scnn_model_clone") @implementation
public func scnn_model_clone(_ handle: OpaquePointer!, _ copy: UnsafeMutablePointer<OpaquePointer?>!) -> scnn_status {
  call { () throws(CNNError) in
    let original = try model(handle)
    try give(copy, "copy") { () throws(CNNError) in try original.copy() }
  }
}

@_cdecl("scnn_model_from_graph") @implementation
public func scnn_model_from_graph(
  _ graph: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!, _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let graph = try text(graph, "graph")
    let settings = try CustomModelOptions(json: SwiftCNNABI.options(options, "options"))
    try give(model, "model") { () throws(CNNError) in
      try Model(network: JSON(parsing: graph), options: settings)
    }
  }
}

@_cdecl("scnn_model_copy_state") @implementation
public func scnn_model_copy_state(_ handle: OpaquePointer!, _ other: OpaquePointer!) -> scnn_status {
  call { () throws(CNNError) in try model(handle).copyState(of: model(other)) }
}

@_cdecl("scnn_model_set_metadata") @implementation
public func scnn_model_set_metadata(
  _ handle: OpaquePointer!, _ key: UnsafePointer<CChar>!, _ value: UnsafePointer<CChar>!
) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).setMetadata(text(key, "key"), optionalText(value, "value"))
  }
}

@_cdecl("scnn_model_metadata") @implementation
public func scnn_model_metadata(
  _ handle: OpaquePointer!, _ key: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try write(model(handle).metadata(text(key, "key")) ?? "", to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_free") @implementation
public func scnn_model_free(_ handle: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(handle, "model", as: ModelHandle.self) }
}

@_cdecl("scnn_model_name") @implementation
public func scnn_model_name(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in model.name }
}

@_cdecl("scnn_model_summary") @implementation
public func scnn_model_summary(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in model.summary }
}

@_cdecl("scnn_model_fused_summary") @implementation
public func scnn_model_fused_summary(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in try model.fusedSummary() }
}

@_cdecl("scnn_model_profile") @implementation
public func scnn_model_profile(_ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ repeats: Int64)
  -> scnn_status
{
  call { () throws(CNNError) in
    let handle = try modelHandle(handle)
    handle.profile = try handle.model.profile(inputs(x, "x"), repeats: Int(repeats))
  }
}

@_cdecl("scnn_model_profile_training") @implementation
public func scnn_model_profile_training(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ y: UnsafePointer<scnn_tensor>!,
  _ sampleWeight: UnsafePointer<scnn_tensor>!, _ repeats: Int64
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try modelHandle(handle)
    handle.profile = try handle.model.profile(
      inputs(x, "x"), view(y, "y"), sampleWeight: optionalView(sampleWeight, "sample_weight"), repeats: Int(repeats))
  }
}

@_cdecl("scnn_model_profile_synthetic") @implementation
public func scnn_model_profile_synthetic(_ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try modelHandle(handle)
    handle.profile = try handle.model.profile(ProfileOptions(json: SwiftCNNABI.options(options, "options")))
  }
}

@_cdecl("scnn_model_profile_text") @implementation
public func scnn_model_profile_text(
  _ handle: OpaquePointer!, _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, as: format, to: buffer, capacity, length) { (handle, format) throws(CNNError) in
    guard let profile = handle.profile else {
      throw CNNError(.invalidState, "nothing is measured yet; call scnn_model_profile first")
    }
    return try profile.formatted(format)
  }
}

@_cdecl("scnn_model_graph") @implementation
public func scnn_model_graph(
  _ handle: OpaquePointer!, _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, as: format, to: buffer, capacity, length) { (handle, format) throws(CNNError) in
    try handle.model.graphText(format)
  }
}

@_cdecl("scnn_model_draw") @implementation
public func scnn_model_draw(
  _ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let options = try DrawingOptions(json: SwiftCNNABI.options(options, "options"))
    try write(model(handle).drawing(options), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_feature_maps") @implementation
public func scnn_model_feature_maps(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try write(model(handle).featureMapsDescription.serialized(), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_input_shape") @implementation
public func scnn_model_input_shape(
  _ handle: OpaquePointer!, _ shape: UnsafeMutablePointer<Int64>!, _ rank: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle), shapes = model.inputShapes
    guard shapes.count == 1 else {
      throw CNNError(.invalidState, "the model has \(shapes.count) inputs; scnn_model_input gives the shape of each")
    }
    try write(shapes[0], to: shape, rank)
  }
}

@_cdecl("scnn_model_input_count") @implementation
public func scnn_model_input_count(_ handle: OpaquePointer!, _ count: UnsafeMutablePointer<Int>!) -> scnn_status {
  call { () throws(CNNError) in try required(count, "count").pointee = try model(handle).inputNames.count }
}

@_cdecl("scnn_model_input") @implementation
public func scnn_model_input(
  _ handle: OpaquePointer!, _ index: Int, _ input: UnsafeMutablePointer<scnn_input>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try modelHandle(handle), out = try required(input, "input")
    let names = handle.model.inputNames
    guard names.indices.contains(index) else {
      throw CNNError(.invalidArgument, "index is \(index); the model has \(names.count) inputs")
    }
    var result = scnn_input()
    result.name = handle.string(names[index])
    result.pixels = handle.model.pixelInputs[index] ? 1 : 0
    try withUnsafeMutablePointer(to: &result) { (result) throws(CNNError) in
      try withUnsafeMutableBytes(of: &result.pointee.shape) { (bytes) throws(CNNError) in
        try write(
          handle.model.inputShapes[index], to: bytes.bindMemory(to: Int64.self).baseAddress, &result.pointee.rank)
      }
    }
    out.pointee = result
  }
}

@_cdecl("scnn_model_get_normalization") @implementation
public func scnn_model_get_normalization(
  _ handle: OpaquePointer!, _ mean: UnsafeMutablePointer<Double>!, _ deviation: UnsafeMutablePointer<Double>!,
  _ channels: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let normalization = try model(handle).normalization
    try write(normalization.mean, to: mean, channels)
    try write(normalization.deviation, to: deviation, channels)
  }
}

@_cdecl("scnn_model_set_normalization") @implementation
public func scnn_model_set_normalization(
  _ handle: OpaquePointer!, _ mean: UnsafePointer<Double>!, _ deviation: UnsafePointer<Double>!, _ channels: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    let mean = try required(mean, "mean"), deviation = try required(deviation, "deviation")
    // Checked before anything is read: the caller's arrays are as long as it says.
    guard channels == model.normalization.mean.count else {
      throw CNNError(
        .invalidArgument, "channels is \(channels); the model has \(model.normalization.mean.count)")
    }
    try model.setNormalization(
      mean: Array(UnsafeBufferPointer(start: mean, count: channels)),
      deviation: Array(UnsafeBufferPointer(start: deviation, count: channels)))
  }
}

@_cdecl("scnn_model_set_precision") @implementation
public func scnn_model_set_precision(_ handle: OpaquePointer!, _ dtype: UnsafePointer<CChar>!) -> scnn_status {
  call { () throws(CNNError) in try model(handle).setPrecision(PrecisionPolicy(named: text(dtype, "dtype"))) }
}

@_cdecl("scnn_model_get_precision") @implementation
public func scnn_model_get_precision(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in model.precision.rawValue }
}

@_cdecl("scnn_model_layer_precisions") @implementation
public func scnn_model_layer_precisions(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    try JSON.array(model.layerPrecisions().map(\.json)).serialized()
  }
}

@_cdecl("scnn_model_warning") @implementation
public func scnn_model_warning(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).readWarning { (text) throws(CNNError) in try write(text, to: buffer, capacity, length) }
  }
}

@_cdecl("scnn_model_integer_dtype") @implementation
public func scnn_model_integer_dtype(
  _ handle: OpaquePointer!, _ minimum: Int64, _ maximum: Int64, _ dtype: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle), out = try required(dtype, "dtype")
    out.pointee = try dtypeCode(model.elementType(ofIntegersFrom: minimum, to: maximum))
  }
}

@_cdecl("scnn_model_gives_logits") @implementation
public func scnn_model_gives_logits(_ handle: OpaquePointer!, _ logits: UnsafeMutablePointer<Int32>!) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle)
    try required(logits, "logits").pointee = model.givesLogits ? 1 : 0
  }
}

@_cdecl("scnn_model_parameter_count") @implementation
public func scnn_model_parameter_count(_ handle: OpaquePointer!, _ count: UnsafeMutablePointer<Int>!) -> scnn_status {
  call { () throws(CNNError) in
    try required(count, "count").pointee = try modelHandle(handle).parameters.count
  }
}

@_cdecl("scnn_model_parameter") @implementation
public func scnn_model_parameter(
  _ handle: OpaquePointer!, _ index: Int, _ parameter: UnsafeMutablePointer<scnn_parameter>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try modelHandle(handle)
    let out = try required(parameter, "parameter")
    guard let known = handle.model.parameter(at: index) else {
      throw CNNError(.invalidArgument, "index is \(index); the model has \(handle.parameters.count) parameters")
    }
    var result = scnn_parameter()
    result.name = handle.name(index)
    result.role = handle.name(known.role)
    result.trainable = known.isTrainable ? 1 : 0
    result.rank = Int32(known.shape.count)
    withUnsafeMutableBytes(of: &result.shape) { bytes in
      let sizes = bytes.bindMemory(to: Int64.self)
      for (axis, size) in known.shape.enumerated() { sizes[axis] = Int64(size) }
    }
    out.pointee = result
  }
}

@_cdecl("scnn_model_get_parameter") @implementation
public func scnn_model_get_parameter(
  _ handle: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ data: UnsafeMutablePointer<Float>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).copyValue(of: text(name, "name"), into: floats(data, count, "data"))
  }
}

@_cdecl("scnn_model_set_parameter") @implementation
public func scnn_model_set_parameter(
  _ handle: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ data: UnsafePointer<Float>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let source = try floats(UnsafeMutablePointer(mutating: data), count, "data")
    try model(handle).setValue(of: text(name, "name"), from: UnsafeBufferPointer(source))
  }
}

@_cdecl("scnn_model_set_trainable") @implementation
public func scnn_model_set_trainable(
  _ handle: OpaquePointer!, _ pattern: UnsafePointer<CChar>!, _ trainable: Int32, _ matched: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let count = try model(handle).setTrainable(trainable != 0, matching: text(pattern, "pattern"))
    matched?.pointee = count
  }
}

@_cdecl("scnn_model_set_regularization") @implementation
public func scnn_model_set_regularization(
  _ handle: OpaquePointer!, _ pattern: UnsafePointer<CChar>!, _ l1: Double, _ l2: Double,
  _ matched: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let count = try model(handle).setRegularization(l1: l1, l2: l2, matching: text(pattern, "pattern"))
    matched?.pointee = count
  }
}

@_cdecl("scnn_model_reset_classifier") @implementation
public func scnn_model_reset_classifier(_ handle: OpaquePointer!, _ classes: Int64, _ seed: UInt64) -> scnn_status {
  call { () throws(CNNError) in try model(handle).resetClassifier(classes: Int(classes), seed: seed) }
}

@_cdecl("scnn_model_tensor_names") @implementation
public func scnn_model_tensor_names(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    model.tensorNames.joined(separator: "\n")
  }
}

@_cdecl("scnn_model_output_shape") @implementation
public func scnn_model_output_shape(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ tensor: UnsafePointer<CChar>!,
  _ shape: UnsafeMutablePointer<Int64>!, _ rank: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    let output = try model(handle).outputShape(
      for: inputs(x, "x", needsData: false), output: optionalText(tensor, "tensor"))
    try write(output, to: shape, rank)
  }
}

@_cdecl("scnn_model_tensor_shape") @implementation
public func scnn_model_tensor_shape(
  _ handle: OpaquePointer!, _ tensor: UnsafePointer<CChar>!, _ shape: UnsafeMutablePointer<Int64>!,
  _ rank: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    try write(model(handle).tensorShape(optionalText(tensor, "tensor")), to: shape, rank)
  }
}

@_cdecl("scnn_model_output_names") @implementation
public func scnn_model_output_names(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    model.outputNames.joined(separator: "\n")
  }
}

@_cdecl("scnn_predict_many") @implementation
public func scnn_predict_many(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ batchSize: Int64,
  _ tensors: UnsafePointer<UnsafePointer<CChar>?>!, _ outputs: UnsafePointer<UnsafeMutablePointer<Float>?>!,
  _ sizes: UnsafePointer<Int>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    guard (1...4096).contains(count) else {
      throw CNNError(.invalidArgument, "count is \(count); expected 1 to 4096")
    }
    let tensors = try required(tensors, "tensors"), outputs = try required(outputs, "outputs")
    let sizes = try required(sizes, "sizes")
    var names: [String] = [], destinations: [UnsafeMutableBufferPointer<Float>] = []
    for index in 0..<count {
      names.append(try text(tensors[index], "tensors[\(index)]"))
      destinations.append(try floats(outputs[index], sizes[index], "outputs[\(index)]"))
    }
    try model(handle).predict(inputs(x, "x"), batchSize: Int(batchSize), outputs: names, into: destinations)
  }
}

@_cdecl("scnn_predict") @implementation
public func scnn_predict(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ batchSize: Int64, _ tensor: UnsafePointer<CChar>!,
  _ output: UnsafeMutablePointer<Float>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).predict(
      inputs(x, "x"), batchSize: Int(batchSize), output: optionalText(tensor, "tensor"),
      into: floats(output, count, "output"))
  }
}
