import CNNCore
import Glibc
import Synchronization
import X86Assembler

/// A kernel's machine code, which can be called once the plan it belongs to has put all its code into memory.
public final class GeneratedKernel: @unchecked Sendable {
  /// What dumps and profiles call it.
  public let name: String
  // Set once, before the plan is handed out.
  fileprivate var entry: Entry?
  fileprivate var code: MachineCode?
  // Keeps the memory alive in which the code lies.
  fileprivate var memory: ExecutableMemory?

  typealias Entry = @convention(c) (UnsafeRawPointer) -> Void

  fileprivate init(name: String, code: MachineCode) {
    (self.name, self.code) = (name, code)
  }

  /// Runs the code.
  @inline(__always)
  func callAsFunction<Arguments: BitwiseCopyable>(_ arguments: inout Arguments) {
    withUnsafePointer(to: &arguments) { entry?(UnsafeRawPointer($0)) }
  }
}

/// The generated code of one plan: kernels that are equal are generated once.
public final class KernelLibrary {
  private var kernels: [AnyHashable: GeneratedKernel] = [:]
  private var order: [GeneratedKernel] = []
  /// What code is generated for.
  public let target: CodeTarget

  /// An empty library.
  public init(_ target: CodeTarget) { self.target = target }

  /// The kernel with this key, generated if there is none yet.
  func kernel(_ key: some Hashable & Sendable, name: String, _ generate: () -> VectorCode) throws(CNNError)
    -> GeneratedKernel
  {
    if let known = kernels[key] { return known }
    let unique = "\(name)_\(order.count)"
    let kernel = GeneratedKernel(name: unique, code: try generate().assembler.finish(name: unique))
    kernels[key] = kernel
    order.append(kernel)
    return kernel
  }

  /// The kernel of a tile of a product.
  func kernel(_ product: ProductKernel) throws(CNNError) -> GeneratedKernel {
    try kernel(product, name: product.name) { product.code() }
  }

  /// Puts all code into executable memory, and says whether the system gave any; if not, once on the error stream too.
  public var isUsable: Bool {
    do throws(CNNError) {
      try finish()
      return true
    } catch {
      Self.reportRefusal(error)
      return false
    }
  }

  private static let hasReported = Atomic<Bool>(false)

  private static func reportRefusal(_ error: CNNError) {
    if hasReported.exchange(true, ordering: .relaxed) { return }
    let line = Array("swiftcnn: portable kernels are used: \(error.message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }

  /// Puts all code into executable memory; from then on the kernels can be called.
  /// - Throws: `.outOfMemory` or `.internalFault` where the system gives no such memory.
  public func finish() throws(CNNError) {
    let waiting = order.filter { $0.code != nil }
    if waiting.isEmpty { return }
    let memory = try ExecutableMemory(waiting.compactMap(\.code))
    for (index, kernel) in waiting.enumerated() {
      kernel.entry = unsafeBitCast(memory.address(of: index), to: GeneratedKernel.Entry.self)
      kernel.memory = memory
      kernel.code = nil
    }
  }
}
