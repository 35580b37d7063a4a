import CNNCore
import Synchronization

/// The objects that C programs hold.
///
/// A handle is a number that looks like a pointer and is never followed, so one that was freed, or never made, is found
/// out and not a crash.
enum Handles {
  private struct Table {
    var objects: [UInt: any AnyObject & Sendable] = [:]
    var last: UInt = 0
  }

  private static let table = Mutex(Table())

  /// Keeps an object and gives its handle.
  static func make(_ object: any AnyObject & Sendable) -> OpaquePointer? {
    table.withLock { table in
      // Steps of 16 look aligned in a debugger; zero is NULL.
      table.last += 16
      table.objects[table.last] = object
      return OpaquePointer(bitPattern: table.last)
    }
  }

  /// The object behind a handle.
  /// - Throws: `.invalidArgument` naming the argument for NULL, a stale handle, or one of another kind.
  static func get<Object>(_ handle: OpaquePointer?, _ name: String, as type: Object.Type) throws(CNNError) -> Object {
    guard let handle else { throw CNNError(.invalidArgument, "\(name) is NULL") }
    guard let object = table.withLock({ $0.objects[UInt(bitPattern: handle)] }) as? Object else {
      throw CNNError(.invalidArgument, "\(name) is not a valid handle: it was freed, or never made")
    }
    return object
  }

  /// Forgets an object. NULL is fine.
  static func free<Object>(_ handle: OpaquePointer?, _ name: String, as type: Object.Type) throws(CNNError) {
    guard let handle else { return }
    _ = try get(handle, name, as: type)
    let object = table.withLock { $0.objects.removeValue(forKey: UInt(bitPattern: handle)) }
    _ = object  // Freed outside the lock, where nobody else uses it.
  }
}
