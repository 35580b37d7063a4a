import Glibc
import Synchronization

/// The permission to use tiles, which Linux gives to a process that asks for it: with tiles the system saves 8 KiB more of
/// each thread that uses them.
///
/// It holds for all threads, those that exist too, and is inherited by a forked child.
public enum TilePermission {
  /// Why this process may not use tiles; nil where it may. Asked once, when it is first read: before the first plan that
  /// uses tiles is made, so that a process without one keeps the smaller signal frames.
  public static var refusal: String? { isEmulated.load(ordering: .relaxed) ? nil : answer }
  private static let answer: String? = refusal(ofRequest: request)

  /// Whether tests compute what tiles would do, on a processor that has none.
  package static let isEmulated = Atomic<Bool>(false)

  /// What the system answers to a request: 0, or the number of its error.
  static func refusal(ofRequest request: () -> Int32?) -> String? {
    switch request() {
    case 0: nil
    case nil: "this C library has no way to ask the system for the use of tiles"
    case ENOSPC:
      "the system does not allow tiles while a thread has an alternate signal stack too small for their contents, as "
        + "Python's faulthandler and some crash reporters set it up: 16 KiB are enough"
    case EINVAL, ENOSYS, EOPNOTSUPP: "this system does not know tiles, or does not allow their use here"
    case .some(let number): "the system refused the use of tiles: \(String(cString: strerror(number)))"
    }
  }

  /// Asks Linux.
  private static func request() -> Int32? {
    #if arch(x86_64)
      // Swift does not import functions with variable arguments.
      typealias SystemCall = @convention(c) (Int, Int, Int) -> Int
      guard let address = dlsym(dlopen(nil, RTLD_NOW), "syscall") else { return nil }
      let archPrctl = 158, requestPermission = 0x1023, tileData = 18
      let result = unsafeBitCast(address, to: SystemCall.self)(archPrctl, requestPermission, tileData)
      return result == 0 ? 0 : errno
    #else
      return EOPNOTSUPP
    #endif
  }
}
