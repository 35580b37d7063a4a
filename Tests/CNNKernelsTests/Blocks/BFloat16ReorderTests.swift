import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

@Suite struct BFloat16ReorderTests {
  @Test(.enabled(if: BFloat16ProductTests.hasVectors), arguments: [1, 15, 16, 17, 31, 32, 33, 48, 49, 100])
  func imagesAreRoundedAndWidenedPlaceByPlace(_ channels: Int) throws {
    let border = BlockedTensor.Border(top: 1, left: 2, bottom: 3, right: 1)
    for border in [BlockedTensor.Border.none, border] {
      let floats = BlockedTensor(images: 2, height: 5, width: 7, channels: channels)
      let count = floats.images * floats.height * floats.width * channels
      let library = KernelLibrary(CodeTarget(.avx512BF16)), workers = Workers(count: 2)
      let rounding = try BFloat16Reorder(.rounding, floats, border: border, library: library)
      let widening = try BFloat16Reorder(.widening, floats, border: border, library: library)
      try library.finish()
      let x = try ConvolutionBuffer(randomCount: count, seed: 1, stream: UInt64(channels))
      // Lanes behind the last channel are NaN.
      let before = try ConvolutionBuffer(byteCount: floats.byteCount)
      for pixel in 0..<count / channels {
        for channel in 0..<channels {
          before.base[channel / 16 * floats.blockByteCount / 4 + pixel * 16 + channel % 16] =
            x[pixel * channels + channel]
        }
      }
      let rounded = try ConvolutionBuffer(byteCount: rounding.rounded.byteCount)
      let after = try ConvolutionBuffer(byteCount: floats.byteCount), y = try ConvolutionBuffer(count: count)
      rounding.run(before.base, into: rounded.base, workers: workers)
      widening.run(rounded.base, into: after.base, workers: workers)
      BlockedCopies.unpack(after.base, floats, into: y.base, workers: workers)
      let isIntact = [rounded, after, y].allSatisfy(\.isGuardIntact)
      #expect(isIntact)
      #expect((0..<count).allSatisfy { y[$0] == Float(BFloat16(x[$0])) })
      // Every lane of the blocks in between is a channel's number, or zero in the border and behind the last channel.
      let layout = rounding.rounded
      for block in 0..<layout.blocks {
        for image in 0..<2 {
          for row in 0..<layout.paddedHeight {
            for column in 0..<layout.paddedWidth {
              let place =
                UnsafeRawPointer(rounded.base) + layout.byteOffset(image: image, block: block)
                + row * layout.rowByteCount + column * 64
              let (iy, ix) = (row - border.top, column - border.left)
              let isInside = (0..<5).contains(iy) && (0..<7).contains(ix)
              for lane in 0..<32 {
                let channel = 32 * block + lane
                let expected =
                  isInside && channel < channels ? x[((image * 5 + iy) * 7 + ix) * channels + channel] : 0
                #expect(place.load(fromByteOffset: 2 * lane, as: BFloat16.self) == BFloat16(expected))
              }
            }
          }
        }
      }
    }
  }

  @Test(.enabled(if: BFloat16ProductTests.hasVectors), arguments: [1, 15, 16, 17, 31, 32, 33, 48, 100])
  func rowsAreRoundedIntoBlocksAndBackInOneTrip(_ channels: Int) throws {
    for border in [BlockedTensor.Border.none, .init(top: 1, left: 2, bottom: 0, right: 1)] {
      let floats = BlockedTensor(images: 2, height: 3, width: 11, channels: channels)
      let count = 66 * channels, workers = Workers(count: 3)
      let library = KernelLibrary(CodeTarget(.avx512BF16))
      let rounding = try BFloat16Reorder(.rounding, floats, isRowMajor: true, border: border, library: library)
      let widening = try BFloat16Reorder(.widening, floats, isRowMajor: true, border: border, library: library)
      try library.finish()
      let x = try ConvolutionBuffer(randomCount: count, seed: 2, stream: UInt64(channels))
      let blocks = try ConvolutionBuffer(byteCount: rounding.rounded.byteCount), y = try ConvolutionBuffer(count: count)
      rounding.run(x.base, into: blocks.base, workers: workers)
      widening.run(blocks.base, into: y.base, workers: workers)
      let isIntact = [blocks, y].allSatisfy(\.isGuardIntact)
      #expect(isIntact)
      #expect((0..<count).allSatisfy { y[$0] == Float(BFloat16(x[$0])) })
      let layout = rounding.rounded
      for pixel in 0..<66 {
        let start =
          layout.originByteOffset + layout.byteOffset(image: pixel / 33, block: 0)
          + pixel % 33 / 11 * layout.rowByteCount + pixel % 11 * 64
        for lane in 0..<layout.blocks * 32 {
          let place = start + lane / 32 * layout.blockByteCount + lane % 32 * 2
          let expected = lane < channels ? x[pixel * channels + lane] : 0
          #expect(UnsafeRawPointer(blocks.base).load(fromByteOffset: place, as: BFloat16.self) == BFloat16(expected))
        }
      }
      if border == .none { continue }
      #expect(UnsafeRawPointer(blocks.base).load(fromByteOffset: layout.originByteOffset - 64, as: UInt64.self) == 0)
    }
  }

  @Test func aTargetWithoutTheInstructionsIsRefused() {
    #expect(throws: CNNError(.invalidArgument, "avx512 has no instructions on bfloat16")) {
      try BFloat16Reorder(
        .rounding, BlockedTensor(images: 1, height: 1, width: 1, channels: 1),
        library: KernelLibrary(CodeTarget(.avx512)))
    }
  }
}
