import CNNCore
import Glibc

/// A library of the system's that is opened when first needed; nothing here links against it.
struct SharedLibrary {
  private let handle: UnsafeMutableRawPointer
  private let name: String

  /// Opens it.
  /// - Parameters:
  ///   - name: as the loader knows it.
  ///   - package: Debian's, for the message.
  ///   - purpose: what it is needed for.
  /// - Throws: `.invalidState` naming the package.
  init(_ name: String, package: String, purpose: String) throws(CNNError) {
    guard let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) else {
      throw CNNError(
        .invalidState,
        "\(purpose) needs the library \(name), which is not on this machine: install it (Debian's package \(package))")
    }
    (self.handle, self.name) = (handle, name)
  }

  /// A function of it, of a C function's type.
  /// - Throws: `.invalidState` where the library is another than it should be.
  func function<Function>(_ symbol: String, as type: Function.Type) throws(CNNError) -> Function {
    guard let address = dlsym(handle, symbol) else {
      throw CNNError(.invalidState, "the library \(name) of this machine has no function \(symbol)")
    }
    return unsafeBitCast(address, to: type)
  }
}
