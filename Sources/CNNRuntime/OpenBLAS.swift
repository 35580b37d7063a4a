import COpenBLAS
import CNNCore
import Glibc

/// The OpenBLAS library of the machine, opened when first needed; nothing here links against it.
///
/// Its number of threads is a setting of the whole process, which Debian's NumPy shares. Our workers call it from
/// several threads at once and want each call to stay on its thread, so they work inside `withSingleThread`.
public enum OpenBLAS {
  /// Whether the library was found; if not (or if the environment has `SWIFTCNN_BLAS=none`), products are computed by
  /// the portable code.
  public static var isAvailable: Bool { library != nil }

  /// Whether the environment has `SWIFTCNN_BLAS=none`.
  public static let isDeclined =
    EnvironmentVariable("SWIFTCNN_BLAS").choice(among: ["none"], otherwise: "OpenBLAS is used") != nil

  /// OpenBLAS's name for the processors whose kernels it uses; nil where there is no library.
  public static var kernelName: String? { library?.coreName }

  /// Calls `body` while OpenBLAS is set to one thread; the last of overlapping scopes to end restores the setting that
  /// the first found.
  public static func withSingleThread<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    enterSingleThread()
    defer { leaveSingleThread() }
    return try body()
  }

  /// Begins a single-thread scope; each call needs one of `leaveSingleThread`.
  public static func enterSingleThread() {
    guard let library else { return }
    scopes.withLock { scopes in
      if scopes.count == 0 {
        scopes.setting = library.getThreadCount()
        if scopes.setting != 1 { library.setThreadCount(1) }
      }
      scopes.count += 1
    }
  }

  /// Ends a single-thread scope.
  public static func leaveSingleThread() {
    guard let library else { return }
    scopes.withLock { scopes in
      // A forked child has left the scopes of its parent already.
      if scopes.count == 0 { return }
      scopes.count -= 1
      if scopes.count == 0, scopes.setting != 1 { library.setThreadCount(scopes.setting) }
    }
  }

  // MARK: - The library

  /// The library, or nil if there is none.
  package static var library: OpenBLASLibrary? { opened.value }

  private static let opened = Lazy<OpenBLASLibrary?> {
    if isDeclined { return nil }
    // The first name comes with the library itself, the second with its development files only.
    let library = OpenBLASLibrary.open("libopenblas.so.0") ?? OpenBLASLibrary.open("libopenblas.so")
    scopes.watchForks()
    return library
  }

  // MARK: - The scopes

  private static let scopes = SingleThreadScopes()

  /// How many single-thread scopes are open, and the setting to restore when the last one ends.
  ///
  /// Unchecked because the variables are touched under the lock only.
  private final class SingleThreadScopes: @unchecked Sendable {
    var count = 0
    var setting: Int32 = 1
    // Not a `ProcessLock`, whose turn before a fork would come too late.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var watchesForks = false

    init() {
      lock = .allocate(capacity: 1)
      lock.initialize(to: pthread_mutex_t())
      pthread_mutex_init(lock, nil)
    }

    /// Sees to it that nobody is between reading the setting and changing it while the process is copied.
    ///
    /// After the library was loaded, so that this lock is taken before it ends its own threads for a fork: a setting that
    /// is changed after that begins them again.
    func watchForks() {
      if watchesForks { return }
      watchesForks = true
      pthread_atfork(
        { pthread_mutex_lock(OpenBLAS.scopes.lock) },
        { pthread_mutex_unlock(OpenBLAS.scopes.lock) },
        {
          OpenBLAS.scopes.leaveAll()
          pthread_mutex_unlock(OpenBLAS.scopes.lock)
        })
    }

    func withLock(_ body: (SingleThreadScopes) -> Void) {
      pthread_mutex_lock(lock)
      body(self)
      pthread_mutex_unlock(lock)
    }

    /// In a forked child: the threads that had opened scopes do not exist there.
    private func leaveAll() {
      if count > 0, setting != 1 { OpenBLAS.library?.setThreadCount(setting) }
      count = 0
    }
  }
}
