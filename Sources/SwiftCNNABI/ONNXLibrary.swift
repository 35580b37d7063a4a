import CNNCore
import CONNXPlugin
import Glibc

/// libswiftcnn_onnx.so, which is loaded when it is first needed and stays.
///
/// It has Foundation inside, which is larger than all of this library, and a Swift runtime of its own.
struct ONNXLibrary {
  let export: scnn_onnx_plugin_export_function
  let `import`: scnn_onnx_plugin_import_function
  let names: scnn_onnx_plugin_names_function

  private static let loaded = Guarded<ONNXLibrary?> { nil }
  private static let fileName = "libswiftcnn_onnx.so.0"

  /// The library.
  /// - Throws: `.invalidState` where it is not installed beside this one.
  static func get() throws(CNNError) -> ONNXLibrary {
    try loaded.withLock { (loaded) throws(CNNError) in
      if let library = loaded { return library }
      let library = try ONNXLibrary()
      loaded = library
      return library
    }
  }

  private init() throws(CNNError) {
    // From this library's own folder; else from where the system looks.
    let candidates = (Self.ownFolder.map { ["\($0)/\(Self.fileName)"] } ?? []) + [Self.fileName]
    var handle: UnsafeMutableRawPointer?, reason = ""
    for candidate in candidates where handle == nil {
      handle = dlopen(candidate, RTLD_NOW | RTLD_LOCAL)
      if handle == nil, reason.isEmpty { reason = dlerror().map { String(cString: $0) } ?? "" }
    }
    guard let handle else {
      throw CNNError(.invalidState, "ONNX needs \(Self.fileName), which cannot be loaded: \(reason)")
    }
    let version = dlsym(handle, "scnn_onnx_plugin_version").map {
      unsafeBitCast($0, to: (@convention(c) () -> Int32).self)()
    }
    guard version == Int32(SCNN_ONNX_PLUGIN_VERSION), let export = dlsym(handle, "scnn_onnx_plugin_export"),
      let `import` = dlsym(handle, "scnn_onnx_plugin_import"), let names = dlsym(handle, "scnn_onnx_plugin_names")
    else {
      throw CNNError(.invalidState, "\(Self.fileName) is that of another version of the library")
    }
    self.export = unsafeBitCast(export, to: scnn_onnx_plugin_export_function.self)
    self.import = unsafeBitCast(`import`, to: scnn_onnx_plugin_import_function.self)
    self.names = unsafeBitCast(names, to: scnn_onnx_plugin_names_function.self)
  }

  /// A byte of this library, by which the system tells which file it is.
  private static let landmark: StaticString = "landmark"

  private static var ownFolder: String? {
    // By name, since Swift's view of the system's headers leaves dladdr out. It fills four pointers, the file's name first.
    typealias Dladdr = @convention(c) (UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Int32
    guard let function = dlsym(nil, "dladdr") else { return nil }
    var info: [UnsafeRawPointer?] = [nil, nil, nil, nil]
    let isFound = info.withUnsafeMutableBytes {
      unsafeBitCast(function, to: Dladdr.self)(UnsafeRawPointer(landmark.utf8Start), $0.baseAddress)
    }
    guard isFound != 0, let file = info[0] else { return nil }
    let path = String(cString: file.assumingMemoryBound(to: CChar.self))
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
    return String(path[..<slash])
  }
}
