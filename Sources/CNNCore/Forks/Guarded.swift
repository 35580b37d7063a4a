import Synchronization

/// A value that one thread at a time has, and that can be made anew, as what is kept only to save work.
///
/// In a child that was forked while another thread had it, the value is a new one.
public final class Guarded<Value>: @unchecked Sendable {
  private let lock = ReadWriteLock()
  private let make: @Sendable () -> Value
  private var value: Value

  /// A value as `make` makes it.
  public init(_ make: @escaping @Sendable () -> Value) {
    self.make = make
    value = make()
  }

  /// Calls `body` with the value, which no other thread has meanwhile.
  public func withLock<Result, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    lock.beginWriting()
    defer { lock.endWriting() }
    if lock.takeInterruption() {
      // What is half changed cannot be freed; it stays in memory.
      withUnsafeMutablePointer(to: &value) { $0.initialize(to: make()) }
    }
    return try body(&value)
  }
}

/// A value that is made when it is first asked for, which may take long; for the rest of the process's life.
///
/// A `static let` would do but for forks: a child in which another thread had begun to make it would wait for ever.
public final class Lazy<Value: Sendable>: @unchecked Sendable {
  private let known = Atomic<UnsafeMutablePointer<Value>?>(nil)
  // Not of Void: a value without a size lies where the object's class is, and to a thread sanitizer is written there.
  private let making = Guarded { false }
  private let make: @Sendable () -> Value

  /// A value that `make` will make.
  public init(_ make: @escaping @Sendable () -> Value) { self.make = make }

  /// The value.
  public var value: Value {
    if let known = known.load(ordering: .acquiring) { return known.pointee }
    return making.withLock { _ in
      if let known = known.load(ordering: .acquiring) { return known.pointee }
      let place = UnsafeMutablePointer<Value>.allocate(capacity: 1)  // Of constant size.
      place.initialize(to: make())
      known.store(place, ordering: .releasing)
      return place.pointee
    }
  }
}
