import X86Assembler

/// Vectors of bytes, four times as many as a register has lanes of 32 bits.
extension VectorCode {
  /// The lower or the upper bytes of each 128 bits of `a` and `b`, in turns.
  func unpackBytes(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister, upper: Bool) {
    emit(upper ? k.vpunpckhbw : k.vpunpcklbw, d, a, .register(b))
  }
  /// The lower or the upper 16-bit lanes of each 128 bits of `a` and `b`, in turns.
  func unpackWords(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister, upper: Bool) {
    emit(upper ? k.vpunpckhwd : k.vpunpcklwd, d, a, .register(b))
  }
  /// The larger bytes, unsigned.
  func maximumOfBytes(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vpmaxub, d, a, b) }

  /// a - b of signed bytes, which ends at -128 and 127.
  func subtractLimitedBytes(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) {
    emit(k.vpsubsb, d, a, .register(b))
  }
  /// In each 128 bits the bytes of `table` at `indices`; 0 where the index's highest bit is set.
  func lookUpBytes(_ d: WideRegister, _ indices: WideRegister, in table: WideRegister) {
    emit(k.vpshufb, d, table, .register(indices))
  }

  /// a + b of 16-bit lanes.
  func addWords(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { emit(k.vpaddw, d, a, .register(b)) }
  /// a - b of 16-bit lanes.
  func subtractWords(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { emit(k.vpsubw, d, a, .register(b)) }
  /// Loads twice as many bytes as there are lanes of 32 bits, as 16-bit lanes.
  func loadByteWords(_ v: WideRegister, _ address: Address) {
    if v.lanes == 16 { k.vpmovzxbw(Zmm(v.number), address) } else { k.vpmovzxbw(Ymm(v.number), address) }
  }

  /// d += the sum of four products of bytes of `a` and signed bytes of `b`. Needs VNNI.
  func addProductsOfBytes(_ d: WideRegister, _ a: WideRegister, _ b: Operand) {
    emit(target.hasAVX512 ? k.vpdpbusd : k.vpdpbusdVEX, d, a, b)
  }
  /// d += the sum of two products of 16-bit lanes of `a` and `b`.
  func addProductsOfWords(_ d: WideRegister, _ a: WideRegister, _ b: Operand, temporary t: WideRegister) {
    emit(k.vpmaddwd, t, a, b)
    addIntegers(d, d, t)
  }

  /// The lanes of 32 bits of `a` at the indices in `places`.
  func permute(_ d: WideRegister, _ a: WideRegister, _ places: WideRegister) {
    emit(k.vpermd, d, places, .register(a))
  }

  /// The lanes of 32 bits of four registers, 0 to 255 or limited to that, as bytes: of each 128 bits those of the first
  /// register, then those of the second and so on. What the third holds is lost.
  func packBytes(_ d: WideRegister, _ v: [WideRegister]) {
    emit(k.vpackssdw, d, v[0], .register(v[1]))
    emit(k.vpackssdw, v[2], v[2], .register(v[3]))
    packWords(d, d, v[2])
  }
  /// The lanes of 16 bits of two registers, limited to bytes: of each 128 bits those of the first, then of the second.
  func packWords(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { emit(k.vpackuswb, d, a, .register(b)) }
}
