import CNNCore
import X86Assembler

/// A pass over the pixels of blocks of 64 channels of bytes, one number at a time: each is computed in float32, or as an
/// integer, and rounded as `ByteLevels` says.
struct ByteStreamKernel: Hashable, Sendable {
  /// What is done with each byte. The numbers it takes are those of the definition, in this order.
  enum Operation: Hashable, Sendable {
    /// `a * multiplierA + (b * multiplierB + offset)`: both multipliers, the offset, the largest level.
    case add
    /// `(a - zeroA) * (b - zeroB) * multiplier + zeroPoint`, all of these in a row, and the largest level.
    case multiply
    /// The same with one pixel `b` for all `a`.
    case scale
    /// Adds the bytes of all pixels to integers of 32 bits at `y`.
    case sum
  }

  let target: CodeTarget
  let operation: Operation
  /// Whether numbers may be above the largest level in another way than packing to bytes limits.
  var limitsAbove = true

  /// Where each four channels are after packing the bytes of four registers.
  static func placesOfPackedBytes(lanes: Int) -> [UInt32] {
    let groups = lanes / 4
    return (0..<lanes).map { UInt32($0 % groups * 4 + $0 / groups) }
  }

  var name: String { "\(operation)_int8_\(target.vectorName)" }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    ByteStreamEmitter(kernel: self, code: code).emit()
    return code
  }
}

/// What a `ByteStreamKernel` is called with; its code knows the offsets.
struct ByteStreamArguments {
  /// The first pixels; of what an operation does not read, anything.
  var a, b: UnsafeRawPointer
  var y: UnsafeMutableRawPointer
  /// `RepeatedNumbers` of the operation.
  var numbers: UnsafeRawPointer
  /// At least 1.
  var pixels: Int
  /// The smallest level in every byte.
  var minima: UInt32
}

private struct ByteStreamEmitter {
  let kernel: ByteStreamKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi, a = GeneralRegister.rsi, b = GeneralRegister.rdx, y = GeneralRegister.rax
  let numbers = RepeatedNumbers(base: .r8), pixels = GeneralRegister.rcx

  var lanes: Int { kernel.target.lanes }
  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
  func value(_ vector: Int) -> WideRegister { register(vector) }
  /// What is kept for each vector of channels.
  func kept(_ vector: Int) -> WideRegister { register(4 + vector) }
  func keptToo(_ vector: Int) -> WideRegister { register(8 + vector) }
  var temporary: WideRegister { register(12) }
  var places: WideRegister { register(13) }

  /// A number in all lanes.
  func number(_ index: Int) -> VectorCode.Operand { numbers.operand(index, kernel.target) }

  func emit() {
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    k.mov(numbers.base, arguments[24])
    code.load(places, k.constantVector(ByteStreamKernel.placesOfPackedBytes(lanes: lanes)))
    // AVX2 takes the 64 channels in two halves.
    for half in 0..<(16 / lanes) { emit(half) }
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  private func emit(_ half: Int) {
    for (index, register) in [a, b, y].enumerated() { k.mov(register, arguments[8 * index]) }
    k.mov(pixels, arguments[32])
    let offsets = (0..<4).map { half * 4 * lanes + $0 * lanes }
    begin(offsets)
    k.loop(pixels, alignment: 16) {
      for vector in 0..<4 { compute(vector, offsets[vector]) }
      if kernel.operation != .sum {
        code.packBytes(value(0), (0..<4).map(value))
        code.permute(value(0), value(0), places)
        code.broadcast(temporary, arguments[40])
        code.maximumOfBytes(value(0), value(0), .register(temporary))
        code.store(y[offsets[0]], value(0))
        k.add(y, BlockedTensor.pixelByteCount)
      }
      k.add(a, BlockedTensor.pixelByteCount)
      if [.add, .multiply].contains(kernel.operation) { k.add(b, BlockedTensor.pixelByteCount) }
    }
    if kernel.operation == .sum {
      for vector in 0..<4 { code.store(y[offsets[vector] * 4], kept(vector)) }
    }
  }

  /// What is the same for all pixels.
  private func begin(_ offsets: [Int]) {
    for vector in 0..<4 {
      switch kernel.operation {
      case .sum: code.load(kept(vector), y[offsets[vector] * 4])
      case .scale:
        // (a - za) b' = a b' - za b', exactly.
        code.loadBytes(kept(vector), b[offsets[vector]])
        code.subtract(kept(vector), kept(vector), number(1))
        code.zero(keptToo(vector))
        code.multiplySubtract(keptToo(vector), kept(vector), number(0))
      case .add, .multiply: break
      }
    }
  }

  private func compute(_ vector: Int, _ offset: Int) {
    let x = value(vector), t = temporary, second = kept(vector)
    switch kernel.operation {
    case .sum:
      code.loadByteIntegers(x, a[offset])
      code.addIntegers(kept(vector), kept(vector), x)
      return
    case .add:
      code.loadBytes(x, a[offset])
      code.loadBytes(t, b[offset])
      code.broadcast(second, numbers.address(2))
      code.multiplyAdd(second, t, number(1))
      code.multiplyInto(x, number(0), adding: second)
      if kernel.limitsAbove { code.broadcast(t, numbers.address(3)) }
    case .multiply:
      code.loadBytes(x, a[offset])
      code.loadBytes(t, b[offset])
      code.subtract(x, x, number(0))
      code.subtract(t, t, number(1))
      code.multiply(x, x, t)
      finishProduct(x)
    case .scale:
      code.loadBytes(x, a[offset])
      code.multiplyInto(x, kept(vector), adding: .register(keptToo(vector)))
      finishProduct(x)
    }
    if kernel.limitsAbove { code.limitToIntegers(x, maximum: t) } else { code.toIntegers(x, x) }
  }

  /// x = x multiplier + zero point; the largest level is in `temporary` then, where there is one.
  private func finishProduct(_ x: WideRegister) {
    code.broadcast(temporary, numbers.address(3))
    code.multiplyInto(x, number(2), adding: temporary)
    if kernel.limitsAbove { code.broadcast(temporary, numbers.address(4)) }
  }
}
