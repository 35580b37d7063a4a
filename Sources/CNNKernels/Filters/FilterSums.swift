import CNNCore
import CNNRuntime
import Glibc

/// Where the sums of a filter's gradient are until all pixels are summed: for each pair of a block of output and a block
/// of input channels and each tap, a tile of 16 output channels by 16 input channels.
///
/// Several threads have such sums, each of its own pixels, where the pixels are divided. Where only one has, and the filter
/// has one tap, they can be in the filter's own rows.
struct FilterSums: Sendable {
  static let tileByteCount = BlockedTensor.blockChannels * BlockedTensor.pixelByteCount

  private let groups: ChannelGroups
  /// Blocks of one group, or of some that are computed as one.
  let inputBlocks, outputBlocks: Int
  /// Channels in the last block.
  let lastInputs, lastOutputs: Int
  let taps: Int
  /// The input channels of a group of the filter itself.
  private let groupInputs: Int
  /// Whether the filter's rows are whole vectors of sums, and every pixel of the result meets one of the image.
  let isPossibleInPlace: Bool
  /// Whether the sums are in the filter's rows.
  var isInPlace = false
  /// Writes a whole block of input channels, and the last one; none for a number of taps without code.
  private let orderKernels: [GeneratedKernel]

  init(_ groups: ChannelGroups, library: KernelLibrary) {
    let g = groups.geometry, block = BlockedTensor.blockChannels
    let inputs = g.inputChannels / groups.count, outputs = g.outputChannels / groups.count
    let taps = g.kernelHeight * g.kernelWidth
    self.groups = groups
    self.taps = taps
    (inputBlocks, outputBlocks) = ((inputs + block - 1) / block, (outputs + block - 1) / block)
    (lastInputs, lastOutputs) = ((inputs - 1) % block + 1, (outputs - 1) % block + 1)
    groupInputs = g.groupInputChannels
    isPossibleInPlace =
      taps == 1 && !groups.isMerged && g.groupInputChannels % 8 == 0
      && [g.padTop, g.padLeft, g.padBottom, g.padRight].allSatisfy { $0 == 0 }
    if TapOrder.isPossible(taps: taps), !groups.isMerged {
      orderKernels = [block, lastInputs].map { channels in
        let kernel = TapOrderKernel(
          target: library.target, order: TapOrder(taps: taps, channels: channels, tapStride: Self.tileByteCount))
        return library.kernel(kernel, name: kernel.name) { kernel.code() }
      }
    } else {
      orderKernels = []
    }
  }

  /// How many there are of all groups.
  var allOutputBlocks: Int { groups.count * outputBlocks }
  /// Bytes from an output channel to the next.
  var rowStride: Int { isInPlace ? groupInputs * 4 : BlockedTensor.pixelByteCount }
  /// Bytes from a block of output channels to the next.
  var outputBlockStride: Int {
    isInPlace ? BlockedTensor.blockChannels * rowStride : inputBlocks * taps * Self.tileByteCount
  }
  /// Bytes of those of one thread.
  var byteCount: Int { allOutputBlocks * outputBlockStride }

  /// Where a tile is; output blocks are counted over all groups.
  func offset(output: Int, input: Int, tap: Int) -> Int {
    let place = isInPlace ? input * BlockedTensor.pixelByteCount : (input * taps + tap) * Self.tileByteCount
    return output * outputBlockStride + place
  }

  /// How many output channels a block has.
  func outputs(of block: Int) -> Int {
    block % outputBlocks == outputBlocks - 1 ? lastOutputs : BlockedTensor.blockChannels
  }

  /// Blocks of output channels, cut where groups end and into parts of at most `limit`.
  func panels(_ share: Range<Int>, limit: Int) -> [Range<Int>] {
    var result: [Range<Int>] = [], first = share.lowerBound
    while first < share.upperBound {
      let end = min(share.upperBound, (first / outputBlocks + 1) * outputBlocks)
      let count = (end - first + limit - 1) / limit
      for part in 0..<count {
        result.append(first + (end - first) * part / count..<first + (end - first) * (part + 1) / count)
      }
      first = end
    }
    return result
  }

  /// Begins a tap's sums with zeros.
  func clear(_ outputs: Range<Int>, input: Int, tap: Int, _ sums: UnsafeMutableRawPointer) {
    for output in outputs {
      memset(sums + offset(output: output, input: input, tap: tap), 0, Self.tileByteCount)
    }
  }

  /// Adds up the sums of so many threads and writes the filter's gradient, row-major.
  func finish(
    _ sums: UnsafeMutableRawPointer, threads: Int, into dWeight: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    workers.forEachRange(of: allOutputBlocks * inputBlocks) { range, _ in
      for pair in range {
        let output = pair / inputBlocks, input = pair % inputBlocks
        let tiles = (sums + offset(output: output, input: input, tap: 0)).assumingMemoryBound(to: Float.self)
        let count = taps * Self.tileByteCount / 4
        for thread in 1..<max(1, threads) {
          let others = tiles + thread * byteCount / 4
          for index in stride(from: 0, to: count, by: 16) {
            (SIMD16<Float>.load(tiles + index) + SIMD16<Float>.load(others + index)).store(tiles + index)
          }
        }
        write(tiles, output: output, input: input, into: dWeight)
      }
    }
  }

  private func write(
    _ tiles: UnsafeMutablePointer<Float>, output: Int, input: Int, into dWeight: UnsafeMutablePointer<Float>
  ) {
    let block = BlockedTensor.blockChannels, rows = outputs(of: output)
    let isLast = input == inputBlocks - 1, channels = isLast ? lastInputs : block
    let firstOutput = output * block
    if !orderKernels.isEmpty {
      let result = dWeight + (firstOutput * groupInputs + input * block) * taps
      var arguments = TapOrderArguments(
        source: tiles, result: result, rows: rows, sourceStride: BlockedTensor.pixelByteCount,
        resultStride: groupInputs * taps * 4)
      orderKernels[isLast ? 1 : 0](&arguments)
      return
    }
    for row in 0..<rows {
      // Of a row only the channels of its own group are in the filter.
      let first = groups.firstInput(of: firstOutput + row) - input * block
      let channels = max(0, first)..<max(max(0, first), min(channels, first + groupInputs))
      let result = dWeight + (firstOutput + row) * groupInputs * taps
      for channel in channels {
        for tap in 0..<taps {
          result[(channel - first) * taps + tap] = tiles[tap * Self.tileByteCount / 4 + row * block + channel]
        }
      }
    }
  }
}
