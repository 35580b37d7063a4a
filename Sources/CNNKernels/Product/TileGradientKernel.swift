import CNNCore
import X86Assembler

/// The kernel of a filter's gradient by tiles of bfloat16: the sums over words of two pixels of the products of 16 or 32
/// channels of the result's gradient with 16 or 32 of the image.
///
/// On the left a tile's rows are channels, each with its words of 16 pixels side by side, as `WordTransposition` writes them; on
/// the right they are pixels at a constant distance, each with the words of its channels. A tile of sums is one of
/// `FilterSums`, which is read from memory and written there.
struct TileGradientKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Tiles of channels on the left and on the right: 1 or 2.
  var outputs, inputs: Int

  /// The pixels of a tile.
  static let pixels = 16

  var name: String { "tiles_gradient_\(16 * outputs)x\(16 * inputs)" }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target), k = code.assembler
    let arguments = GeneralRegister.rdi
    let left: [GeneralRegister] = [.rax, .rsi], right: [GeneralRegister] = [.rcx, .rdx]
    let leftStride = GeneralRegister.r8, rightStride = GeneralRegister.r9, step = GeneralRegister.rbx
    let tiles = GeneralRegister.r10, images = GeneralRegister.r11
    let place = GeneralRegister.r12, sumStride = GeneralRegister.r13
    func sum(_ output: Int, _ input: Int) -> TileRegister { TileRegister.all[2 * output + input] }
    func leftTile(_ output: Int) -> TileRegister { TileRegister.all[4 + output] }
    func rightTile(_ input: Int) -> TileRegister { TileRegister.all[6 + input] }
    func forEachSum(_ body: (TileRegister, Address) -> Void) {
      for output in 0..<outputs {
        for input in 0..<inputs {
          k.mov(place, arguments[16])
          if output == 1 { k.add(place, arguments[80]) }
          if input == 1 { k.add(place, arguments[88]) }
          body(sum(output, input), place[sumStride, 1, 0])
        }
      }
    }

    let saved: [GeneralRegister] = [.rbx, .r12, .r13]
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    for register in saved { k.push(register) }
    k.mov(sumStride, BlockedTensor.pixelByteCount)
    k.mov(leftStride, arguments[24])
    k.mov(rightStride, arguments[40])
    k.imul(step, rightStride, Self.pixels)
    k.mov(images, arguments[72])
    k.mov(left[0], arguments[0])
    k.mov(left[1], left[0])
    k.add(left[1], arguments[32])
    k.mov(right[0], arguments[8])
    k.mov(right[1], right[0])
    k.add(right[1], arguments[48])
    let zero = k.newLabel(), start = k.newLabel()
    k.mov(tiles, arguments[96])
    k.test(tiles, tiles)
    k.jump(.e, zero)
    forEachSum { k.tileloadd($0, $1) }
    k.jump(start)
    k.bind(zero)
    for output in 0..<outputs {
      for input in 0..<inputs { k.tilezero(sum(output, input)) }
    }
    k.bind(start)
    k.loop(images) {
      k.mov(tiles, arguments[64])
      k.loop(tiles) {
        for input in 0..<inputs { k.tileloadd(rightTile(input), right[input][rightStride, 1, 0]) }
        for output in 0..<outputs { k.tileloadd(leftTile(output), left[output][leftStride, 1, 0]) }
        for input in 0..<inputs {
          for output in 0..<outputs { k.tdpbf16ps(sum(output, input), leftTile(output), rightTile(input)) }
        }
        for pointer in left[..<outputs] { k.add(pointer, BlockedTensor.pixelByteCount) }
        for pointer in right[..<inputs] { k.add(pointer, step) }
      }
      for pointer in right[..<inputs] { k.add(pointer, arguments[56]) }
    }
    forEachSum { k.tilestored($1, $0) }
    for register in saved.reversed() { k.pop(register) }
    k.pop(.rbp)
    k.ret()
    return code
  }
}

/// What it is called with.
struct TileGradientArguments {
  /// The words of the first tile on both sides, and the first sums.
  var left, right: UnsafeRawPointer
  var sums: UnsafeMutableRawPointer
  /// On the left bytes from a channel to the next, and from 16 channels to the next 16.
  var leftStride, leftBlock: Int
  /// On the right bytes from a pixel to the next, and from 16 channels to the next 16.
  var rightStride, rightBlock: Int
  /// From the end of an image's tiles to the beginning of the next one's, on the right; on the left they follow each other.
  var rightImage: Int
  /// Tiles of pixels of an image, and images.
  var tiles, images: Int
  /// Bytes from the sums of 16 channels to the next 16, on the left and on the right.
  var sumsOutput, sumsInput: Int
  /// Whether to add to what is there: 1, or 0 to overwrite it.
  var adds: Int
}

/// Writes 16 lines of 16 words after the other as the words of one place in each line side by side.
struct WordTransposition: Hashable, Sendable {
  let target: CodeTarget

  /// What it takes for a line, in cycles.
  static let cycles = 5.0

  var name: String { "transpose_words" }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target), k = code.assembler
    let arguments = GeneralRegister.rdi, source = GeneralRegister.rax, place = GeneralRegister.rsi
    let rowStride = GeneralRegister.rdx, four = GeneralRegister.r8, twelve = GeneralRegister.r9
    let row = GeneralRegister.r10, count = GeneralRegister.rcx
    k.mov(source, arguments[0])
    k.mov(place, arguments[8])
    k.mov(rowStride, arguments[16])
    k.mov(count, arguments[24])
    k.lea(four, rowStride[rowStride, 1, 0])
    k.lea(four, four[four, 1, 0])
    k.lea(twelve, four[four, 2, 0])
    let r = (0..<16).map { Zmm($0) }, t = (16..<32).map { Zmm($0) }
    k.loop(count) {
      for index in 0..<16 { k.vmovups(r[index], source[64 * index]) }
      for pair in stride(from: 0, to: 16, by: 2) {
        k.vunpcklps(t[pair], r[pair], r[pair + 1])
        k.vunpckhps(t[pair + 1], r[pair], r[pair + 1])
      }
      // Of four lines every fourth word, beginning with word `part` in the first 128 bits.
      for first in stride(from: 0, to: 16, by: 4) {
        for half in 0..<2 {
          k.vunpcklpd(r[first + 2 * half], t[first + half], t[first + half + 2])
          k.vunpckhpd(r[first + 2 * half + 1], t[first + half], t[first + half + 2])
        }
      }
      k.mov(row, place)
      for part in 0..<4 {
        for half in 0..<2 {
          let (a, b) = (r[8 * half + part], r[8 * half + 4 + part])
          k.vshuff32x4(t[2 * half], a, b, 0b01_00_01_00)
          k.vshuff32x4(t[2 * half + 1], a, b, 0b11_10_11_10)
        }
        for (index, address) in [row[0], row[four, 1, 0], row[four, 2, 0], row[twelve, 1, 0]].enumerated() {
          k.vshuff32x4(t[4 + index], t[index / 2], t[2 + index / 2], index % 2 == 0 ? 0b10_00_10_00 : 0b11_01_11_01)
          k.vmovups(address, t[4 + index])
        }
        k.add(row, rowStride)
      }
      k.add(source, 1024)
      k.add(place, BlockedTensor.pixelByteCount)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What it is called with.
struct WordTranspositionArguments {
  /// The first line, and the place of the words of its first one.
  var source: UnsafeRawPointer
  var place: UnsafeMutableRawPointer
  /// Bytes from the words of one place to those of the next.
  var rowStride: Int
  /// How many times 16 lines, at least 1.
  var count: Int
}
