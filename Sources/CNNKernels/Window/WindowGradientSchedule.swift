import CNNCore
import CNNRuntime
import Glibc

/// The gradient of a depthwise convolution's filter: one call of a kernel for rows of the result whose windows have the
/// same rows inside the image.
///
/// The threads divide the blocks of channels, or where these cannot be divided evenly the images too; then what they have
/// summed is added at the end.
struct WindowGradientSchedule: Sendable {
  private let input, output: BlockedTensor
  private let taps, columns: Int
  /// For each block of channels in how many parts the images are.
  private let imageParts: Int
  private let calls: [Call]

  /// Some rows of the result, and some of the window.
  private struct Call: Sendable {
    let kernel: GeneratedKernel
    let firstLine, lines: Int
    let firstInputRow, firstWindowRow: Int
  }

  init(
    _ g: ConvolutionGeometry, input: BlockedTensor, output: BlockedTensor, workers: Workers, library: KernelLibrary
  ) {
    (self.input, self.output, taps, columns) = (input, output, g.kernelHeight * g.kernelWidth, g.kernelWidth)
    let isEven = output.blocks % workers.count == 0
    imageParts = isEven ? 1 : min(output.images, workers.count)
    let limit = WindowGradientKernel.rowLimit(taps: g.kernelWidth, library.target)
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
        let kernel = WindowGradientKernel(
          target: library.target, rows: count, taps: g.kernelWidth, dilation: g.dilationWidth, stride: g.strideWidth,
          padding: g.padLeft, inputWidth: g.inputWidth, outputWidth: g.outputWidth,
          rowStride: g.dilationHeight * input.rowByteCount, lineStride: g.strideHeight * input.rowByteCount)
        calls.append(
          Call(
            kernel: library.kernel(kernel, name: kernel.name) { kernel.code() }, firstLine: line, lines: lines,
            firstInputRow: line * g.strideHeight + first * g.dilationHeight - g.padTop, firstWindowRow: first))
        first += count
      }
      line += lines
    }
    self.calls = calls
  }

  private var sumsByteCount: Int { taps * BlockedTensor.pixelByteCount }

  /// The bytes it works in.
  var workspaceByteCount: Int { output.blocks * imageParts * sumsByteCount }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    workers.forEachRange(of: output.blocks * imageParts) { range, _ in
      for unit in range {
        let block = unit / imageParts, part = unit % imageParts
        let sums = workspace + unit * sumsByteCount
        memset(sums, 0, sumsByteCount)
        for image in output.images * part / imageParts..<output.images * (part + 1) / imageParts {
          let image = (
            x: x + block * input.blockByteCount + image * input.imageByteCount,
            dy: dy + block * output.blockByteCount + image * output.imageByteCount
          )
          for call in calls {
            var arguments = WindowGradientArguments(
              input: image.x + call.firstInputRow * input.rowByteCount,
              gradient: image.dy + call.firstLine * output.rowByteCount,
              sums: sums + call.firstWindowRow * columns * BlockedTensor.pixelByteCount, lines: call.lines)
            call.kernel(&arguments)
          }
        }
      }
    }
    finish(workspace.assumingMemoryBound(to: Float.self), into: dWeight, workers: workers)
  }

  /// Adds up the parts and writes them channel by channel.
  private func finish(
    _ sums: UnsafeMutablePointer<Float>, into dWeight: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let block = BlockedTensor.blockChannels
    workers.forEachRange(of: output.channels, grain: Workers.grainOfRows(channels: taps)) { range, _ in
      for channel in range {
        let source = sums + channel / block * imageParts * taps * block + channel % block
        for tap in 0..<taps {
          var sum: Float = 0
          for part in 0..<imageParts { sum += source[(part * taps + tap) * block] }
          dWeight[channel * taps + tap] = sum
        }
      }
    }
  }
}
