import CNNCore
import X86Assembler

/// A tile of a product with a sparse filter: some pixels by the output channels of one register.
///
/// The code knows the pixels and what follows; which input channels are multiplied it reads from lists beside the weights, so
/// that one kernel serves all panels of all filters. All sums of a tile stay in registers.
struct SparseProductKernel: Hashable, Sendable {
  let target: CodeTarget
  /// How many pixels, and bytes from one to the next, of the image and of the result.
  let rows: Int
  let rowStride, outputRowStride: Int
  var epilogue = Epilogue()

  /// The most pixels of a tile: as many as there are registers beside those of a product, or of what follows.
  static func mostRows(_ epilogue: Epilogue, _ target: CodeTarget) -> Int {
    target.registerCount - max(temporaries(target) + 2, epilogue.temporaryCount)
  }

  /// How many products are under way at once whose factor is in a register of its own.
  private static func temporaries(_ target: CodeTarget) -> Int { target.hasAVX512 ? 4 : 3 }

  /// What dumps and profiles call it.
  var name: String {
    var parts = ["sparse", target.vectorName, "\(rows)x\(target.lanes)"]
    if epilogue.hasBias { parts.append("bias") }
    if epilogue.addsResidual { parts.append("add") }
    if let activation = epilogue.activation { parts.append(activation.function.rawValue) }
    return parts.joined(separator: "_")
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    SparseProductEmitter(kernel: self, code: code, temporaries: Self.temporaries(target)).emit()
    return code
  }
}

/// What a kernel of a sparse product is called with; its code knows the offsets.
struct SparseProductArguments {
  /// The first pixel of the first tile.
  var a: UnsafeRawPointer
  /// For each product: the weights of the lanes, and the bytes from a pixel to what it reads. Those of one channel come first.
  var weights, offsets: UnsafeRawPointer
  /// For each product of permuted channels which of them each lane has.
  var lanes: UnsafeRawPointer
  /// One float for each lane.
  var bias: UnsafeRawPointer
  /// The first pixel of the result, and of the residual, which is laid out like it.
  var output: UnsafeMutableRawPointer
  var residual: UnsafeRawPointer
  /// How many tiles, one after the other, and how many products of either kind.
  var tiles, repeated, permuted: Int
}

/// Writes the code of one `SparseProductKernel`.
private struct SparseProductEmitter {
  let kernel: SparseProductKernel
  let code: VectorCode
  let temporaries: Int
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi
  let pixel = GeneralRegister.r8, output = GeneralRegister.r10, residual = GeneralRegister.r11
  let tiles = GeneralRegister.rbx
  let weights = GeneralRegister.rsi, offsets = GeneralRegister.rdx, lanes = GeneralRegister.r9
  let counter = GeneralRegister.rcx, offset = GeneralRegister.rax

  func accumulator(_ row: Int) -> WideRegister { WideRegister(number: row, lanes: kernel.target.lanes) }
  func free(_ index: Int) -> WideRegister { WideRegister(number: kernel.rows + index, lanes: kernel.target.lanes) }
  var byteCount: Int { kernel.target.lanes * 4 }

  func emit() {
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    k.push(tiles)
    k.mov(pixel, arguments[0])
    k.mov(output, arguments[40])
    k.mov(residual, arguments[48])
    k.mov(tiles, arguments[56])
    k.loop(tiles) {
      k.mov(weights, arguments[8])
      k.mov(offsets, arguments[16])
      k.mov(lanes, arguments[24])
      initialize()
      products(arguments[64], multiplyRepeated)
      products(arguments[72], multiplyPermuted)
      finish()
      k.add(pixel, kernel.rows * kernel.rowStride)
      k.add(output, kernel.rows * kernel.outputRowStride)
      if kernel.epilogue.addsResidual { k.add(residual, kernel.rows * kernel.outputRowStride) }
    }
    k.pop(tiles)
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  private func initialize() {
    guard kernel.epilogue.hasBias else {
      for row in 0..<kernel.rows { code.zero(accumulator(row)) }
      return
    }
    k.mov(counter, arguments[32])
    code.load(accumulator(0), counter[0])
    for row in 1..<max(1, kernel.rows) { code.copy(accumulator(row), accumulator(0)) }
  }

  /// The products of one kind, of which there may be none.
  private func products(_ count: Address, _ body: () -> Void) {
    let end = k.newLabel()
    k.mov(counter, count)
    k.test(counter, counter)
    k.jump(.e, end)
    k.loop(counter) {
      k.mov(offset, offsets[0])
      code.load(free(0), weights[0])
      body()
      k.add(weights, byteCount)
      k.add(offsets, 8)
    }
    k.bind(end)
  }

  private func address(_ row: Int) -> Address { pixel[offset, 1, row * kernel.rowStride] }

  private func multiplyRepeated() {
    for row in 0..<kernel.rows {
      if kernel.target.hasAVX512 {
        code.multiplyAdd(accumulator(row), free(0), .memory(address(row).splat))
      } else {
        let x = free(1 + row % temporaries)
        code.broadcast(x, address(row))
        code.multiplyAdd(accumulator(row), free(0), x)
      }
    }
  }

  private func multiplyPermuted() {
    code.load(free(1), lanes[0])
    for row in 0..<kernel.rows {
      let x = free(2 + row % temporaries)
      code.permute(x, by: free(1), .memory(address(row)))
      code.multiplyAdd(accumulator(row), free(0), x)
    }
    k.add(lanes, byteCount)
  }

  private func finish() {
    let epilogue = kernel.epilogue, temporaries = (0..<epilogue.temporaryCount).map(free)
    for row in 0..<kernel.rows {
      let sum = accumulator(row), place = row * kernel.outputRowStride
      if epilogue.addsResidual { code.add(sum, sum, .memory(residual[place])) }
      if let activation = epilogue.activation { code.apply(activation, to: sum, temporaries: temporaries) }
      code.store(output[place], sum)
    }
  }
}
