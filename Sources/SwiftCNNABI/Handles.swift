import CNNCore

/// The objects that C programs hold.
///
/// A handle is a number that looks like a pointer and is never followed, so one that was freed, or never made, is found
/// out and not a crash.
enum Handles {
  /// Unchecked because the variables are touched under the lock only.
  private final class Table: @unchecked Sendable {
    private let lock = ProcessLock()
    private var objects: [UInt: any AnyObject & Sendable] = [:]
    private var last: UInt = 0

    func add(_ object: any AnyObject & Sendable) -> UInt {
      lock.withLock {
        // Steps of 16 look aligned in a debugger; zero is NULL.
        last += 16
        objects[last] = object
        return last
      }
    }

    func find(_ number: UInt) -> (any AnyObject & Sendable)? { lock.withLock { objects[number] } }

    func remove(_ number: UInt) -> (any AnyObject & Sendable)? {
      lock.withLock { objects.removeValue(forKey: number) }
    }
  }

  private static let table = Table()

  /// Makes the table, while the process has one thread.
  static func prepare() { _ = table }

  /// Keeps an object and gives its handle.
  static func make(_ object: any AnyObject & Sendable) -> OpaquePointer? {
    OpaquePointer(bitPattern: table.add(object))
  }

  /// The object behind a handle.
  /// - Throws: `.invalidArgument` naming the argument for NULL, a stale handle, or one of another kind.
  static func get<Object>(_ handle: OpaquePointer?, _ name: String, as type: Object.Type) throws(CNNError) -> Object {
    guard let handle else { throw CNNError(.invalidArgument, "\(name) is NULL") }
    guard let object = table.find(UInt(bitPattern: handle)) as? Object else {
      throw CNNError(.invalidArgument, "\(name) is not a valid handle: it was freed, or never made")
    }
    return object
  }

  /// Forgets an object. NULL is fine.
  static func free<Object>(_ handle: OpaquePointer?, _ name: String, as type: Object.Type) throws(CNNError) {
    guard let handle else { return }
    _ = try get(handle, name, as: type)
    // Freed outside the lock, where nobody else uses it.
    _ = table.remove(UInt(bitPattern: handle))
  }
}
