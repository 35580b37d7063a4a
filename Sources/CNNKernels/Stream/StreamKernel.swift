import CNNCore
import X86Assembler

/// Code that runs a `StreamProgram` over neighbouring pixels of one block of channels.
struct StreamKernel: Hashable, Sendable {
  let target: CodeTarget
  let program: StreamProgram
  /// The channels of the block that mean something. Only where the program is on bfloat16 does it matter: what is behind
  /// them is then written as zero.
  let channels: Int

  /// The most addresses of streams that a program can have, and the most constants and sums of each of its parts.
  static let streamLimit = 8, constantLimit = 8, sumLimit = 4

  init(_ program: StreamProgram, channels: Int, target: CodeTarget) {
    (self.program, self.target) = (program, target)
    self.channels = program.readsBFloat16 ? channels : BlockedTensor.blockChannels
  }

  /// Whether there is code for a target.
  static func isPossible(_ program: StreamProgram, on target: CodeTarget) -> Bool {
    !program.readsBFloat16 || target.instructionSet.contains(.avx512BF16)
  }

  /// Whether a program has no more streams, constants, sums and vectors at once than there are registers for.
  static func fits(_ program: StreamProgram, _ target: CodeTarget) -> Bool {
    guard program.addressCount <= streamLimit, program.constantCount <= constantLimit, program.sumCount <= sumLimit
    else { return false }
    let emitter = StreamEmitter(
      program: program, channels: program.parts * BlockedTensor.blockChannels, code: VectorCode(target))
    return emitter.places.last < target.registerCount
  }

  var name: String {
    "stream_\(target.vectorName)_\(program.name)" + (program.readsBFloat16 ? "_bf16_\(channels)" : "")
      + (program.bypassing.isEmpty ? "" : "_past_caches")
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    StreamEmitter(program: program, channels: channels, code: code).emit()
    return code
  }
}

/// What a stream kernel is called with; its code knows the offsets.
struct StreamArguments {
  /// How many times four pixels, and how many more.
  var fours, ones: Int
  /// The first pixel of each stream; of float32 beside bfloat16, of each of its two blocks.
  var streams: InlineArray<8, UnsafeMutableRawPointer>
  /// 16 floats each; of a program on bfloat16 two for each constant.
  var constants: InlineArray<16, UnsafeRawPointer>
  /// 16 floats for each part of each sum, which receive the sums over these pixels.
  var sums: UnsafeMutableRawPointer
}

/// Writes the code of one program.
///
/// With AVX-512 a pixel's channels are one register, with AVX2 two halves, one after the other; so are those of a block of
/// bfloat16. Sums stay in registers, and constants too where there are enough.
private struct StreamEmitter {
  let program: StreamProgram
  let channels: Int
  let code: VectorCode
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi, counter = GeneralRegister.rcx, scratch = GeneralRegister.rdx
  let pointers: [GeneralRegister] = [.r8, .r9, .r10, .r11, .rax, .rsi, .rbx, .r12]
  /// Of these, what the caller has afterwards as before.
  private var saved: [GeneralRegister] { Array(pointers[..<program.addressCount].dropFirst(6)) }

  var lanes: Int { code.target.lanes }
  var halves: Int { (channels + lanes - 1) / lanes }
  /// The lanes of the last half that are channels.
  private var lastLanes: Int { (channels - 1) % lanes + 1 }
  /// Of the last half, where some of its lanes are none.
  private let mask = MaskRegister.k2
  private var streamsOffset: Int { 16 }
  private var constantsOffset: Int { streamsOffset + 8 * StreamKernel.streamLimit }
  private var sumsOffset: Int { constantsOffset + 8 * 2 * StreamKernel.constantLimit }

  /// Where a value of the program is from its instruction to its last reader, counted from the first free register.
  struct Allocation {
    var registers: [Int]
    var temporaries: [[Int]]
    var count: Int
  }

  /// - Parameter loadsConstants: whether each instruction needs as well a register for each constant that it reads.
  private func allocate(loadsConstants: Bool) -> Allocation {
    let instructions = program.instructions
    var lastUse = Array(repeating: -1, count: instructions.count)
    for (position, instruction) in instructions.enumerated() {
      for operand in instruction.operands { lastUse[operand.index] = position }
    }
    var result = Allocation(registers: [], temporaries: [], count: 0)
    var owner: [Int?] = []  // Who has each register.
    func take(_ value: Int) -> Int {
      let register = owner.firstIndex { $0 == nil } ?? owner.count
      if register == owner.count { owner.append(value) } else { owner[register] = value }
      return register
    }
    for (position, instruction) in instructions.enumerated() {
      // The result is begun before the operands are read for the last time.
      result.registers.append(instruction.hasResult ? take(position) : -1)
      let constants = loadsConstants ? instruction.operands.count(where: program.isConstant) : 0
      let temporaries = (0..<program.temporaryCount(instruction) + constants).map { _ in take(-1) }
      result.temporaries.append(temporaries)
      for temporary in temporaries { owner[temporary] = nil }
      for register in owner.indices {
        guard let value = owner[register] else { continue }
        if lastUse[value] <= position { owner[register] = nil }
      }
    }
    result.count = owner.count
    return result
  }

  /// Which registers are for what: with all constants in registers where there are so many.
  var places: Places {
    var allocation = allocate(loadsConstants: false)
    let sumRegisters = program.sumCount * halves
    let keepsConstants =
      sumRegisters + allocation.count + program.constantCount * halves <= code.target.registerCount
    if !keepsConstants { allocation = allocate(loadsConstants: true) }
    return Places(
      allocation: allocation, firstSum: 0, firstConstant: sumRegisters,
      first: sumRegisters + (keepsConstants ? program.constantCount * halves : 0), keepsConstants: keepsConstants)
  }

  func emit() {
    let places = places, sumRegisters = program.sumCount * halves
    k.beginFrame(byteCount: program.constantCount * halves * lanes * 4, saving: saved)
    for index in 0..<program.addressCount { k.mov(pointers[index], arguments[streamsOffset + 8 * index]) }
    if lastLanes < lanes {
      k.mov(scratch, (1 << lastLanes) - 1)
      k.kmovw(mask, scratch)
    }
    for constant in 0..<program.constantCount {
      for half in 0..<halves {
        let (part, offset) = place(of: half)
        if offset == 0 { k.mov(scratch, arguments[constantsOffset + 8 * (constant * program.parts + part)]) }
        let register = WideRegister(
          number: places.keepsConstants ? places.firstConstant + constant * halves + half : places.first, lanes: lanes)
        code.load(register, scratch[offset])
        if !places.keepsConstants { code.store(GeneralRegister.rsp[(constant * halves + half) * lanes * 4], register) }
      }
    }
    for register in 0..<sumRegisters { code.zero(WideRegister(number: register, lanes: lanes)) }
    emitLoop(pixels: 4, countAt: 0, places)
    emitLoop(pixels: 1, countAt: 8, places)
    if program.sumCount > 0 { k.mov(scratch, arguments[sumsOffset]) }
    for register in 0..<sumRegisters {
      let (sum, half) = (register / halves, register % halves)
      code.store(
        scratch[sum * program.parts * 64 + half * lanes * 4], WideRegister(number: register, lanes: lanes))
    }
    if !program.bypassing.isEmpty { k.sfence() }
    k.endFrame(saving: saved)
  }

  /// Which block of 16 channels a half is of, and its first byte among float32 there.
  private func place(of half: Int) -> (part: Int, offset: Int) {
    let position = half * lanes
    return (
      position / BlockedTensor.blockChannels, position % BlockedTensor.blockChannels * 4
    )
  }

  struct Places {
    let allocation: Allocation
    let firstSum, firstConstant, first: Int
    let keepsConstants: Bool

    /// The last register.
    var last: Int { first + allocation.count - 1 }
  }

  private func emitLoop(pixels: Int, countAt offset: Int, _ places: Places) {
    let end = k.newLabel()
    k.mov(counter, arguments[offset])
    k.test(counter, counter)
    k.jump(.e, end)
    k.loop(counter) {
      for pixel in 0..<pixels {
        for half in 0..<halves { emitPixel(pixel * 64, half: half, places) }
      }
      for index in 0..<program.addressCount { k.add(pointers[index], pixels * 64) }
    }
    k.bind(end)
  }

  private func emitPixel(_ pixel: Int, half: Int, _ places: Places) {
    /// Where the half lies in a stream.
    func address(_ stream: Int) -> Address {
      let first = program.firstAddress(ofStream: stream)
      if program.element(ofStream: stream) == .bfloat16 { return pointers[first][pixel + half * lanes * 2] }
      let (part, offset) = place(of: half)
      return pointers[first + part][pixel + offset]
    }
    func wide(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
    func operand(_ vector: StreamProgram.Vector) -> VectorCode.Operand {
      if case .constant(let index) = program.instructions[vector.index] {
        return places.keepsConstants
          ? .register(wide(places.firstConstant + index * halves + half))
          : .memory(GeneralRegister.rsp[(index * halves + half) * lanes * 4])
      }
      return .register(wide(places.first + places.allocation.registers[vector.index]))
    }
    for (position, instruction) in program.instructions.enumerated() {
      let result = wide(places.first + max(0, places.allocation.registers[position]))
      let temporaries = places.allocation.temporaries[position].map { wide(places.first + $0) }
      var loaded = program.temporaryCount(instruction)
      /// The operand in a register, one of its own where it is a constant in memory.
      func register(_ vector: StreamProgram.Vector) -> WideRegister {
        switch operand(vector) {
        case .register(let register): return register
        case .memory(let address):
          let register = temporaries[loaded]
          loaded += 1
          code.load(register, address)
          return register
        }
      }
      switch instruction {
      case .load(let stream):
        if program.element(ofStream: stream) == .bfloat16 {
          code.loadBFloat16(result, address(stream))
        } else {
          code.load(result, address(stream))
        }
      case .constant: break
      case .add(let a, let b): code.add(result, register(a), operand(b))
      case .subtract(let a, let b): code.subtract(result, register(a), operand(b))
      case .multiply(let a, let b): code.multiply(result, register(a), operand(b))
      case .multiplyAdd(let a, let b, let c):
        // A register of its own, so that no operand is lost.
        switch operand(a) {
        case .register(let a): code.copy(result, a)
        case .memory(let a): code.load(result, a)
        }
        switch operand(b) {
        case .register(let b): code.multiplyInto(result, b, adding: operand(c))
        case .memory: code.multiplyInto(result, operand(b), adding: register(c))
        }
      case .activate(let activation, let x):
        code.copy(result, register(x))
        code.apply(activation, to: result, temporaries: temporaries, isRounded: program.isRounded)
      case .activationGradient(let activation, let x, let dy):
        code.copy(result, register(dy))
        code.applyGradient(
          of: activation, at: register(x), to: result, temporaries: temporaries, isRounded: program.isOfRounded)
      case .rounded(let a): code.round(result, register(a))
      case .keptWhereEqual(let a, let b, let c):
        code.keep(result, register(a), whereEqual: register(b), register(c), temporary: temporaries[0])
      case .kept(let a, let mask):
        code.keep(result, register(a), wherePositive: register(mask), temporary: temporaries[0])
      case .store(let a, let stream):
        if program.element(ofStream: stream) == .bfloat16 {
          storeRounded(
            address(stream), register(a), half: half, temporary: temporaries[0],
            bypassesCaches: program.bypassing.contains(stream))
        } else if program.bypassing.contains(stream) {
          code.stream(address(stream), register(a))
        } else {
          code.store(address(stream), register(a))
        }
      case .sum(let a, let sum):
        let sum = wide(places.firstSum + sum * halves + half)
        code.add(sum, sum, operand(a))
      case .sumProduct(let a, let b, let sum):
        code.multiplyAdd(wide(places.firstSum + sum * halves + half), register(a), operand(b))
      case .minimum(let a, let sum):
        let sum = wide(places.firstSum + sum * halves + half)
        code.minimum(sum, sum, operand(a))
      case .maximum(let a, let sum):
        let sum = wide(places.firstSum + sum * halves + half)
        code.maximum(sum, sum, operand(a))
      }
    }
  }

  /// Writes a half of a pixel as bfloat16, and zeros behind the last channel.
  private func storeRounded(
    _ address: Address, _ a: WideRegister, half: Int, temporary: WideRegister, bypassesCaches: Bool
  ) {
    var source = a
    if half == halves - 1, lastLanes < lanes {
      k.vmovaps(Zmm(temporary.number), Zmm(a.number), .zero(mask))
      source = temporary
    }
    code.roundToBFloat16(temporary, source)
    // The only half writes the block's other one too, as zeros.
    let rounded = WideRegister(number: temporary.number, lanes: halves == 1 ? 16 : 8)
    if bypassesCaches { code.stream(address, rounded) } else { code.store(address, rounded) }
  }
}
