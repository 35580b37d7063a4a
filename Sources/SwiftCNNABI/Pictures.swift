// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CNNPictures
import CSwiftCNN
import SwiftCNN

/// A picture that a C program holds.
final class PictureHandle: Sendable {
  let picture: Picture

  init(_ picture: Picture) { self.picture = picture }
}

/// The picture behind a handle.
private func picture(_ handle: OpaquePointer?) throws(CNNError) -> Picture {
  try Handles.get(handle, "picture", as: PictureHandle.self).picture
}

/// Gives out a new picture; `out` is NULL until then.
private func give(_ out: UnsafeMutablePointer<OpaquePointer?>?, _ name: String, _ make: () throws(CNNError) -> Picture)
  throws(CNNError)
{
  let out = try required(out, name)
  out.pointee = nil
  out.pointee = Handles.make(PictureHandle(try make()))
}

/// The colour that a number of channels stands for.
private func color(_ channels: Int32) throws(CNNError) -> PictureColor {
  switch channels {
  case 0: return .stored
  case 1: return .grey
  case 3: return .rgb
  case 4: return .rgba
  default: throw CNNError(.invalidArgument, "channels is \(channels); expected 1, 3, 4, or 0 as the file has it")
  }
}

/// The bytes of a file in the caller's memory.
private func contents(_ data: UnsafeRawPointer?, _ size: Int) throws(CNNError) -> UnsafeRawBufferPointer {
  guard size >= 0 else {
    throw CNNError(.invalidArgument, "size is \(UInt(bitPattern: size)); expected that of a file")
  }
  return UnsafeRawBufferPointer(start: try required(data, "data"), count: size)
}

@_cdecl("scnn_picture_read") @implementation
public func scnn_picture_read(
  _ path: UnsafePointer<CChar>!, _ channels: Int32, _ picture: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    try give(picture, "picture") { () throws(CNNError) in
      try Picture(contentsOf: text(path, "path"), as: color(channels))
    }
  }
}

@_cdecl("scnn_picture_decode") @implementation
public func scnn_picture_decode(
  _ data: UnsafeRawPointer!, _ size: Int, _ channels: Int32, _ picture: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    try give(picture, "picture") { () throws(CNNError) in
      try Picture(decoding: contents(data, size), as: color(channels))
    }
  }
}

@_cdecl("scnn_picture_from_pixels") @implementation
public func scnn_picture_from_pixels(
  _ pixels: UnsafePointer<scnn_tensor>!, _ picture: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    try give(picture, "picture") { () throws(CNNError) in try Picture(view(pixels, "pixels")) }
  }
}

@_cdecl("scnn_picture_pixels") @implementation
public func scnn_picture_pixels(_ handle: OpaquePointer!, _ pixels: UnsafeMutablePointer<scnn_tensor>!) -> scnn_status {
  call { () throws(CNNError) in
    let picture = try picture(handle), out = try required(pixels, "pixels")
    let shape = [picture.height, picture.width, picture.channels]
    out.pointee = tensor(
      picture.withPixels { $0.baseAddress.map { TensorView(.uint8, shape: shape, base: UnsafeRawPointer($0)) } })
  }
}

@_cdecl("scnn_picture_resize") @implementation
public func scnn_picture_resize(
  _ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!, _ resized: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let picture = try picture(handle)
    try give(resized, "resized") { () throws(CNNError) in
      try picture.preprocessed(by: Preprocessing(json: SwiftCNNABI.options(options, "options")))
    }
  }
}

@_cdecl("scnn_picture_adjust") @implementation
public func scnn_picture_adjust(
  _ handle: OpaquePointer!, _ operation: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!,
  _ adjusted: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let picture = try picture(handle)
    try give(adjusted, "adjusted") { () throws(CNNError) in
      try picture.adjusted(by: text(operation, "operation"), options: SwiftCNNABI.options(options, "options"))
    }
  }
}

@_cdecl("scnn_picture_free") @implementation
public func scnn_picture_free(_ handle: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(handle, "picture", as: PictureHandle.self) }
}

@_cdecl("scnn_model_preprocessing") @implementation
public func scnn_model_preprocessing(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    try JSON.object(model.preprocessingDescription).serialized()
  }
}

@_cdecl("scnn_model_set_preprocessing") @implementation
public func scnn_model_set_preprocessing(_ handle: OpaquePointer!, _ options: UnsafePointer<CChar>!) -> scnn_status {
  call { () throws(CNNError) in
    try model(handle).setPreprocessing(SwiftCNNABI.options(options, "options"))
  }
}

@_cdecl("scnn_model_preprocess") @implementation
public func scnn_model_preprocess(
  _ handle: OpaquePointer!, _ picture: OpaquePointer!, _ prepared: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let model = try model(handle), picture = try SwiftCNNABI.picture(picture)
    try give(prepared, "prepared") { () throws(CNNError) in try model.preprocess(picture) }
  }
}

@_cdecl("scnn_model_class_names") @implementation
public func scnn_model_class_names(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  writeText(of: handle, to: buffer, capacity, length) { (model) throws(CNNError) in
    (model.classNames ?? []).joined(separator: "\n")
  }
}

@_cdecl("scnn_model_set_class_names") @implementation
public func scnn_model_set_class_names(_ handle: OpaquePointer!, _ names: UnsafePointer<CChar>!) -> scnn_status {
  call { () throws(CNNError) in
    let names = try optionalText(names, "names")
    let lines = names?.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    try model(handle).setClassNames(lines)
  }
}

/// Writes the classes of each sample to the caller's array, `top` places for each.
private func write(
  _ found: [[Classification]], of handle: OpaquePointer?, to classes: UnsafeMutablePointer<scnn_class>?, _ top: Int,
  _ count: UnsafeMutablePointer<Int>?
) throws(CNNError) {
  let names = try modelHandle(handle), classes = try required(classes, "classes")
  for (sample, row) in found.enumerated() {
    for (place, classification) in row.enumerated() {
      var result = scnn_class()
      result.name = names.string(classification.name)
      result.probability = classification.probability
      result.index = Int32(clamping: classification.index)
      classes[sample * top + place] = result
    }
  }
  count?.pointee = found.first?.count ?? 0
}

/// Checks what the results are written to before anything is computed.
private func checkRoom(_ classes: UnsafeMutablePointer<scnn_class>?, _ top: Int, samples: Int = 1) throws(CNNError) {
  _ = try required(classes, "classes")
  // No array is larger than the address space.
  let largest = Int.max / MemoryLayout<scnn_class>.stride / max(1, samples)
  guard (1...largest).contains(top) else {
    throw CNNError(
      .invalidArgument, "top is \(UInt(bitPattern: top)); expected 1 to \(largest): there is room for so many a sample")
  }
}

@_cdecl("scnn_classify_file") @implementation
public func scnn_classify_file(
  _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ classes: UnsafeMutablePointer<scnn_class>!, _ top: Int,
  _ count: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try checkRoom(classes, top)
    try write([model(handle).classify(text(path, "path"), top: top)], of: handle, to: classes, top, count)
  }
}

@_cdecl("scnn_classify_memory") @implementation
public func scnn_classify_memory(
  _ handle: OpaquePointer!, _ data: UnsafeRawPointer!, _ size: Int, _ classes: UnsafeMutablePointer<scnn_class>!,
  _ top: Int, _ count: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try checkRoom(classes, top)
    let model = try model(handle)
    let picture = try Picture(decoding: contents(data, size), as: model.pictureColor())
    try write([model.classify(picture, top: top)], of: handle, to: classes, top, count)
  }
}

@_cdecl("scnn_classify") @implementation
public func scnn_classify(
  _ handle: OpaquePointer!, _ x: UnsafePointer<scnn_tensor>!, _ batchSize: Int64,
  _ classes: UnsafeMutablePointer<scnn_class>!, _ top: Int, _ count: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let x = try inputs(x, "x")
    try checkRoom(classes, top, samples: x.first?.shape.first ?? 1)
    let found = try model(handle).classify(batch: x, top: top, batchSize: Int(batchSize))
    try write(found, of: handle, to: classes, top, count)
  }
}
