// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

/// The library's version, also that of the pkg-config file and the Python package.
private let version: StaticString = "0.1.0"

@_cdecl("scnn_version") @implementation
public func scnn_version() -> UnsafePointer<CChar>! {
  UnsafeRawPointer(version.utf8Start).assumingMemoryBound(to: CChar.self)
}

private let noError: StaticString = ""

@_cdecl("scnn_last_error") @implementation
public func scnn_last_error() -> UnsafePointer<CChar>! {
  LastError.message ?? UnsafeRawPointer(noError.utf8Start).assumingMemoryBound(to: CChar.self)
}

@_cdecl("scnn_set_num_threads") @implementation
public func scnn_set_num_threads(_ count: Int32) -> scnn_status {
  call { () throws(CNNError) in try Threads.setCount(Int(count)) }
}

@_cdecl("scnn_get_num_threads") @implementation
public func scnn_get_num_threads() -> Int32 { Int32(clamping: Threads.count) }

@_cdecl("scnn_set_thread_pinning") @implementation
public func scnn_set_thread_pinning(_ pinned: Int32) -> scnn_status {
  call { () throws(CNNError) in Threads.setPinning(pinned != 0) }
}

@_cdecl("scnn_slow_reason") @implementation
public func scnn_slow_reason() -> UnsafePointer<CChar>! {
  UnsafeRawPointer((Computing.slowReason ?? noError).utf8Start).assumingMemoryBound(to: CChar.self)
}

@_cdecl("scnn_set_interruption") @implementation
public func scnn_set_interruption(_ isWanted: (@convention(c) () -> Int32)!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in Computing.setInterruption(isWanted) }
}

@_cdecl("scnn_describe") @implementation
public func scnn_describe(
  _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int, _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in try write(Description.text.value.get(), to: buffer, capacity, length) }
}

@_cdecl("scnn_list_models") @implementation
public func scnn_list_models(
  _ pattern: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let names = ModelRegistry.names(matching: try optionalText(pattern, "pattern") ?? "*")
    try write(names.joined(separator: "\n"), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_system") @implementation
public func scnn_system(
  _ format: UnsafePointer<CChar>!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let format = try text(format, "format")
    var report = SystemReport()
    do throws(CNNError) {
      report.libraries.append(.init(name: "ONNX", found: try ONNXLibrary.get().file, advice: ""))
    } catch {
      report.libraries.append(.init(name: "ONNX", found: nil, advice: error.message))
      // It may be left out, but not be there in vain.
      if ONNXLibrary.isBesideThisOne { report.problems.append(error.message) }
    }
    let file = ThisLibrary.path ?? ""
    switch format {
    case "text":
      try write("SwiftCNN \(version), \(file)\n\(report)", to: buffer, capacity, length)
    case "json":
      var object = JSONObject()
      object["version"] = .string("\(version)")
      object["file"] = .string(file)
      for (key, value) in report.json.members { object[key] = value }
      try write(JSON.object(object).serialized(), to: buffer, capacity, length)
    default:
      throw unknownName("format", format, among: ["text", "json"])
    }
  }
}
