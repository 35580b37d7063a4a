import CNNCore
import X86Assembler

/// Images of bfloat16 as words of two pixels, which one instruction multiplies and adds: the same channel of an image and of
/// the image half a batch behind it.
///
/// So words lie like the pixels of half as many images of float32, in blocks of 16 channels: with the same rows, columns and
/// border, and whoever sums over pixels sums over words. Where the images are odd in number the last of the first half meets
/// zeros.
struct PixelPairs: Sendable {
  private let tensor: BlockedTensor
  private let kernels: BlockKernels

  /// - Parameter tensor: images of bfloat16 without a border.
  init(_ tensor: BlockedTensor, library: KernelLibrary) {
    self.tensor = tensor
    func kernel(_ channels: Int) -> GeneratedKernel {
      let kernel = PixelPairKernel(target: library.target, parts: channels > 16 ? 2 : 1)
      return library.kernel(kernel, name: kernel.name) { kernel.code() }
    }
    let block = tensor.channelsPerBlock
    kernels = BlockKernels(whole: kernel(block), last: kernel((tensor.channels - 1) % block + 1))
  }

  /// What it takes to write a line of words: a store of 512 bits, and the permutations beside it.
  static let cycles = 2.2

  /// How many images of words so many images become.
  static func images(_ count: Int) -> Int { (count + 1) / 2 }

  /// Writes the words of 32 channels, which are two blocks of words.
  /// - Parameters:
  ///   - block: of the images of bfloat16.
  ///   - place: where the first of the two blocks begins.
  ///   - blockStride: bytes to the second one, where it is not the region's.
  func write(
    _ block: Int, of region: PixelRegion, _ x: UnsafeRawPointer, into place: UnsafeMutableRawPointer,
    blockStride: Int? = nil
  ) {
    let line = BlockedTensor.pixelByteCount, half = Self.images(tensor.images)
    // Whole rows follow each other.
    let isWhole = region.columns.count == tensor.width
    let count = isWhole ? region.rows.count * tensor.width : region.columns.count
    if count == 0 { return }
    var zeros = SIMD16<Float>(repeating: 0)
    withUnsafeBytes(of: &zeros) { zeros in
      guard let zeros = zeros.baseAddress else { return }
      var target = place
      for image in region.images {
        let hasSecond = image + half < tensor.images
        for row in isWhole ? region.rows.prefix(1) : region.rows {
          let offset = row * tensor.rowByteCount + region.columns.lowerBound * line
          var arguments = PixelPairArguments(
            first: x + tensor.byteOffset(image: image, block: block) + offset,
            second: hasSecond ? x + tensor.byteOffset(image: image + half, block: block) + offset : zeros,
            secondStep: hasSecond ? line : 0, place: target, blockStride: blockStride ?? region.blockByteCount,
            count: count)
          kernels(isLast: block == tensor.blocks - 1, &arguments)
          target += count * line
        }
      }
    }
  }
}

extension BlockedTensor {
  /// Its pixels as two columns.
  var halves: BlockedTensor {
    BlockedTensor(images: 2, height: images * height * width / 2, width: 1, channels: channels, element: element)
  }
}

/// Some images, rows and columns of a tensor, without the others between them.
struct PixelRegion: Sendable {
  let images, rows, columns: Range<Int>

  /// All of a tensor.
  init(_ tensor: BlockedTensor) {
    (images, rows, columns) = (0..<tensor.images, 0..<tensor.height, 0..<tensor.width)
  }

  init(images: Range<Int>, rows: Range<Int>, columns: Range<Int>) {
    (self.images, self.rows, self.columns) = (images, rows, columns)
  }

  /// Bytes from a row to the next, and from an image to the next.
  var rowByteCount: Int { columns.count * BlockedTensor.pixelByteCount }
  var imageByteCount: Int { rows.count * rowByteCount }
  /// Bytes from a block of channels to the next, where there are several.
  var blockByteCount: Int {
    BlockedTensor(
      images: images.count, height: rows.count, width: columns.count, channels: 2 * BlockedTensor.blockChannels
    ).blockByteCount
  }

  /// Where a pixel lies, in bytes from the first one.
  func byteOffset(image: Int, row: Int, column: Int) -> Int {
    (image - images.lowerBound) * imageByteCount + (row - rows.lowerBound) * rowByteCount
      + (column - columns.lowerBound) * BlockedTensor.pixelByteCount
  }
}

/// Writes words of the numbers of two pixels, for up to 32 channels.
private struct PixelPairKernel: Hashable, Sendable {
  let target: CodeTarget
  /// The blocks of 16 words that are written.
  let parts: Int

  var name: String { "pixel_pairs_\(target.vectorName)_\(16 * parts)" }

  /// Within each 128 bits four channels of the first block of words and four of the second one, so that interleaving
  /// these gives each block in its order.
  private var order: [UInt32] {
    func channel(_ place: Int) -> Int { place / 8 * 4 + place % 4 + (place % 8 < 4 ? 0 : 16) }
    return (0..<16).map { UInt32(channel(2 * $0) | channel(2 * $0 + 1) << 16) }
  }

  func code() -> VectorCode {
    let code = VectorCode(target), k = code.assembler
    let arguments = GeneralRegister.rdi, first = GeneralRegister.rax, second = GeneralRegister.rsi
    let secondStep = GeneralRegister.rdx, place = GeneralRegister.r8, upper = GeneralRegister.r9
    let count = GeneralRegister.rcx
    for (index, register) in [first, second, secondStep, place, upper, count].enumerated() {
      k.mov(register, arguments[8 * index])
    }
    k.add(upper, place)
    let order = Zmm(0), a = Zmm(1), b = Zmm(2)
    k.vmovups(order, k.constantVector(self.order))
    k.loop(count) {
      k.vpermw(a, order, first[0])
      k.vpermw(b, order, second[0])
      k.vpunpcklwd(Zmm(3), a, b)
      k.vmovups(place[0], Zmm(3))
      if parts == 2 {
        k.vpunpckhwd(Zmm(4), a, b)
        k.vmovups(upper[0], Zmm(4))
        k.add(upper, BlockedTensor.pixelByteCount)
      }
      k.add(first, BlockedTensor.pixelByteCount)
      k.add(second, secondStep)
      k.add(place, BlockedTensor.pixelByteCount)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What it is called with.
private struct PixelPairArguments {
  /// The first pixel whose numbers become the lower halves of words, and that of the upper ones, with the bytes from it to the
  /// next.
  var first, second: UnsafeRawPointer
  var secondStep: Int
  /// The first line of the first block of words, and bytes to the second block.
  var place: UnsafeMutableRawPointer
  var blockStride: Int
  /// How many pixels, at least 1.
  var count: Int
}
