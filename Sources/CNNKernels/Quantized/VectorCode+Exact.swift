import X86Assembler

extension VectorCode {
  /// x = f(x), in the operations and the order of `ExactActivation.value`; `temporaryCount` temporaries are lost.
  func apply(_ function: ExactActivation, to x: WideRegister, temporaries t: [WideRegister]) {
    switch function {
    case .silu:
      exactSiLU([x], [t])
    case .sigmoid:
      exactSigmoid(t[0], x, t[1], t[2])
      copy(x, t[0])
    case .hardSwish:
      hardSigmoid(t[0], x, t[1])
      multiply(x, x, t[0])
    case .hardSigmoid:
      hardSigmoid(t[0], x, t[1])
      copy(x, t[0])
    case .leakyRelu(let alpha):
      multiply(t[0], x, constant(alpha, lanes: x.lanes))
      if alpha <= 1 { maximum(x, x, t[0]) } else { minimum(x, x, t[0]) }
    }
  }

  /// The same of several registers, each with its temporaries: in turns where a function is one chain of instructions each of
  /// which waits for the one before, so that others run meanwhile.
  func apply(_ function: ExactActivation, to x: [WideRegister], temporaries t: [[WideRegister]]) {
    if function == .silu { return exactSiLU(x, t) }
    for (x, t) in zip(x, t) { apply(function, to: x, temporaries: t) }
  }

  /// As `ExactActivation.silu` says.
  private func exactSiLU(_ x: [WideRegister], _ t: [[WideRegister]]) {
    typealias Pieces = ExactActivation.SiLUPieces
    guard let lanes = x.first?.lanes else { return }
    let each = zip(x, t).map { (x: $0, u: $1[0], piece: $1[1], value: $1[2], coefficient: $1[3]) }
    let magnitude = k.constantVector(Array(repeating: 0x7FFF_FFFF, count: target.hasAVX512 ? 1 : lanes))
    for v in each { emit(k.vandps, v.u, v.x, .memory(target.hasAVX512 ? magnitude.splat : magnitude)) }
    for v in each { minimum(v.piece, v.u, constant(Pieces.last, lanes: lanes)) }
    for v in each { broadcast(v.value, k.constant(Pieces.shift)) }
    for v in each { multiplyInto(v.piece, constant(Pieces.inverseWidth, lanes: lanes), adding: v.value) }
    for (index, coefficients) in Pieces.coefficients.enumerated() {
      let table = k.constantVector((0..<lanes).map { coefficients[$0 % 8].bitPattern })
      for v in each { emit(k.vpermps, index == 0 ? v.value : v.coefficient, v.piece, .memory(table)) }
      if index == 0 { continue }
      for v in each { multiplyInto(v.value, v.u, adding: .register(v.coefficient)) }
    }
    for v in each { multiplyInto(v.x, constant(0.5, lanes: lanes), adding: v.value) }
  }

  /// d = 1 / (1 + exp(-x)), as `ExactActivation.sigmoid` says.
  private func exactSigmoid(_ d: WideRegister, _ x: WideRegister, _ t1: WideRegister, _ t2: WideRegister) {
    let lanes = x.lanes
    multiply(t1, x, constant(-1.442695, lanes: lanes))
    maximum(t1, t1, constant(-126, lanes: lanes))
    minimum(t1, t1, constant(126, lanes: lanes))
    floor(t2, t1)
    subtract(t1, t1, t2)
    broadcast(d, assembler.constant(Self.powerOfTwoCoefficients[0]))
    for coefficient in Self.powerOfTwoCoefficients.dropFirst() {
      multiplyInto(d, t1, adding: constant(coefficient, lanes: lanes))
    }
    scale(d, d, byPowerOfTwo: t2)
    add(t2, d, constant(1, lanes: lanes))
    broadcast(d, assembler.constant(Float(bitPattern: ExactActivation.reciprocalBits)))
    subtractIntegers(d, d, t2)
    for _ in 0..<2 {
      copy(t1, d)
      multiplyInto(t1, t2, subtractedFrom: constant(2, lanes: lanes))
      multiply(d, d, t1)
    }
  }
}
