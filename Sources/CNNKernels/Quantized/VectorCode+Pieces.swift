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

  /// The levels at positions become bytes in memory, 16 neighbouring channels at a time. With AVX2 the registers are pairs
  /// of neighbours; where a last one has no other half its bytes are stored twice. What the registers hold is lost.
  /// - Parameters:
  ///   - offsets: of each register where its bytes go, counted from `output`.
  ///   - temporaries: `Requantizing.temporaryCount`.
  func storePieces(
    _ positions: [(register: WideRegister, offset: Int)], at output: GeneralRegister, coefficients: [Address],
    temporaries: [WideRegister]
  ) {
    let size = target.hasAVX512 ? 4 : 2, own = ActivationPieces.temporaryCount(target) + 1
    for first in stride(from: 0, to: positions.count, by: size) {
      let group = Array(positions[first..<min(first + size, positions.count)])
      let pairs = stride(from: 0, to: group.count, by: 2).map { index in
        PositionPair(
          first: group[index].register, second: index + 1 < group.count ? group[index + 1].register : nil,
          temporaries: Array(temporaries[index / 2 * own..<(index / 2 + 1) * own]))
      }
      applyPieces(pairs, coefficients: coefficients)
      let packed = pairs[0].first, order = temporaries[0]
      packWords(packed, packed, pairs[pairs.count - 1].first)
      // Packing takes four bytes of each register for every 128 bits.
      load(order, k.constantVector(target.hasAVX512 ? (0..<16).map { $0 % 4 * 4 + $0 / 4 } : [0, 4, 1, 5, 0, 4, 1, 5]))
      permute(packed, packed, order)
      if target.hasAVX512 {
        storeQuarters(of: packed, at: output, group.map(\.offset))
      } else {
        k.vmovups(output[group[0].offset], Xmm(packed.number))
      }
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
