import CNNCore
import CNNRuntime
import X86Assembler

/// Floats in a row to levels, by generated code; its integers are those of `QuantizedElementwise.quantize` and
/// `quantizePixels`.
public struct ByteRounding: Sendable {
  private let kernel: GeneratedKernel
  /// The numbers of one round of the kernel, a multiple of all channels.
  private let roundCount: Int
  private let levels: [ByteLevels]
  private let numbers: [Float]

  /// - Parameter levels: one, or one for each of a few channels, which are next to each other in memory, with the same scale
  ///   and limits.
  public init(_ levels: [ByteLevels], library: KernelLibrary) {
    self.levels = levels
    // As many numbers as each kind of register holds a whole number of times.
    roundCount = 64 * levels.count
    let key = ByteRoundingKernel(target: library.target, count: roundCount, hasChannels: levels.count > 1)
    kernel = library.kernel(key, name: key.name) { key.code() }
    let first = levels.first
    numbers =
      RepeatedNumbers.list([first?.inverse ?? 1, Float(first?.maximum ?? 255), Float(first?.zeroPoint ?? 0)])
      + (levels.count > 1 ? (0..<roundCount).map { Float(levels[$0 % levels.count].zeroPoint) } : [])
  }

  /// How many cycles each of the workers will take.
  public static func cycles(_ count: Int, workers: Workers) -> Double { Double(count) / 4 / Double(workers.count) }

  /// Rounds `count` floats, of which the first is of the first channel.
  public func run(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<UInt8>, count: Int, workers: Workers) {
    let rounds = count / roundCount
    numbers.withUnsafeBytes { numbers in
      guard let numbers = numbers.baseAddress, let minimum = levels.first?.minimum else { return }
      workers.forEachRange(of: rounds, grain: max(1, Workers.grainOfFloats / roundCount)) { range, _ in
        let first = range.lowerBound * roundCount
        var arguments = ByteRoundingArguments(
          x: x + first, y: y + first, numbers: numbers, rounds: range.count, minima: UInt32(minimum) * 0x0101_0101)
        kernel(&arguments)
      }
    }
    for index in rounds * roundCount..<count { y[index] = levels[index % levels.count].level(of: x[index]) }
  }
}

/// The code that rounds floats in a row, some at a time.
struct ByteRoundingKernel: Hashable, Sendable {
  let target: CodeTarget
  /// How many numbers a round of the loop rounds, a multiple of 64.
  let count: Int
  /// Whether each of them has a zero point of its own.
  let hasChannels: Bool

  var name: String { "quantize_\(target.vectorName)_x\(count)" }

  func code() -> VectorCode {
    let code = VectorCode(target), lanes = target.lanes, k = code.assembler
    let arguments = GeneralRegister.rdi, x = GeneralRegister.rsi, y = GeneralRegister.rax, rounds = GeneralRegister.rcx
    let numbers = RepeatedNumbers(base: .r8), zeroPoints = RepeatedNumbers.byteCount(3)
    func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
    let inverse = register(4), maximum = register(5), zeroPoint = register(6)
    let minima = register(7), places = register(8)
    for (index, register) in [x, y, numbers.base, rounds].enumerated() { k.mov(register, arguments[8 * index]) }
    for (index, register) in [inverse, maximum, zeroPoint].enumerated() {
      code.broadcast(register, numbers.address(index))
    }
    code.broadcast(minima, arguments[32])
    code.load(places, k.constantVector(ByteStreamKernel.placesOfPackedBytes(lanes: lanes)))
    k.loop(rounds) {
      for first in stride(from: 0, to: count, by: 4 * lanes) {
        let levels = (0..<4).map(register)
        for (index, level) in levels.enumerated() {
          let offset = (first + index * lanes) * 4
          code.load(level, x[offset])
          code.multiplyInto(
            level, inverse, adding: hasChannels ? .memory(numbers.base[zeroPoints + offset]) : .register(zeroPoint))
          code.limitToIntegers(level, maximum: maximum)
        }
        code.packBytes(levels[0], levels)
        code.permute(levels[0], levels[0], places)
        code.maximumOfBytes(levels[0], levels[0], .register(minima))
        code.store(y[first], levels[0])
      }
      k.add(x, count * 4)
      k.add(y, count)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What it is called with; its code knows the offsets.
struct ByteRoundingArguments {
  var x: UnsafePointer<Float>
  var y: UnsafeMutablePointer<UInt8>
  /// `RepeatedNumbers`: the scale's reciprocal, the largest level, the zero point; then those of the channels.
  var numbers: UnsafeRawPointer
  /// At least 1.
  var rounds: Int
  /// The smallest level in every byte.
  var minima: UInt32
}
