import CNNCore
import CNNRuntime
import Glibc

/// The gradient of a depthwise convolution's filter: one call of a kernel for rows of the result whose windows have the
/// same rows inside the image.
///
/// Where both tensors are of bfloat16, rows that stay in the first cache are read twice: for the 16 channels at even places
/// of a block of 32 and for those at odd ones.
///
/// The threads divide the blocks of channels, or where these cannot be divided evenly the images too; then what they have
/// summed is added at the end.
struct WindowGradientSchedule: Sendable {
  private let input, output: BlockedTensor
  private let taps, columns: Int
  /// How many blocks of channels are summed together, 32 channels or 16, and for each in how many parts the images are.
  private let blocks, imageParts: Int
  /// Whether there are two times 16 channels in a block, each every other one.
  private let isInterleaved: Bool
  private let calls: [Call]

  /// Some rows of the result, and some of the window.
  private struct Call: Sendable {
    /// For 16 channels, and for the others of a block of 32.
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
    blocks = isInterleaved ? output.blocks : output.with(element: .float32).blocks
    imageParts = blocks % workers.count == 0 ? 1 : min(output.images, workers.count)
    let limit = WindowGradientKernel.rowLimit(
      taps: g.kernelWidth, isOfFloats: !isRounded.input && !isRounded.output, library.target)
    // So few rows that they stay in the second cache, for windows that are not summed at once.
    let cache = isInterleaved ? 24 << 10 : library.target.secondCacheByteCount / 4
    let lineLimit = max(1, cache / (g.strideHeight * input.rowByteCount + output.rowByteCount))
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

  /// Bytes of the sums of 16 channels, and from those of some images to those of the next.
  private var sumsByteCount: Int { taps * BlockedTensor.pixelByteCount }
  private var partByteCount: Int { (isInterleaved ? 2 : 1) * sumsByteCount }

  /// The bytes it works in.
  var workspaceByteCount: Int { blocks * imageParts * partByteCount }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    workers.forEachRange(of: blocks * imageParts) { range, _ in
      for unit in range {
        let block = unit / imageParts, part = unit % imageParts
        let sums = workspace + unit * partByteCount
        memset(sums, 0, partByteCount)
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
            call.even(&arguments)
            if isInterleaved {
              arguments.sums += sumsByteCount
              call.odd(&arguments)
            }
          }
        }
      }
    }
    finish(workspace.assumingMemoryBound(to: Float.self), into: dWeight, workers: workers)
  }

  /// Where a block begins, in bytes: of 16 channels perhaps within one of the tensor's 32.
  private func place(of block: Int, in tensor: BlockedTensor) -> Int {
    if isInterleaved || tensor.element == .float32 { return block * tensor.blockByteCount }
    return block / 2 * tensor.blockByteCount + block % 2 * BlockedTensor.pixelByteCount / 2
  }

  /// Adds up the parts and writes them channel by channel.
  private func finish(
    _ sums: UnsafeMutablePointer<Float>, into dWeight: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let block = BlockedTensor.blockChannels
    workers.forEachRange(of: output.channels, grain: Workers.grainOfRows(channels: taps)) { range, _ in
      for channel in range {
        let (own, place) = channel.quotientAndRemainder(dividingBy: isInterleaved ? 2 * block : block)
        let lane = isInterleaved ? place % 2 * taps * block + place / 2 : place
        let source = sums + own * imageParts * partByteCount / 4 + lane
        for tap in 0..<taps {
          var sum: Float = 0
          for part in 0..<imageParts { sum += source[part * partByteCount / 4 + tap * block] }
          dWeight[channel * taps + tap] = sum
        }
      }
    }
  }
}
