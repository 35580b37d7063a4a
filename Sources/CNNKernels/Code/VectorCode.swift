import CNNCore
import X86Assembler

/// A vector register of a width that is chosen while code is generated.
struct WideRegister: Hashable, Sendable {
  let number: Int
  /// 16 in a 512-bit register, 8 in a 256-bit one.
  let lanes: Int
}

/// What generators write with: vector instructions whose width is a value, so that one generator serves AVX2, AVX-512
/// and, within AVX-512, the 8 channels that are left over from blocks of 16.
struct VectorCode {
  let assembler: Assembler
  let target: CodeTarget

  init(_ target: CodeTarget) {
    assembler = Assembler()
    self.target = target
  }

  var k: Assembler { assembler }

  // MARK: - Moving

  func load(_ v: WideRegister, _ address: Address) {
    if v.lanes == 16 { k.vmovups(Zmm(v.number), address) } else { k.vmovups(Ymm(v.number), address) }
  }
  func store(_ address: Address, _ v: WideRegister) {
    if v.lanes == 16 { k.vmovups(address, Zmm(v.number)) } else { k.vmovups(address, Ymm(v.number)) }
  }
  /// Stores past the caches, where the address must be a multiple of the vector's size; needs an `sfence` before other
  /// threads read.
  func stream(_ address: Address, _ v: WideRegister) {
    if v.lanes == 16 { k.vmovntps(address, Zmm(v.number)) } else { k.vmovntps(address, Ymm(v.number)) }
  }
  /// A word in all lanes. Of 512 bits by the instruction of integers: that of floats takes a turn of a unit that multiplies on
  /// Zen 4, measured; elsewhere both are loads alone.
  func broadcast(_ v: WideRegister, _ address: Address) {
    if v.lanes == 16 { k.vpbroadcastd(Zmm(v.number), address) } else { k.vbroadcastss(Ymm(v.number), address) }
  }
  func copy(_ v: WideRegister, _ a: WideRegister) {
    if v.lanes == 16 { k.vmovaps(Zmm(v.number), Zmm(a.number)) } else { k.vmovaps(Ymm(v.number), Ymm(a.number)) }
  }
  func zero(_ v: WideRegister) {
    let x = Xmm(v.number)
    if v.number < 16 { k.vxorps(x, x, x) } else { k.vpxord(x, x, x) }
  }

  // MARK: - bfloat16

  /// Loads as many numbers of bfloat16, exactly.
  func loadBFloat16(_ v: WideRegister, _ address: Address) {
    if v.lanes == 16 {
      k.vpmovzxwd(Zmm(v.number), address)
      k.vpslld(Zmm(v.number), Zmm(v.number), 16)
    } else {
      k.vpmovzxwd(Ymm(v.number), address)
      k.vpslld(Ymm(v.number), Ymm(v.number), 16)
    }
  }
  /// Loads as many numbers of float32 or bfloat16.
  func load(_ v: WideRegister, _ address: Address, of element: ElementType) {
    if element == .bfloat16 { loadBFloat16(v, address) } else { load(v, address) }
  }
  /// d = a + b, of numbers of float32 or bfloat16 in memory; of the latter the temporary is overwritten.
  func add(_ d: WideRegister, _ a: WideRegister, _ b: Address, of element: ElementType, temporary: WideRegister) {
    guard element == .bfloat16 else { return add(d, a, .memory(b)) }
    loadBFloat16(temporary, b)
    add(d, a, temporary)
  }
  /// Stores 16 numbers, which are overwritten, as bfloat16. Needs AVX-512 BF16.
  /// - Parameter fillsBlock: whether 16 zeros follow.
  func storeRounded(_ address: Address, _ v: WideRegister, fillsBlock: Bool) {
    roundToBFloat16(v, v)
    store(address, WideRegister(number: v.number, lanes: fillsBlock ? 16 : 8))
  }
  /// Of 32 numbers of bfloat16 those at even places, exactly. Needs AVX-512.
  func loadEvenBFloat16(_ v: WideRegister, _ address: Address) { k.vpslld(Zmm(v.number), address, 16) }
  /// Of 32 numbers of bfloat16 those at odd places, exactly, by a mask of the upper 16 bits of each lane. Needs AVX-512.
  func loadOddBFloat16(_ v: WideRegister, _ address: Address, mask: WideRegister) {
    k.vpandd(Zmm(v.number), Zmm(mask.number), address)
  }
  /// d += a b, each lane the sum of the products of two neighbours of bfloat16. Needs AVX-512 BF16.
  func multiplyAddPairs(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vdpbf16ps, d, a, b) }
  /// Rounds 16 numbers to nearest even, into the lower half of `d`; the upper one becomes 0. Needs AVX-512 BF16.
  func roundToBFloat16(_ d: WideRegister, _ a: WideRegister, _ masking: Masking? = nil) {
    k.vcvtneps2bf16(Ymm(d.number), Zmm(a.number), masking)
  }
  /// Rounds twice as many numbers to nearest even, those of `a` first. Needs AVX-512 BF16.
  func roundToBFloat16(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister, _ masking: Masking? = nil) {
    if d.lanes == 16 {
      k.vcvtne2ps2bf16(Zmm(d.number), Zmm(b.number), Zmm(a.number), masking)
    } else {
      k.vcvtne2ps2bf16(Ymm(d.number), Ymm(b.number), Ymm(a.number), masking)
    }
  }
  /// The 16-bit numbers of `a` in the order of the indices in `order`. Needs AVX-512.
  func permuteWords(_ d: WideRegister, _ a: WideRegister, _ order: WideRegister) {
    emit(k.vpermw, d, order, .register(a))
  }

  // MARK: - Integers

  /// d = a - b of 32-bit integers.
  func subtractIntegers(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) {
    if d.lanes == 16 {
      k.vpsubd(Zmm(d.number), Zmm(a.number), Zmm(b.number))
    } else {
      k.vpsubd(Ymm(d.number), Ymm(a.number), Ymm(b.number))
    }
  }
  /// d = a - b of 32-bit integers.
  func subtractIntegers(_ d: WideRegister, _ a: WideRegister, _ b: Address) { emit(k.vpsubd, d, a, .memory(b)) }
  /// d = a + b of 32-bit integers.
  func addIntegers(_ d: WideRegister, _ a: WideRegister, _ b: Address) { emit(k.vpaddd, d, a, .memory(b)) }
  /// d = a + b of 32-bit integers.
  func addIntegers(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { emit(k.vpaddd, d, a, .register(b)) }
  /// The larger, or smaller, signed 32-bit integers.
  func maximumOfIntegers(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vpmaxsd, d, a, b) }
  func minimumOfIntegers(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vpminsd, d, a, b) }
  /// The bits that are set in one of two.
  func exclusiveOr(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { emit(k.vxorps, d, a, .register(b)) }
  /// Shifts 32-bit integers by a number of bits: left, right with zeros, right with the sign.
  func shiftLeft(_ d: WideRegister, _ a: WideRegister, _ bits: Int) { shift(k.vpslld, d, a, bits) }
  func shiftRight(_ d: WideRegister, _ a: WideRegister, _ bits: Int) { shift(k.vpsrld, d, a, bits) }
  func shiftRightSigned(_ d: WideRegister, _ a: WideRegister, _ bits: Int) { shift(k.vpsrad, d, a, bits) }

  func shift(_ form: VMI, _ d: WideRegister, _ a: WideRegister, _ bits: Int) {
    if d.lanes == 16 { form(Zmm(d.number), Zmm(a.number), bits) } else { form(Ymm(d.number), Ymm(a.number), bits) }
  }
  /// The floats nearest to 32-bit integers.
  func toFloats(_ d: WideRegister, _ a: WideRegister) {
    if d.lanes == 16 { k.vcvtdq2ps(Zmm(d.number), Zmm(a.number)) } else { k.vcvtdq2ps(Ymm(d.number), Ymm(a.number)) }
  }
  /// The 32-bit integers nearest to floats, halves to the even one.
  func toIntegers(_ d: WideRegister, _ a: WideRegister) {
    if d.lanes == 16 { k.vcvtps2dq(Zmm(d.number), Zmm(a.number)) } else { k.vcvtps2dq(Ymm(d.number), Ymm(a.number)) }
  }
  /// Loads as many bytes as 32-bit integers.
  func loadByteIntegers(_ v: WideRegister, _ address: Address) {
    if v.lanes == 16 { k.vpmovzxbd(Zmm(v.number), address) } else { k.vpmovzxbd(Ymm(v.number), address) }
  }
  /// Loads as many bytes as floats.
  func loadBytes(_ v: WideRegister, _ address: Address) {
    loadByteIntegers(v, address)
    toFloats(v, v)
  }
  /// Stores 32-bit integers, unsigned, as bytes that end at 255. Needs AVX-512.
  func storeLimitedBytes(_ address: Address, _ v: WideRegister) {
    if v.lanes == 16 { k.vpmovusdb(address, Zmm(v.number)) } else { k.vpmovusdb(address, Ymm(v.number)) }
  }
  /// Stores the lowest byte of each 32-bit integer. Needs AVX-512.
  func storeBytes(_ address: Address, _ v: WideRegister) {
    if v.lanes == 16 { k.vpmovdb(address, Zmm(v.number)) } else { k.vpmovdb(address, Ymm(v.number)) }
  }

  // MARK: - Arithmetic

  /// Where an instruction's last operand comes from.
  enum Operand {
    case register(WideRegister)
    case memory(Address)
  }

  /// The number in all lanes, from the constants behind the code.
  func constant(_ value: Float, lanes: Int) -> Operand {
    .memory(target.hasAVX512 ? k.constant(value).splat : k.constant(value, lanes: lanes))
  }

  func emit(_ form: RVM, _ d: WideRegister, _ a: WideRegister, _ b: Operand) {
    switch b {
    case .register(let b):
      if d.lanes == 16 {
        form(Zmm(d.number), Zmm(a.number), Zmm(b.number))
      } else {
        form(Ymm(d.number), Ymm(a.number), Ymm(b.number))
      }
    case .memory(let address):
      if d.lanes == 16 {
        form(Zmm(d.number), Zmm(a.number), address)
      } else {
        form(Ymm(d.number), Ymm(a.number), address)
      }
    }
  }

  /// The lower or the upper floats of each 128 bits of `a` and `b`, in turns.
  func unpack(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister, upper: Bool) {
    emit(upper ? k.vunpckhps : k.vunpcklps, d, a, .register(b))
  }
  /// In each 128 bits two floats of `a` and two of `b`, chosen by the pairs of bits of `order`.
  func shuffle(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister, _ order: Int) {
    if d.lanes == 16 {
      k.vshufps(Zmm(d.number), Zmm(a.number), Zmm(b.number), order)
    } else {
      k.vshufps(Ymm(d.number), Ymm(a.number), Ymm(b.number), order)
    }
  }

  /// Of the 32 floats of `a` and `b` in a row, those at these indices. Needs AVX-512.
  func select(_ d: WideRegister, _ indices: [Int], of a: WideRegister, _ b: WideRegister) {
    load(d, k.constantVector(indices.map { UInt32($0) }))
    k.vpermi2ps(Zmm(d.number), Zmm(a.number), Zmm(b.number))
  }

  /// The floats of `a` in the order of the indices in `order`.
  func permute(_ d: WideRegister, by order: WideRegister, _ a: Operand) { emit(k.vpermps, d, order, a) }

  func add(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vaddps, d, a, b) }
  func subtract(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vsubps, d, a, b) }
  func multiply(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vmulps, d, a, b) }
  func divide(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vdivps, d, a, b) }
  /// The larger; `b` where one of the two is NaN.
  func maximum(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vmaxps, d, a, b) }
  /// The smaller; `b` where one of the two is NaN.
  func minimum(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vminps, d, a, b) }
  /// d += a b
  func multiplyAdd(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vfmadd231ps, d, a, b) }
  /// d -= a b
  func multiplySubtract(_ d: WideRegister, _ a: WideRegister, _ b: Operand) { emit(k.vfnmadd231ps, d, a, b) }
  /// d = d a + b
  func multiplyInto(_ d: WideRegister, _ a: WideRegister, adding b: Operand) { emit(k.vfmadd213ps, d, a, b) }
  /// d = d b + a
  func multiplyInto(_ d: WideRegister, _ b: Operand, adding a: WideRegister) { emit(k.vfmadd132ps, d, a, b) }
  /// d = b - d a
  func multiplyInto(_ d: WideRegister, _ a: WideRegister, subtractedFrom b: Operand) { emit(k.vfnmadd213ps, d, a, b) }

  func add(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { add(d, a, .register(b)) }
  func subtract(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { subtract(d, a, .register(b)) }
  func multiply(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { multiply(d, a, .register(b)) }
  func maximum(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { maximum(d, a, .register(b)) }
  func minimum(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { minimum(d, a, .register(b)) }
  func multiplyAdd(_ d: WideRegister, _ a: WideRegister, _ b: WideRegister) { multiplyAdd(d, a, .register(b)) }

  /// Rounds to the nearest whole number.
  func round(_ d: WideRegister, _ a: WideRegister) { round(d, a, mode: 8) }

  /// Rounds to the whole number that is not above.
  func floor(_ d: WideRegister, _ a: WideRegister) { round(d, a, mode: 9) }

  private func round(_ d: WideRegister, _ a: WideRegister, mode: Int) {
    if d.lanes == 16 {
      k.vrndscaleps(Zmm(d.number), Zmm(a.number), mode)
    } else if target.hasAVX512 {
      k.vrndscaleps(Ymm(d.number), Ymm(a.number), mode)
    } else {
      k.vroundps(Ymm(d.number), Ymm(a.number), mode)
    }
  }

  /// d = a - floor(a), and 0 for infinities. Needs AVX-512.
  func fraction(_ d: WideRegister, _ a: WideRegister) {
    if d.lanes == 16 {
      k.vreduceps(Zmm(d.number), Zmm(a.number), 9)
    } else {
      k.vreduceps(Ymm(d.number), Ymm(a.number), 9)
    }
  }

  /// d = a 2^n for whole numbers `n` between -126 and 127. Without AVX-512 `n` is lost.
  func scale(_ d: WideRegister, _ a: WideRegister, byPowerOfTwo n: WideRegister) {
    if target.hasAVX512 { return emit(k.vscalefps, d, a, .register(n)) }
    let (d, a, n) = (Ymm(d.number), Ymm(a.number), Ymm(n.number))
    k.vcvtps2dq(n, n)
    k.vpslld(n, n, 23)
    k.vpaddd(d, a, n)  // Adds to the exponent's bits.
  }

  /// d = 1 / a to 14 bits. Needs AVX-512.
  func roughReciprocal(_ d: WideRegister, _ a: WideRegister) {
    if d.lanes == 16 {
      k.vrcp14ps(Zmm(d.number), Zmm(a.number))
    } else {
      k.vrcp14ps(Ymm(d.number), Ymm(a.number))
    }
  }

  /// d = 1 / a to within an ulp or two; `temporary` is lost.
  func reciprocal(_ d: WideRegister, _ a: WideRegister, temporary: WideRegister) {
    if target.hasAVX512 {
      // The rest from one step of Newton's: d (2 - a d).
      roughReciprocal(d, a)
      copy(temporary, d)
      multiplyInto(temporary, a, subtractedFrom: constant(2, lanes: d.lanes))
      multiply(d, d, temporary)
    } else {
      broadcast(temporary, k.constant(1))
      divide(d, temporary, .register(a))
    }
  }
}
