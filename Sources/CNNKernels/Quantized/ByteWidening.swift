import CNNCore
import CNNRuntime
import X86Assembler

/// Levels as numbers of 16 bits, by generated code.
struct ByteWidening: Sendable {
  private let kernel: GeneratedKernel
  /// From 32 bytes to the next ones that are widened.
  private let step: Int

  /// - Parameter inBlocks: whether half of each pixel of 64 channels is widened, and not bytes in a row.
  init(inBlocks: Bool, library: KernelLibrary) {
    step = inBlocks ? BlockedTensor.pixelByteCount : BlockedTensor.pixelByteCount / 2
    let key = ByteWideningKernel(target: library.target, step: step)
    kernel = library.kernel(key, name: key.name) { key.code() }
  }

  /// Widens bytes in a row, up to the next multiple of 32 of them.
  func widen(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, count: Int, workers: Workers) {
    workers.forEachRange(of: (count + 31) / 32, grain: 128) { range, _ in
      widen(x + range.lowerBound * 32, into: y + range.lowerBound * 64, lines: range.count)
    }
  }

  /// Copies an image in blocks of 64 channels without a border into blocks of 32 with one of a level.
  func copy(
    _ x: UnsafeRawPointer, _ tensor: BlockedTensor, into y: UnsafeMutableRawPointer, _ framed: BlockedTensor,
    filling level: UInt8, workers: Workers
  ) {
    let border = framed.border, rows = framed.paddedHeight
    workers.forEachRange(ofLines: framed.images * rows, inEachOf: framed.blocks) { block, lines, _ in
      for line in lines {
        let row = line % rows, image = line / rows
        let target = y + framed.byteOffset(image: image, block: block) + row * framed.rowByteCount
        guard border.top..<border.top + framed.height ~= row else {
          fill(target, framed.paddedWidth, level)
          continue
        }
        fill(target, border.left, level)
        widen(
          x + tensor.byteOffset(image: image, block: block / 2) + (row - border.top) * tensor.rowByteCount
            + block % 2 * BlockedTensor.pixelByteCount / 2,
          into: target + border.left * BlockedTensor.pixelByteCount, lines: framed.width)
        fill(target + (border.left + framed.width) * BlockedTensor.pixelByteCount, border.right, level)
      }
    }
  }

  fileprivate func widen(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, lines: Int) {
    var arguments = ByteWideningArguments(x: x, y: y, lines: lines)
    if lines > 0 { kernel(&arguments) }
  }

  private func fill(_ y: UnsafeMutableRawPointer, _ pixels: Int, _ level: UInt8) {
    y.assumingMemoryBound(to: Int16.self).update(
      repeating: Int16(level), count: pixels * BlockedTensor.pixelByteCount / 2)
  }
}

/// An image in blocks of 64 channels whose pixels become words, in blocks of 32 channels, when a product needs them.
struct PixelWidening {
  let widening: ByteWidening
  let x: UnsafeRawPointer, tensor: BlockedTensor
  /// Where the words go, laid out like the image.
  let words: UnsafeMutableRawPointer, ofWords: BlockedTensor

  /// Widens some pixels, counted over all images.
  func widen(_ pixels: Range<Int>) {
    let size = BlockedTensor.pixelByteCount
    for block in 0..<ofWords.blocks {
      widening.widen(
        x + block / 2 * tensor.blockByteCount + block % 2 * size / 2 + pixels.lowerBound * size,
        into: words + block * ofWords.blockByteCount + pixels.lowerBound * size, lines: pixels.count)
    }
  }
}

/// The code that makes lines of 64 bytes of 32 bytes.
struct ByteWideningKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Bytes from the source of a line to the next.
  let step: Int

  var name: String { "widen_\(target.vectorName)_\(step)" }

  func code() -> VectorCode {
    let code = VectorCode(target), lanes = target.lanes, k = code.assembler
    let x = GeneralRegister.rsi, y = GeneralRegister.rax, lines = GeneralRegister.rcx
    for (index, register) in [x, y, lines].enumerated() { k.mov(register, GeneralRegister.rdi[8 * index]) }
    k.loop(lines) {
      for part in 0..<16 / lanes {
        let words = WideRegister(number: part, lanes: lanes)
        code.loadByteWords(words, x[part * 2 * lanes])
        code.store(y[part * 4 * lanes], words)
      }
      k.add(x, step)
      k.add(y, BlockedTensor.pixelByteCount)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What it is called with; its code knows the offsets.
struct ByteWideningArguments {
  var x: UnsafeRawPointer
  var y: UnsafeMutableRawPointer
  /// At least 1.
  var lines: Int
}
