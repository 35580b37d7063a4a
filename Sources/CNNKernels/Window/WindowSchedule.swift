import CNNCore
import CNNRuntime

/// A depthwise convolution or a pooling over a whole tensor: one call of a kernel for each row of each block of channels.
struct WindowSchedule: Sendable {
  private let kernel: GeneratedKernel
  private let input: BlockedTensor
  private let places: PixelGrid
  private var output: BlockedTensor { places.tensor }
  /// For each output row: the first row of the input and of the window that is inside the image, and how many are.
  private let rows: [Row]
  private let taps: [Int]
  private let accumulatesSum: Bool
  private let filterOrder: FilterOrder

  private struct Row: Sendable {
    let input, tap, count: Int
    let factor: Float
  }

  /// Whether a window is of a size for which a row's code stays short: what of it lies inside the image is worked out pixel
  /// by pixel.
  static func isPossible(width: Int, stride: Int, dilation: Int, outputWidth: Int) -> Bool {
    width <= 9 && stride <= 64 && dilation <= 64 && outputWidth <= 1 << 14
  }

  /// Whether every window holds at least one row of the image: the others have no kernel.
  static func isPossible(
    height: Int, stride: Int, dilation: Int, padding: Int, inputHeight: Int, outputHeight: Int
  ) -> Bool {
    (0..<outputHeight).allSatisfy { row in
      (0..<height).contains { (0..<inputHeight).contains(row * stride - padding + $0 * dilation) }
    }
  }

  /// Plans the windows of `kernel`, `stride` and `dilation` on `input`, which has no border but `padding` around it.
  /// - Parameters:
  ///   - places: the pixels that are computed.
  ///   - accumulatesSum: whether the results are summed over the pixels of each image too.
  init(
    _ combination: WindowKernel.Combination, _ input: BlockedTensor, kernel taps: [Int], stride: [Int],
    dilation: [Int], padding: BlockedTensor.Border, output places: PixelGrid, filterOrder: FilterOrder? = nil,
    epilogue: Epilogue = Epilogue(), accumulatesSum: Bool = false, library: KernelLibrary
  ) {
    (self.input, self.places, self.taps, self.accumulatesSum) = (input, places, taps, accumulatesSum)
    self.filterOrder = filterOrder ?? .forward(inputs: 1, taps: taps[0] * taps[1])
    let key = WindowKernel(
      target: library.target, combination: combination, taps: taps[1], dilation: dilation[1], stride: stride[1],
      padding: padding.left, inputWidth: input.width, outputWidth: places.width,
      outputStep: places.pixelByteCount, rowStride: dilation[0] * input.rowByteCount, epilogue: epilogue,
      accumulatesSum: accumulatesSum)
    kernel = library.kernel(key, name: key.name) { key.code() }
    rows = (0..<places.height).map { row in
      let start = row * stride[0] - padding.top
      let inside = (0..<taps[0]).filter { (0..<input.height).contains(start + $0 * dilation[0]) }
      let first = inside.first ?? 0
      let counted = if case .average(countsPadding: true) = combination { taps[0] } else { max(1, inside.count) }
      return Row(
        input: start + first * dilation[0], tap: first, count: inside.count, factor: 1 / Float(counted))
    }
  }

  private var mean: BlockedTensor { output.onePixel }

  /// The number of floats of a packed filter.
  var filterCount: Int { output.blocks * taps[0] * taps[1] * BlockedTensor.blockChannels }

  /// Packs `weight` `[channels, 1, height, width]`, or in the filter's order: block by block, tap by tap, 16 channels.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>
  ) {
    let count = taps[0] * taps[1], order = filterOrder
    for channel in 0..<output.blocks * 16 {
      for tap in 0..<count {
        packed[(channel / 16 * count + tap) * 16 + channel % 16] =
          channel < output.channels
          ? weight[channel * order.laneStride + order.tapOffsets[tap]] * (scale.map { $0[channel] } ?? 1) : 0
      }
    }
  }

  /// Computes all of it.
  /// - Parameter mean: an image of one pixel for each image: the mean over the pixels of the result.
  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>?, bias: UnsafePointer<Float>?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workers: Workers
  ) {
    // With few channels the rows are divided too, unless their results are summed in one place.
    let bands = accumulatesSum || input.blocks * input.images >= 2 * workers.count ? 1 : min(workers.count, rows.count)
    workers.forEachRange(of: output.blocks * output.images * bands) { range, _ in
      for unit in range {
        let band = unit % bands, image = unit / bands % output.images, block = unit / bands / output.images
        if let mean { clearSums(mean, image: image, blocks: block..<block + 1) }
        run(
          rows: rows.count * band / bands..<rows.count * (band + 1) / bands, of: image, block,
          hidden: x + block * input.blockByteCount + image * input.imageByteCount, firstRow: 0, filter: filter,
          bias: bias, into: y, sums: mean)
        if let mean { averageSums(mean, image: image, blocks: block..<block + 1) }
      }
    }
  }

  /// Computes some rows of one block of one image, whose rows from `firstRow` on are at `hidden`.
  func run(
    rows range: Range<Int>, of image: Int, _ block: Int, hidden: UnsafeRawPointer, firstRow: Int,
    filter: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, into y: UnsafeMutableRawPointer,
    sums: UnsafeMutablePointer<Float>?
  ) {
    let result = y + places.originByteOffset + block * output.blockByteCount + image * output.imageByteCount
    let blockFilter = filter.map { UnsafeRawPointer($0 + block * taps[0] * taps[1] * 16) } ?? hidden
    let blockBias = bias.map { UnsafeRawPointer($0 + block * 16) } ?? blockFilter
    let blockSums = sums.map { UnsafeMutableRawPointer(self.sums($0, image: image, block: block)) } ?? result
    for index in range {
      let row = rows[index]
      var arguments = WindowArguments(
        input: hidden + (row.input - firstRow) * input.rowByteCount, filter: blockFilter + row.tap * taps[1] * 64,
        bias: blockBias, output: result + index * places.rowByteCount, sums: blockSums, rows: row.count,
        factor: row.factor)
      kernel(&arguments)
    }
  }

  /// Where the sums of one block of one image are.
  private func sums(_ mean: UnsafeMutablePointer<Float>, image: Int, block: Int) -> UnsafeMutablePointer<Float> {
    mean + (block * self.mean.blockByteCount + image * self.mean.imageByteCount) / 4
  }

  /// Begins the sums over pixels.
  func clearSums(_ mean: UnsafeMutablePointer<Float>, image: Int, blocks: Range<Int>) {
    for block in blocks { sums(mean, image: image, block: block).update(repeating: 0, count: 16) }
  }

  /// Makes means of the sums.
  func averageSums(_ mean: UnsafeMutablePointer<Float>, image: Int, blocks: Range<Int>) {
    let factor = 1 / Float(output.height * output.width)
    for block in blocks {
      let sums = sums(mean, image: image, block: block)
      (SIMD16<Float>.load(sums) * factor).store(sums)
    }
  }
}
