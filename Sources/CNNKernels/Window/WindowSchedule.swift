import CNNCore
import CNNRuntime

/// A depthwise convolution or a pooling over a whole tensor: one call of a kernel for each row of each block of channels.
/// Image and result may be bfloat16, each by itself; then a block has 32 channels of both.
struct WindowSchedule: Sendable {
  private let kernels: BlockKernels
  /// Blocks of channels, the channels of one, and in which order a kernel holds them.
  let blocks: Int
  private let blockChannels: Int
  private let channelOrder: [Int]
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

  /// Why images are not read or written in bfloat16; nil where they are.
  static func refusal(_ input: BlockedTensor, _ output: BlockedTensor, _ target: CodeTarget) -> String? {
    [.float32, .uint8].contains { element in [input, output].allSatisfy { $0.element == element } }
      || BFloat16Reorder.isPossible(on: target)
      ? nil : "\(target.instructionSet) has no instructions on bfloat16"
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
    var key = WindowKernel(
      target: library.target, combination: combination, taps: taps[1], dilation: dilation[1], stride: stride[1],
      padding: padding.left, inputWidth: input.width, outputWidth: places.width,
      outputStep: places.pixelByteCount, rowStride: dilation[0] * input.rowByteCount,
      input: input.element, output: places.tensor.element, epilogue: epilogue, accumulatesSum: accumulatesSum)
    (blockChannels, channelOrder) = (key.blockChannels, key.channelOrder)
    blocks = (input.channels + key.blockChannels - 1) / key.blockChannels
    func kernel(channels: Int) -> GeneratedKernel {
      key.channels = channels
      return library.kernel(key, name: key.name) { [key] in key.code() }
    }
    let whole = kernel(channels: key.blockChannels)
    // Of float32 all 16 lanes are computed, whatever they mean.
    kernels = BlockKernels(
      whole: whole,
      last: key.hasBFloat16 ? kernel(channels: (input.channels - 1) % key.blockChannels + 1) : whole)
    rows = (0..<places.height).map { row in
      let start = row * stride[0] - padding.top
      let inside = (0..<taps[0]).filter { (0..<input.height).contains(start + $0 * dilation[0]) }
      let first = inside.first ?? 0
      let counted = if case .average(countsPadding: true) = combination { taps[0] } else { max(1, inside.count) }
      return Row(
        input: start + first * dilation[0], tap: first, count: inside.count, factor: 1 / Float(counted))
    }
  }

  private var mean: BlockedTensor { output.onePixel.with(element: .float32) }
  /// Blocks of 16 channels of float32 in one of those that are computed at a time.
  private var floatBlocks: Int { blockChannels / BlockedTensor.blockChannels }

  /// Bytes from an image's first one to that of one image of a block of channels, and from 16 of its channels to the next.
  private func place(_ tensor: BlockedTensor, image: Int, block: Int) -> (offset: Int, distance: Int) {
    let own = block * blockChannels / tensor.channelsPerBlock
    return (tensor.byteOffset(image: image, block: own), tensor.blockByteCount)
  }

  /// The number of floats of a packed filter.
  var filterCount: Int { blocks * taps[0] * taps[1] * blockChannels }

  /// Packs `weight` `[channels, 1, height, width]`, or in the filter's order: block by block, tap by tap, the channels in the
  /// order of the kernel.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>
  ) {
    let count = taps[0] * taps[1], order = filterOrder
    for block in 0..<blocks {
      for tap in 0..<count {
        for (lane, own) in channelOrder.enumerated() {
          let channel = block * blockChannels + own
          packed[(block * count + tap) * blockChannels + lane] =
            channel < output.channels
            ? weight[channel * order.laneStride + order.tapOffsets[tap]] * (scale.map { $0[channel] } ?? 1) : 0
        }
      }
    }
  }

  /// Where sums over the pixels of images are: 16 in each block of a tensor of one pixel for each of them.
  struct Sums {
    let base: UnsafeMutablePointer<Float>
    let tensor: BlockedTensor

    func place(image: Int, block: Int) -> UnsafeMutablePointer<Float> {
      base + tensor.byteOffset(image: image, block: block) / 4
    }
  }

  /// In how many bands of rows a block of an image is divided, so that the workers have equal parts.
  private func bands(_ workers: Workers) -> Int {
    let units = blocks * input.images
    return units % workers.count == 0 || units >= 8 * workers.count ? 1 : min(workers.count, rows.count)
  }

  /// The sums of bands: those of an image one after the other.
  private func sums(ofBands bands: Int) -> BlockedTensor {
    BlockedTensor(images: input.images * bands, height: 1, width: 1, channels: input.channels)
  }

  /// The bytes it works in: the sums of several bands.
  func workspaceByteCount(_ workers: Workers) -> Int {
    let bands = bands(workers)
    return accumulatesSum && bands > 1 ? sums(ofBands: bands).byteCount : 0
  }

  /// Computes all of it.
  /// - Parameters:
  ///   - mean: an image of one pixel for each image: the mean over the pixels of the result.
  ///   - workspace: `workspaceByteCount` bytes, where it sums.
  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>?, bias: UnsafePointer<Float>?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer? = nil,
    workers: Workers
  ) {
    let bands = bands(workers)
    let sums = mean.map { mean in
      let ofBands = bands > 1 ? workspace?.assumingMemoryBound(to: Float.self) : nil
      return Sums(base: ofBands ?? mean, tensor: self.sums(ofBands: bands))
    }
    workers.forEachRange(of: blocks * output.images * bands) { range, _ in
      for unit in range {
        let band = unit % bands, image = unit / bands % output.images, block = unit / bands / output.images
        let ownSums = image * bands + band
        if let sums { clear(sums, image: ownSums, blocks: block..<block + 1) }
        if band == 0, output.border != .none {
          BlockedCopies.clearBorder(y + place(output, image: image, block: block).offset, of: output)
        }
        run(
          rows: rows.count * band / bands..<rows.count * (band + 1) / bands, of: image, block,
          hidden: x + place(input, image: image, block: block).offset, firstRow: 0, filter: filter, bias: bias, into: y,
          sums: sums.map { ($0, ownSums) })
      }
    }
    guard let mean, let sums else { return }
    for image in 0..<output.images { average(sums, bands: bands, into: mean, image: image, blocks: 0..<blocks) }
  }

  /// Computes some rows of one block of one image, whose rows from `firstRow` on are at `hidden`. Their results are added to
  /// the sums of one of the images of `sums`.
  func run(
    rows range: Range<Int>, of image: Int, _ block: Int, hidden: UnsafeRawPointer, firstRow: Int,
    filter: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, into y: UnsafeMutableRawPointer,
    sums: (sums: Sums, image: Int)?
  ) {
    let place = place(output, image: image, block: block)
    let result = y + places.originByteOffset + place.offset
    let blockFilter = filter.map { UnsafeRawPointer($0 + block * taps[0] * taps[1] * blockChannels) } ?? hidden
    let blockBias = bias.map { UnsafeRawPointer($0 + block * blockChannels) } ?? blockFilter
    let blockSums =
      sums.map { UnsafeMutableRawPointer($0.sums.place(image: $0.image, block: block * floatBlocks)) } ?? result
    let isLast = block == blocks - 1
    let blockDistance = output.element == .float32 ? place.distance : input.blockByteCount
    let sumsDistance = sums?.sums.tensor.blockByteCount ?? 0
    for index in range {
      let row = rows[index]
      var arguments = WindowArguments(
        input: hidden + (row.input - firstRow) * input.rowByteCount,
        filter: blockFilter + row.tap * taps[1] * blockChannels * 4, bias: blockBias,
        output: result + index * places.rowByteCount, sums: blockSums, rows: row.count, factor: row.factor,
        blockDistance: blockDistance, sumsDistance: sumsDistance)
      kernels(isLast: isLast, &arguments)
    }
  }

  /// The means in memory as sums.
  func sums(in mean: UnsafeMutablePointer<Float>) -> Sums { Sums(base: mean, tensor: self.mean) }

  /// The blocks of 16 channels in some blocks of channels.
  private func floatBlocks(_ blocks: Range<Int>) -> Range<Int> {
    blocks.lowerBound * floatBlocks..<min(blocks.upperBound * floatBlocks, mean.blocks)
  }

  /// Begins the sums over pixels.
  func clear(_ sums: Sums, image: Int, blocks: Range<Int>) {
    for block in floatBlocks(blocks) { sums.place(image: image, block: block).update(repeating: 0, count: 16) }
  }

  /// Makes the means of an image of the sums of its bands, which may be in their place.
  func average(_ sums: Sums, bands: Int, into mean: UnsafeMutablePointer<Float>, image: Int, blocks: Range<Int>) {
    let factor = 1 / Float(output.height * output.width), means = self.sums(in: mean)
    for block in floatBlocks(blocks) {
      var sum = SIMD16<Float>.load(sums.place(image: image * bands, block: block))
      for band in 1..<bands {
        sum += SIMD16<Float>.load(sums.place(image: image * bands + band, block: block))
      }
      (sum * factor).store(means.place(image: image, block: block))
    }
  }
}
