import X86Assembler

extension ActivationPieces {
  /// The registers that each pair of registers needs beside itself.
  static func temporaryCount(_ target: CodeTarget) -> Int { target.hasAVX512 ? 2 : 3 }

  /// Where the coefficients are, the highest power's first, of `words` whose bytes have these places; with AVX2 the lower
  /// bytes and the upper ones have places of their own.
  static func coefficients(_ target: CodeTarget, at place: (Int) -> Address) -> [Address] {
    stride(from: 0, to: byteCount, by: target.hasAVX512 ? 64 : 32).map(place)
  }
}

/// `ActivationPieces` in registers.
extension VectorCode {
  /// Registers of positions, integers of 32 bits, that become one of levels, integers of 16 bits in the order of
  /// `packBytes`.
  struct PositionPair {
    /// Takes the levels.
    let first: WideRegister
    /// Is lost; nil where there is none, and `first` stands for it.
    let second: WideRegister?
    /// Are lost: as many as `ActivationPieces.temporaryCount`, and one more where there is no second register.
    let temporaries: [WideRegister]
  }

  /// The levels at positions, as `ActivationPieces.level` says, save for the limits of a byte.
  func applyPieces(_ pairs: [PositionPair], coefficients: [Address]) {
    let own = ActivationPieces.temporaryCount(target)
    let each = pairs.map { pair in
      (
        pair: pair, fraction: pair.first, piece: pair.second ?? pair.temporaries[own],
        value: pair.temporaries[0], term: pair.temporaries[1], upper: pair.temporaries[own - 1]
      )
    }
    for v in each { emit(k.vpackssdw, v.fraction, v.fraction, .register(v.pair.second ?? v.fraction)) }
    for v in each { shift(k.vpsrlw, v.piece, v.fraction, 12) }
    for v in each { shift(k.vpsllw, v.fraction, v.fraction, 3) }
    for v in each { emit(target.hasAVX512 ? k.vpandd : k.vpand, v.fraction, v.fraction, everyWord(0x7FFF)) }
    if !target.hasAVX512 {
      // Where an index has its highest bit set a look-up gives 0.
      for v in each { emit(k.vpor, v.piece, v.piece, everyWord(0x8000)) }
    }
    for power in 0..<3 {
      for v in each where power > 0 { emit(k.vpmulhrsw, v.value, v.value, .register(v.fraction)) }
      for v in each {
        let d = power == 0 ? v.value : v.term
        if target.hasAVX512 {
          emit(k.vpermw, d, v.piece, .memory(coefficients[power]))
        } else {
          load(d, coefficients[2 * power])
          emit(k.vpshufb, d, d, .register(v.piece))
          load(v.upper, coefficients[2 * power + 1])
          emit(k.vpshufb, v.upper, v.upper, .register(v.piece))
          shift(k.vpsllw, v.upper, v.upper, 8)
          emit(k.vpor, d, d, .register(v.upper))
        }
      }
      for v in each where power > 0 { emit(k.vpaddsw, v.value, v.value, .register(v.term)) }
    }
    for v in each { shift(k.vpsraw, v.fraction, v.value, ActivationPieces.fractionBits) }
  }

  /// The same 16 bits in all lanes.
  private func everyWord(_ bits: UInt32) -> Operand {
    let words = k.constantVector(Array(repeating: bits << 16 | bits, count: target.hasAVX512 ? 1 : 8))
    return .memory(target.hasAVX512 ? words.splat : words)
  }

  /// The levels at positions become bytes in memory, 16 neighbouring channels at a time. What the registers hold is lost.
  /// - Parameters:
  ///   - pixels: of each its neighbouring channels: the registers, and where their bytes go, counted from `output`. With AVX2
  ///     those are pairs, and where a last one has no other half its bytes are stored twice.
  ///   - temporaries: at least `Requantizing.temporaryCount`.
  func storePieces(
    _ pixels: [[(register: WideRegister, offset: Int)]], at output: GeneralRegister, coefficients: [Address],
    temporaries: [WideRegister]
  ) {
    let own = ActivationPieces.temporaryCount(target) + 1
    func apply(_ pairs: [[(register: WideRegister, offset: Int)]]) {
      applyPieces(
        pairs.enumerated().map { turn, pair in
          PositionPair(
            first: pair[0].register, second: pair.count > 1 ? pair[1].register : nil,
            temporaries: Array(temporaries[turn * own..<(turn + 1) * own]))
        }, coefficients: coefficients)
    }
    func parts<Element>(_ list: [Element], _ size: Int) -> [[Element]] {
      stride(from: 0, to: list.count, by: size).map { Array(list[$0..<min($0 + size, list.count)]) }
    }
    if !target.hasAVX512 {
      let pairs = pixels.flatMap { parts($0, 2) }
      for some in parts(pairs, max(1, temporaries.count / own)) { apply(some) }
      return storeWords(pairs.map { ($0[0].register, output[$0[0].offset]) }, temporary: temporaries[0])
    }
    for group in pixels.flatMap({ parts($0, 4) }) {
      let pairs = parts(group, 2), packed = group[0].register, order = temporaries[0]
      apply(pairs)
      packWords(packed, packed, pairs[pairs.count - 1][0].register)
      // Packing takes four bytes of each register for every 128 bits.
      load(order, k.constantVector((0..<16).map { $0 % 4 * 4 + $0 / 4 }))
      permute(packed, packed, order)
      storeQuarters(of: packed, at: output, group.map(\.offset))
    }
  }

  /// Stores 128 bits after 128 bits, neighbours together.
  private func storeQuarters(of v: WideRegister, at output: GeneralRegister, _ offsets: [Int]) {
    if offsets == (0..<4).map({ offsets[0] + 16 * $0 }) { return store(output[offsets[0]], v) }
    var first = 0
    while first < offsets.count {
      let isPair = first % 2 == 0 && first + 1 < offsets.count && offsets[first + 1] == offsets[first] + 16
      let place = output[offsets[first]]
      switch (isPair, first) {
      case (true, 0): k.vmovups(place, Ymm(v.number))
      case (true, _): k.vextractf64x4(place, Zmm(v.number), 1)
      case (false, 0): k.vmovups(place, Xmm(v.number))
      case (false, _): k.vextractf32x4(place, Zmm(v.number), first)
      }
      first += isPair ? 2 : 1
    }
  }
}
