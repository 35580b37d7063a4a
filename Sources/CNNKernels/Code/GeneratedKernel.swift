import CNNCore
import CNNRuntime
import X86Assembler

/// A kernel's machine code, which can be called once the plan it belongs to has put all its code into memory.
public final class GeneratedKernel: @unchecked Sendable {
  /// What dumps and profiles call it.
  public let name: String
  // Set once, before the plan is handed out.
  fileprivate var entry: Entry?
  fileprivate var generate: (@Sendable () -> VectorCode)?
  // Keeps the memory alive in which the code lies.
  fileprivate var memory: ExecutableMemory?

  typealias Entry = @convention(c) (UnsafeRawPointer) -> Void

  fileprivate init(name: String, _ generate: @escaping @Sendable () -> VectorCode) {
    (self.name, self.generate) = (name, generate)
  }

  /// Runs the code.
  @inline(__always)
  func callAsFunction<Arguments: BitwiseCopyable>(_ arguments: inout Arguments) {
    withUnsafePointer(to: &arguments) { entry?(UnsafeRawPointer($0)) }
  }
}

/// The kernels of whole blocks of channels and of the last one.
struct BlockKernels: Sendable {
  let whole, last: GeneratedKernel

  // Without a copy of either reference: threads that count the same one wait for each other, and for the code's address beside it.
  @inline(__always)
  func callAsFunction<Arguments: BitwiseCopyable>(isLast: Bool, _ arguments: inout Arguments) {
    if isLast { last(&arguments) } else { whole(&arguments) }
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

  /// The kernel with this key, which will be generated if there is none yet.
  func kernel(
    _ key: some Hashable & Sendable, name: @autoclosure () -> String,
    _ generate: @escaping @Sendable () -> VectorCode
  ) -> GeneratedKernel {
    if let known = kernels[key] { return known }
    let kernel = GeneratedKernel(name: "\(name())_\(order.count)", generate)
    kernels[key] = kernel
    order.append(kernel)
    return kernel
  }

  /// The kernel of a tile of a product.
  func kernel(_ product: ProductKernel) -> GeneratedKernel {
    kernel(product, name: product.name) { product.code() }
  }
  /// The kernel of the terms of a product's rows.
  func kernel(_ terms: RowTermsKernel) -> GeneratedKernel { kernel(terms, name: terms.name) { terms.code() } }

  /// Generates what is not generated yet, puts it into executable memory, and says whether the system gave any.
  public func isUsable(workers: Workers) -> Bool {
    do throws(CNNError) {
      try finish(workers: workers)
      return true
    } catch {
      return false
    }
  }

  /// Why computations are many times slower in this process than they could be, and what to do; nil where they are not,
  /// or nothing was computed yet.
  public static var refusal: StaticString? { ExecutableMemory.refusal }

  /// Generates what is not generated yet, divided among the threads, and puts it into executable memory; from then on the
  /// kernels can be called.
  /// - Throws: `.outOfMemory` or `.internalFault` where the system gives no such memory.
  func finish(workers: Workers = Workers(count: 1)) throws(CNNError) {
    let waiting = order.filter { $0.generate != nil }
    if waiting.isEmpty { return }
    let memory = try ExecutableMemory(code(of: waiting, workers: workers))
    for (index, kernel) in waiting.enumerated() {
      kernel.entry = unsafeBitCast(memory.address(of: index), to: GeneratedKernel.Entry.self)
      kernel.memory = memory
      kernel.generate = nil
    }
  }

  /// The code of the kernels that are not finished yet, in the order in which they were asked for first.
  func code(workers: Workers = Workers(count: 1)) throws(CNNError) -> [MachineCode] {
    try code(of: order.filter { $0.generate != nil }, workers: workers)
  }

  private func code(of waiting: [GeneratedKernel], workers: Workers) throws(CNNError) -> [MachineCode] {
    let results = CodeResults(count: waiting.count)
    // One by one, since they take from a few microseconds to a few hundred.
    workers.run { worker in
      for index in stride(from: worker, to: waiting.count, by: workers.count) {
        guard let generate = waiting[index].generate else { continue }
        do throws(CNNError) {
          results.codes[index] = .success(try generate().assembler.finish(name: waiting[index].name))
        } catch {
          results.codes[index] = .failure(error)
        }
      }
    }
    var codes: [MachineCode] = []
    for index in waiting.indices {
      if let result = results.codes[index] { codes.append(try result.get()) }
    }
    return codes
  }
}

/// A place for each kernel's code. Unchecked because every place is written by one thread.
private final class CodeResults: @unchecked Sendable {
  let codes: UnsafeMutableBufferPointer<Result<MachineCode, CNNError>?>

  init(count: Int) {
    codes = .allocate(capacity: count)
    codes.initialize(repeating: nil)
  }

  deinit {
    codes.deinitialize()
    codes.deallocate()
  }
}
