import X86Assembler

/// Writes sums that lie tap by tap, in each of them 16 channels side by side, as rows of a filter: channel by channel, in
/// each of them the taps side by side.
///
/// 8 channels and 8 taps at a time are a matrix that is transposed in registers; where the number of taps is no multiple of
/// 8, the last 8 are written over some that are there already.
struct TapOrder: Hashable, Sendable {
  /// Taps of the filter; at least 8, or 1.
  let taps: Int
  /// How many channels are written.
  let channels: Int
  /// Bytes from one tap's channels to the next one's.
  let tapStride: Int

  /// Whether there is code for so many taps.
  static func isPossible(taps: Int) -> Bool { taps == 1 || taps >= 8 }

  /// Writes what lies at `source`, with registers 0 to 15.
  func emit(_ code: VectorCode, from source: GeneralRegister, offset: Int, to target: GeneralRegister) {
    for first in stride(from: 0, to: channels, by: 8) {
      let count = min(8, channels - first)
      if taps == 1 {
        emitChannels(code, count, source[offset + first * 4], target, first * 4)
        continue
      }
      for tap in stride(from: 0, to: taps, by: 8) {
        let tap = min(tap, taps - 8)
        var rows = (0..<8).map { WideRegister(number: $0, lanes: 8) }
        for (index, row) in rows.enumerated() {
          code.load(row, source[offset + (tap + index) * tapStride + first * 4])
        }
        rows = code.transpose(rows, temporaries: (8..<16).map { WideRegister(number: $0, lanes: 8) })
        for index in 0..<count { code.store(target[((first + index) * taps + tap) * 4], rows[index]) }
      }
    }
  }

  /// Copies up to 8 channels of the only tap.
  private func emitChannels(
    _ code: VectorCode, _ count: Int, _ source: Address, _ target: GeneralRegister, _ place: Int
  ) {
    let k = code.assembler, whole = WideRegister(number: 0, lanes: 8)
    code.load(whole, source)
    if count == 8 { return code.store(target[place], whole) }
    // In parts of 4, 2 and 1.
    var first = 0
    var rest = Xmm(0)
    if count & 4 != 0 {
      k.vmovups(target[place], rest)
      k.vextractf128(Xmm(1), Ymm(0), 1)
      (first, rest) = (4, Xmm(1))
    }
    for index in first..<count {
      k.vmovss(target[place + index * 4], rest)
      k.vpermilps(rest, rest, 0b00_11_10_01)
    }
  }
}

extension VectorCode {
  /// The transpose of the 8 x 8 floats in `rows`, which are lost; it is in `temporaries`.
  func transpose(_ rows: [WideRegister], temporaries: [WideRegister]) -> [WideRegister] {
    let k = assembler
    let r = rows.map { Ymm($0.number) }, t = temporaries.map { Ymm($0.number) }
    // Pairs of rows, then fours, then the two halves.
    for pair in 0..<4 {
      k.vunpcklps(t[2 * pair], r[2 * pair], r[2 * pair + 1])
      k.vunpckhps(t[2 * pair + 1], r[2 * pair], r[2 * pair + 1])
    }
    for half in 0..<2 {
      let first = 4 * half
      for part in 0..<2 {
        k.vshufps(r[first + 2 * part], t[first + part], t[first + part + 2], 0b01_00_01_00)
        k.vshufps(r[first + 2 * part + 1], t[first + part], t[first + part + 2], 0b11_10_11_10)
      }
    }
    for column in 0..<4 {
      k.vperm2f128(t[column], r[column], r[column + 4], 0x20)
      k.vperm2f128(t[column + 4], r[column], r[column + 4], 0x31)
    }
    return temporaries
  }
}

/// Writes rows of sums as rows of a filter.
struct TapOrderKernel: Hashable, Sendable {
  let target: CodeTarget
  var order: TapOrder

  var name: String { "tap_order_\(target.vectorName)_\(order.channels)x\(order.taps)" }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler
    let source = GeneralRegister.rax, result = GeneralRegister.rsi, rows = GeneralRegister.rcx
    k.mov(source, GeneralRegister.rdi[0])
    k.mov(result, GeneralRegister.rdi[8])
    k.mov(rows, GeneralRegister.rdi[16])
    k.loop(rows) {
      order.emit(code, from: source, offset: 0, to: result)
      k.add(source, GeneralRegister.rdi[24])
      k.add(result, GeneralRegister.rdi[32])
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What it is called with.
struct TapOrderArguments {
  /// The first row's sums and its place in the filter.
  var source: UnsafeRawPointer
  var result: UnsafeMutableRawPointer
  /// How many rows, at least 1, and bytes from one to the next.
  var rows: Int
  var sourceStride, resultStride: Int
}
