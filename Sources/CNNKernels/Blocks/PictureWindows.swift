import CNNCore
import CNNRuntime

/// The windows of a convolution over a picture's few channels, as an image of bfloat16 whose channels are what a window's
/// row holds: so the tiles' depth is filled by 21 numbers of a ResNet's first layer and not by 3.
///
/// Where all rows of a window fit into a block of 32 channels, as the 27 numbers of 3 x 3 over 3 channels, they are one
/// pixel of it, and the convolution becomes a pointwise one; else it keeps the filter's rows.
struct PictureWindows: Sendable {
  /// The convolution of the windows.
  let geometry: ConvolutionGeometry
  /// The windows.
  let tensor: BlockedTensor
  private let original: ConvolutionGeometry
  private let picture: ImageInput
  /// The places of each row of a window among the numbers of a pixel, four in a word.
  private let places: [SIMD8<UInt64>]
  /// How many rows of the picture are side by side, and from one row of windows to the next.
  private let rows, rowStep: Int
  /// What each pixel of each channel becomes, where pictures are made of pixels.
  private let table: [BFloat16]
  /// Rounds 32 numbers at a time, where they are no pixels.
  private let rounding: GeneratedKernel?

  /// Why there are no windows for a convolution; nil where there are.
  static func refusal(_ g: ConvolutionGeometry) -> String? {
    if g.groups > 1 { return "the channels of a picture are in \(g.groups) groups" }
    if g.dilationHeight > 1 || g.dilationWidth > 1 {
      return "the dilation is \(g.dilationHeight)x\(g.dilationWidth); windows of pictures need 1x1"
    }
    return g.kernelWidth * g.inputChannels > TileFilter.blockChannels(.bfloat16)
      ? "a row of the window holds \(g.kernelWidth * g.inputChannels) numbers, more than a block" : nil
  }

  /// Where there is a refusal it is thrown, as `.invalidArgument`.
  init(_ g: ConvolutionGeometry, _ element: ImageInput.Element, library: KernelLibrary) throws(CNNError) {
    if let refusal = Self.refusal(g) { throw CNNError(.invalidArgument, refusal) }
    (original, picture) = (g, ImageInput(element, g))
    table =
      if case .pixel(let mean, let deviation) = element {
        zip(mean, deviation).flatMap { mean, deviation in (0..<256).map { BFloat16((Float($0) - mean) / deviation) } }
      } else { [] }
    let kernel = BFloat16ReorderKernel(
      target: library.target, direction: .rounding, channels: Self.chunk, rowChannels: Self.chunk)
    rounding = picture.isReadInPlace ? library.kernel(kernel, name: kernel.name) { kernel.code() } : nil
    rows = Self.rows(g)
    rowStep = Self.isWhole(g) ? g.strideHeight : 1
    geometry = try Self.geometry(of: g)
    tensor = geometry.blockedInput.with(element: .bfloat16)
    let width = g.kernelWidth * g.inputChannels
    places = (0..<rows).map { row in
      var places = SIMD8<UInt64>()
      for lane in row * width..<(row + 1) * width { places[lane / 4] |= 0xFFFF << UInt64(lane % 4 * 16) }
      return places
    }
  }

  /// Whether all rows of a window fit into a block.
  private static func isWhole(_ g: ConvolutionGeometry) -> Bool {
    g.taps * g.inputChannels <= TileFilter.blockChannels(.bfloat16)
  }

  /// How many rows of the picture are side by side.
  private static func rows(_ g: ConvolutionGeometry) -> Int { isWhole(g) ? g.kernelHeight : 1 }

  /// The convolution of the windows of another one's picture.
  static func geometry(of g: ConvolutionGeometry) throws(CNNError) -> ConvolutionGeometry {
    let isWhole = isWhole(g)
    return try ConvolutionGeometry(
      batch: g.batch, inputHeight: isWhole ? g.outputHeight : g.padTop + g.inputHeight + g.padBottom,
      inputWidth: g.outputWidth, inputChannels: rows(g) * g.kernelWidth * g.inputChannels,
      outputChannels: g.outputChannels, kernelHeight: isWhole ? 1 : g.kernelHeight, kernelWidth: 1,
      strideHeight: isWhole ? 1 : g.strideHeight)
  }

  /// How many cycles of one worker putting together the windows of `geometry` takes, measured. Reading the picture, which all
  /// algorithms do, is not among them.
  static func cycles(_ g: ConvolutionGeometry, _ geometry: ConvolutionGeometry) -> Double {
    Double((8 + 11 * rows(g)) * geometry.blockedInput.pixels)
  }

  /// The filter `[output, row and column and channel, taps, 1]` of `weight` `[output, channels, height, width]`.
  func filter(_ weight: UnsafePointer<Float>) -> [Float] {
    let g = original, taps = geometry.kernelHeight
    var result = [Float](repeating: 0, count: g.outputChannels * g.taps * g.inputChannels)
    for output in 0..<g.outputChannels {
      for channel in 0..<g.inputChannels {
        for row in 0..<g.kernelHeight {
          for column in 0..<g.kernelWidth {
            let lane = ((rows > 1 ? row * g.kernelWidth : 0) + column) * g.inputChannels + channel
            let place = (output * geometry.inputChannels + lane) * taps + (taps > 1 ? row : 0)
            result[place] =
              weight[((output * g.inputChannels + channel) * g.kernelHeight + row) * g.kernelWidth + column]
          }
        }
      }
    }
    return result
  }

  /// The numbers of a row of the picture with its border, and of as much on either side as a pixel of windows reads.
  private var lineCount: Int {
    let row = (original.padLeft + original.inputWidth + original.padRight) * original.inputChannels
    return (2 * Self.margin + row + 31) / 32 * 32
  }
  private static let margin = TileFilter.blockChannels(.bfloat16)
  /// For each thread the rows of the windows of a line.
  private var scratchByteCount: Int { rows * lineCount * 2 }

  /// The bytes of the windows, and of what each thread works in.
  func byteCount(threads: Int) -> Int { tensor.byteCount + threads * scratchByteCount }

  /// Writes the windows of NHWC images, and works behind them.
  func write(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    workers.forEachRange(of: tensor.images * tensor.height, grain: 4) { range, worker in
      let rounded = (y + tensor.byteCount + worker * scratchByteCount).assumingMemoryBound(to: BFloat16.self)
      rounded.update(repeating: BFloat16(bitPattern: 0), count: rows * lineCount)
      var (image, next) = (-1, 0)
      for line in range {
        let top = line % tensor.height * rowStep - original.padTop
        if image != line / tensor.height { (image, next) = (line / tensor.height, top) }
        // Rows that the line before had too are there, each in the place of its number.
        for row in max(top, next)..<top + rows { round(image, row, of: x, into: rounded + place(row) * lineCount) }
        next = top + rows
        writeLine(rounded, top, into: y + line * tensor.rowByteCount)
      }
    }
  }

  private func place(_ row: Int) -> Int { (row + original.padTop) % rows }

  /// Rounds a row of the picture, which may lie above or below it, between the border's columns.
  private func round(
    _ image: Int, _ row: Int, of x: UnsafeRawPointer, into line: UnsafeMutablePointer<BFloat16>
  ) {
    let channels = original.inputChannels, count = picture.rowCount
    let target = line + Self.margin + original.padLeft * channels
    guard (0..<picture.height).contains(row) else {
      return target.update(repeating: BFloat16(bitPattern: 0), count: count)
    }
    let start = (image * picture.height + row) * count
    if picture.isReadInPlace {
      return round(x.assumingMemoryBound(to: Float.self) + start, count, into: target)
    }
    let source = x.assumingMemoryBound(to: UInt8.self) + start
    table.withUnsafeBufferPointer { table in
      guard let table = table.baseAddress else { return }
      for channel in 0..<channels {
        let values = table + 256 * channel
        var index = channel
        while index < count {
          target[index] = values[Int(source[index])]
          index &+= channels
        }
      }
    }
  }

  private static let chunk = TileFilter.blockChannels(.bfloat16)

  /// Rounds numbers side by side.
  private func round(_ x: UnsafePointer<Float>, _ count: Int, into y: UnsafeMutablePointer<BFloat16>) {
    let chunks = rounding == nil ? 0 : count / Self.chunk, done = chunks * Self.chunk
    if let rounding, chunks > 0 {
      var arguments = BFloat16ReorderKernel.Arguments(
        source: x, target: y, blockByteCount: BlockedTensor.pixelByteCount, pixels: chunks)
      rounding(&arguments)
    }
    BFloat16.convert(
      UnsafeBufferPointer(start: x + done, count: count - done),
      to: UnsafeMutableBufferPointer(start: y + done, count: count - done))
  }

  /// Writes the windows of a line: zeros where they hold no number.
  private func writeLine(_ rounded: UnsafePointer<BFloat16>, _ top: Int, into y: UnsafeMutableRawPointer) {
    let width = original.kernelWidth * original.inputChannels, step = original.strideWidth * original.inputChannels
    withUnsafeTemporaryAllocation(of: UnsafePointer<BFloat16>.self, capacity: rows) { lines in
      // From so far before the window that its numbers come to their places: one row is behind the other.
      for row in 0..<rows {
        lines.initializeElement(
          at: row, to: rounded + place(top + row) * lineCount + Self.margin - row * width)
      }
      places.withUnsafeBufferPointer { places in
        for column in 0..<tensor.width {
          var pixel = SIMD8<UInt64>()
          for row in 0..<rows {
            let window = UnsafeRawPointer(lines[row] + column * step)
            pixel |= window.loadUnaligned(as: SIMD8<UInt64>.self) & places[row]
          }
          (y + column * BlockedTensor.pixelByteCount).storeBytes(of: pixel, as: SIMD8<UInt64>.self)
        }
      }
    }
  }
}
