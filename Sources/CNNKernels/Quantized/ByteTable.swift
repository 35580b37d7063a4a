import CNNCore
import CNNRuntime
import X86Assembler

/// A function of one byte as the table of its 256 results, looked up by generated code: `QuantizedElementwise.look`.
public struct ByteTable: Sendable {
  private let kernel: GeneratedKernel
  private let table: [UInt8]
  /// What the code reads; see `ByteTableKernel`.
  private let parts: [UInt8]

  /// - Parameter table: 256 bytes.
  public init(_ table: [UInt8], library: KernelLibrary) {
    self.table = table
    let key = ByteTableKernel(target: library.target)
    kernel = library.kernel(key, name: key.name) { key.code() }
    parts = ByteTableKernel.parts(of: table)
  }

  /// How many cycles each of the workers will take.
  public static func cycles(_ count: Int, workers: Workers) -> Double { Double(count) / 2 / Double(workers.count) }

  /// `y = table[x]`, of bytes in a row. `y` may be `x`.
  public func look(
    up x: UnsafePointer<UInt8>, into y: UnsafeMutablePointer<UInt8>, count: Int, workers: Workers
  ) {
    let width = ByteTableKernel.width, vectors = count / width
    parts.withUnsafeBytes { parts in
      guard let parts = parts.baseAddress else { return }
      workers.forEachRange(of: vectors, grain: max(1, Workers.grainOfFloats / width)) { range, _ in
        let first = range.lowerBound * width
        var arguments = ByteTableArguments(
          x: x + first, y: y + first, parts: parts, fours: range.count / 4, ones: range.count % 4)
        kernel(&arguments)
      }
    }
    for index in vectors * width..<count { y[index] = table[Int(x[index])] }
  }
}

/// The code that looks bytes up, 64 at a time.
///
/// `vpshufb` finds a byte among 16, and gives 0 where the highest bit of the index is set. The table is cut into 16 of these.
/// Of each half the parts are tried one after the other with an index that is 16 less each time, and stays below 0 once it
/// is; each part but the first holds the difference (xor) to the one before it, so that what has been found adds up to the
/// part in which the byte is.
struct ByteTableKernel: Hashable, Sendable {
  let target: CodeTarget

  /// The bytes that are looked up together.
  static let width = 64

  var name: String { "table_\(target.vectorName)" }

  /// The parts of a table, each as often as a register has 128 bits.
  static func parts(of table: [UInt8]) -> [UInt8] {
    (0..<16).flatMap { part -> [UInt8] in
      let bytes = (part * 16..<part * 16 + 16).map { part % 8 == 0 ? table[$0] : table[$0] ^ table[$0 - 16] }
      return (0..<4).flatMap { _ in bytes }
    }
  }

  func code() -> VectorCode {
    let code = VectorCode(target), k = code.assembler
    let arguments = GeneralRegister.rdi, x = GeneralRegister.rsi, y = GeneralRegister.rax, parts = GeneralRegister.r8
    for (index, register) in [x, y, parts].enumerated() { k.mov(register, arguments[8 * index]) }
    let sixteen = register(12), half = register(13)
    code.load(sixteen, k.constantVector(Array(repeating: 0x1010_1010, count: target.lanes)))
    code.load(half, k.constantVector(Array(repeating: 0x8080_8080, count: target.lanes)))
    for (index, lines) in [4, 1].enumerated() {
      let counter = GeneralRegister.rcx, end = k.newLabel()
      k.mov(counter, arguments[24 + 8 * index])
      k.test(counter, counter)
      k.jump(.e, end)
      k.loop(counter) {
        let vectors = lines * Self.width / (4 * target.lanes)
        for first in stride(from: 0, to: vectors, by: 4) {
          lookUp(first..<min(first + 4, vectors), x, y, parts, sixteen, half, code)
        }
        k.add(x, lines * Self.width)
        k.add(y, lines * Self.width)
      }
      k.bind(end)
    }
    k.vzeroupper()
    k.ret()
    return code
  }

  private func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: target.lanes) }

  /// Looks up to four vectors up.
  private func lookUp(
    _ vectors: Range<Int>, _ x: GeneralRegister, _ y: GeneralRegister, _ parts: GeneralRegister,
    _ sixteen: WideRegister, _ half: WideRegister, _ code: VectorCode
  ) {
    let part = register(8), found = register(9), byteCount = 4 * target.lanes
    let vectors = vectors.map { (place: $0 * byteCount, index: register($0 % 4), sum: register(4 + $0 % 4)) }
    for number in 0..<16 {
      code.load(part, parts[number * Self.width])
      for vector in vectors {
        if number % 8 == 0 {
          code.load(vector.index, x[vector.place])
          if number == 8 { code.exclusiveOr(vector.index, vector.index, half) }
        } else {
          code.subtractLimitedBytes(vector.index, vector.index, sixteen)
        }
        code.lookUpBytes(number == 0 ? vector.sum : found, vector.index, in: part)
        if number > 0 { code.exclusiveOr(vector.sum, vector.sum, found) }
      }
    }
    for vector in vectors { code.store(y[vector.place], vector.sum) }
  }
}

/// What it is called with; its code knows the offsets.
struct ByteTableArguments {
  var x: UnsafePointer<UInt8>
  var y: UnsafeMutablePointer<UInt8>
  /// `ByteTableKernel.parts`.
  var parts: UnsafeRawPointer
  /// How many times 256 bytes, and how many times 64 more.
  var fours, ones: Int
}
