import CNNCore
import CNNRuntime
import Glibc

/// The gradient of a depthwise convolution's filter: one call of a kernel for rows of the result whose windows have the
/// same rows inside the image.
///
/// Where both tensors are of bfloat16, 16 channels are those at even or at odd places of a block of 32.
///
/// The threads divide the blocks of channels, or where these cannot be divided evenly the images too; then what they have
/// summed is added at the end.
struct WindowGradientSchedule: Sendable {
  private let input, output: BlockedTensor
  private let taps, columns: Int
  /// How many times 16 channels, and for each in how many parts the images are.
  private let blocks, imageParts: Int
  /// Whether 16 channels are every other one of 32.
  private let isInterleaved: Bool
  private let calls: [Call]

  /// Some rows of the result, and some of the window.
  private struct Call: Sendable {
    /// For the first and the other 16 channels of a block of 32.
    let even, odd: GeneratedKernel
    let firstLine, lines: Int
    let firstInputRow, firstWindowRow: Int
  }

  init(
    _ g: ConvolutionGeometry, input: BlockedTensor, output: BlockedTensor, workers: Workers, library: KernelLibrary
  ) {
    (self.input, self.output, taps, columns) = (input, output, g.kernelHeight * g.kernelWidth, g.kernelWidth)
    let isRounded = (input: input.element == .bfloat16, output: output.element == .bfloat16)
    let isInterleaved = isRounded.input && isRounded.output
    self.isInterleaved = isInterleaved
    let channels = isInterleaved ? output.blocks * output.channelsPerBlock : output.channels
    blocks = (channels + BlockedTensor.blockChannels - 1) / BlockedTensor.blockChannels
    imageParts = blocks % workers.count == 0 ? 1 : min(output.images, workers.count)
    let limit = WindowGradientKernel.rowLimit(
      taps: g.kernelWidth, isOfFloats: !isRounded.input && !isRounded.output, library.target)
    // So few rows that they stay in the second cache, for windows that are not summed at once.
    let lineLimit = max(
      1, library.target.secondCacheByteCount / 4 / (g.strideHeight * input.rowByteCount + output.rowByteCount))
    let axis = g.rowAxis
    func inside(_ line: Int) -> Range<Int> {
      let rows = (0..<g.kernelHeight).filter { axis.source(output: line, tap: $0) != nil }
      return (rows.first ?? 0)..<(rows.last.map { $0 + 1 } ?? 0)
    }
    var calls: [Call] = [], line = 0
    while line < g.outputHeight {
      let rows = inside(line)
      var lines = 1
      while line + lines < g.outputHeight, lines < lineLimit, inside(line + lines) == rows { lines += 1 }
      var first = rows.lowerBound
      while first < rows.upperBound {
        let count = min(limit, rows.upperBound - first)
        func kernel(_ interleaved: WindowGradientKernel.Numbers) -> GeneratedKernel {
          func numbers(_ isRounded: Bool) -> WindowGradientKernel.Numbers {
            isRounded ? isInterleaved ? interleaved : .bfloat16 : .floats
          }
          let kernel = WindowGradientKernel(
            target: library.target, rows: count, taps: g.kernelWidth, dilation: g.dilationWidth, stride: g.strideWidth,
            padding: g.padLeft, inputWidth: g.inputWidth, outputWidth: g.outputWidth,
            rowStride: g.dilationHeight * input.rowByteCount, lineStride: g.strideHeight * input.rowByteCount,
            image: numbers(isRounded.input), gradient: numbers(isRounded.output))
          return library.kernel(kernel, name: kernel.name) { kernel.code() }
        }
        calls.append(
          Call(
            even: kernel(.even), odd: kernel(.odd), firstLine: line, lines: lines,
            firstInputRow: line * g.strideHeight + first * g.dilationHeight - g.padTop, firstWindowRow: first))
        first += count
      }
      line += lines
    }
    self.calls = calls
  }

  private var sumsByteCount: Int { taps * BlockedTensor.pixelByteCount }

  /// The bytes it works in.
  var workspaceByteCount: Int { blocks * imageParts * sumsByteCount }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    workers.forEachRange(of: blocks * imageParts) { range, _ in
      for unit in range {
        let block = unit / imageParts, part = unit % imageParts
        let sums = workspace + unit * sumsByteCount
        memset(sums, 0, sumsByteCount)
        for image in output.images * part / imageParts..<output.images * (part + 1) / imageParts {
          let image = (
            x: x + place(of: block, in: input) + image * input.imageByteCount,
            dy: dy + place(of: block, in: output) + image * output.imageByteCount
          )
          for call in calls {
            var arguments = WindowGradientArguments(
              input: image.x + call.firstInputRow * input.rowByteCount,
              gradient: image.dy + call.firstLine * output.rowByteCount,
              sums: sums + call.firstWindowRow * columns * BlockedTensor.pixelByteCount, lines: call.lines)
            if block % 2 == 0 { call.even(&arguments) } else { call.odd(&arguments) }
          }
        }
      }
    }
    finish(workspace.assumingMemoryBound(to: Float.self), into: dWeight, workers: workers)
  }

  /// Where 16 channels begin, in bytes: within a block of 32 in its middle, where they are neighbours.
  private func place(of block: Int, in tensor: BlockedTensor) -> Int {
    guard tensor.element == .bfloat16 else { return block * tensor.blockByteCount }
    return block / 2 * tensor.blockByteCount + (isInterleaved ? 0 : block % 2 * BlockedTensor.pixelByteCount / 2)
  }

  /// Adds up the parts and writes them channel by channel.
  private func finish(
    _ sums: UnsafeMutablePointer<Float>, into dWeight: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let block = BlockedTensor.blockChannels
    workers.forEachRange(of: output.channels, grain: Workers.grainOfRows(channels: taps)) { range, _ in
      for channel in range {
        let (own, lane) =
          isInterleaved
          ? (channel / (2 * block) * 2 + channel % 2, channel % (2 * block) / 2)
          : channel.quotientAndRemainder(dividingBy: block)
        let source = sums + own * imageParts * taps * block + lane
        for tap in 0..<taps {
          var sum: Float = 0
          for part in 0..<imageParts { sum += source[(part * taps + tap) * block] }
          dWeight[channel * taps + tap] = sum
        }
      }
    }
  }
}
