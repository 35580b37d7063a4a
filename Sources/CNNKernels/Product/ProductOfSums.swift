import CNNCore
import X86Assembler

/// Products of words of two 16-bit numbers by half as many multiplications: S. Winograd, "A New Algorithm for Inner
/// Product", IEEE Transactions on Computers C-17 (1968), with words in place of numbers and modulo 2^32, so exact.
///
/// Of neighbouring words of the depth, `x0 w0 + x1 w1 = (x0 + w1) (x1 + w0) - x0 x1 - w0 w1`, where a product is the sum of
/// the two products of numbers. The last two terms are sums over the depth that each row and each column has once: rows'
/// are computed by `RowTermsKernel`, and columns' are packed with the filter, before each panel.
///
/// With AVX2 that is as many instructions as without, but multiplications are a quarter of them instead of half. Zen has two
/// units that multiply integers and four that add, and does not keep additions off the two, so that products and their sums
/// reach 1.57 times the rate of float32 there, and these 1.82 times.
enum ProductOfSums {
  /// Whether a product of so many rows and columns and of a depth of so many words is computed so: where the terms, their
  /// beginning each tile, and tiles of fewer rows are worth their while. AVX-512 has no more units that add than multiply.
  static func pays(_ element: ElementType, rows: Int, columns: Int, depth: Int, _ target: CodeTarget) -> Bool {
    element == .int16 && !target.hasAVX512 && rows >= 32 && columns >= 48 && depth >= 16
  }
}

extension PackedFilter {
  /// Writes the terms of a packed panel's columns before it.
  func packTerms(_ panel: UnsafeMutableRawPointer, lanes: Int) {
    let terms = panel.assumingMemoryBound(to: Int32.self), words = panel + lanes * 4
    func number(_ word: Int, _ lane: Int, _ half: Int) -> Int32 {
      Int32(words.load(fromByteOffset: (word * lanes + lane) * 4 + half * 2, as: Int16.self))
    }
    for lane in 0..<lanes {
      var sum: Int32 = 0
      forEachRun { first, count in
        for word in stride(from: first, to: first + count / 2 * 2, by: 2) {
          for half in 0..<2 { sum &+= number(word, lane, half) &* number(word + 1, lane, half) }
        }
      }
      terms[lane] = sum
    }
  }

  /// Calls `body` with the first word and the number of words of each run of the depth.
  private func forEachRun(_ body: (_ first: Int, _ count: Int) -> Void) {
    var first = 0
    for channel in stride(from: 0, to: inputChannels, by: blockDepth) {
      let count = element.words(min(blockDepth, inputChannels - channel))
      for _ in 0..<taps {
        body(first, count)
        first += count
      }
    }
  }
}

/// The code that computes the terms of some rows, of one tile after the other.
struct RowTermsKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Bytes from the tile's first row to each, and from one tile to the next.
  let rows: [Int], tileStep: Int
  /// As the product has it.
  let depth: DepthLoops

  var name: String {
    "row_terms_\(target.vectorName)_\(rows.count)k"
      + (depth.loops.map { "\($0.count)" } + ["\(depth.run)"]).joined(separator: "x")
  }

  func code() -> VectorCode {
    let code = VectorCode(target), k = code.assembler
    let tile = GeneralRegister.r8, terms = GeneralRegister.r9, tiles = GeneralRegister.r10, a = GeneralRegister.rax
    for (index, register) in [tile, terms, tiles].enumerated() { k.mov(register, GeneralRegister.rdi[8 * index]) }
    k.loop(tiles) {
      k.mov(a, tile)
      for row in rows.indices { code.zero(sum(row)) }
      depth.emit(k, a, counters: [.rcx, .rdx, .rsi]) { words in
        for row in rows.indices { add(code, to: sum(row), a, rows[row], words) }
      }
      for row in rows.indices {
        let x = Xmm(row), t = Xmm(sum(rows.count).number)
        k.vextractf128(t, Ymm(row), 1)
        k.vpaddd(x, x, t)
        for order in [0b11_10_11_10, 0b01_01_01_01] {
          k.vshufps(t, x, x, order)
          k.vpaddd(x, x, t)
        }
        k.vmovss(terms[row * 4], x)
      }
      k.add(tile, tileStep)
      k.add(terms, rows.count * 4)
    }
    k.vzeroupper()
    k.ret()
    return code
  }

  private func sum(_ row: Int) -> WideRegister { WideRegister(number: row, lanes: 8) }

  /// Adds the products of the even words of a run by the odd ones, 16 words at a time, then up to 8.
  private func add(_ code: VectorCode, to sum: WideRegister, _ a: GeneralRegister, _ row: Int, _ words: Int) {
    let x = self.sum(rows.count), y = self.sum(rows.count + 1), even = 0b10_00_10_00, odd = 0b11_01_11_01
    var first = 0
    while words - first >= 2 {
      let pairs = min(8, (words - first) / 2)
      code.load(x, a[row + first * 4])
      if pairs == 8 {
        code.load(y, a[row + first * 4 + 32])
        code.shuffle(self.sum(rows.count + 2), x, y, odd)
        code.shuffle(x, x, y, even)
        code.addProductsOfWords(sum, x, .register(self.sum(rows.count + 2)), temporary: x)
      } else {
        // What lies behind the run is anything.
        let mask = (0..<8).map { UInt32($0 % 4 < 2 && $0 / 4 * 2 + $0 % 4 < pairs ? 0xFFFF_FFFF : 0) }
        code.shuffle(y, x, x, odd)
        code.shuffle(x, x, x, even)
        code.emit(code.k.vpand, x, x, .memory(code.k.constantVector(mask)))
        code.addProductsOfWords(sum, x, .register(y), temporary: x)
      }
      first += pairs == 8 ? 16 : 8
    }
  }
}

/// What it is called with; its code knows the offsets.
struct RowTermsArguments {
  /// The first row of the first tile.
  var a: UnsafeRawPointer
  var terms: UnsafeMutableRawPointer
  /// At least 1.
  var tiles: Int
}
