import CNNCore
import CONNXPlugin
import Glibc

/// libswiftcnn_onnx.so, which is loaded when it is first needed and stays.
///
/// It has Foundation inside, which is larger than all of this library, and a Swift runtime of its own.
struct ONNXLibrary {
  /// By which name it was found: a path, or the name alone where the system knew where it is.
  let file: String
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
    var handle: UnsafeMutableRawPointer?, file = "", reason = ""
    for candidate in [Self.ownPath, Self.fileName].compactMap({ $0 }) where handle == nil {
      handle = dlopen(candidate, RTLD_NOW | RTLD_LOCAL)
      file = candidate
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
    self.file = file
    self.export = unsafeBitCast(export, to: scnn_onnx_plugin_export_function.self)
    self.import = unsafeBitCast(`import`, to: scnn_onnx_plugin_import_function.self)
    self.names = unsafeBitCast(names, to: scnn_onnx_plugin_names_function.self)
  }

  private static var ownPath: String? { ThisLibrary.folder.map { "\($0)/\(fileName)" } }

  /// Whether a file of its name lies in this library's own folder.
  static var isBesideThisOne: Bool { ownPath.map { access($0, F_OK) == 0 } ?? false }
}
