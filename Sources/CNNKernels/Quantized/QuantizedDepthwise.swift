import CNNCore
import CNNRuntime

/// A convolution of bytes in which every channel has a filter of its own, by generated code, on an image in blocks of 64
/// channels. The integers are those of `QuantizedConvolution`.
public struct QuantizedDepthwise: Sendable {
  /// The sizes.
  public let geometry: ConvolutionGeometry
  /// The image and the result.
  public let input, output: BlockedTensor

  /// One, or one for each channel.
  private let zeroPoints: [UInt8]
  private let requantization: Requantization
  private let numbers: [Float]
  /// How many rows of results are computed by a call, and how many rows are read for them.
  private let resultRows, slots: Int
  private let target: CodeTarget
  /// The channels that calls compute: those of whole vectors, and of the last block as many as there are at least.
  private let units: [Unit]
  /// Some neighbouring columns, of whole vectors of channels and of the last ones.
  private let parts, lastParts: [Part]

  /// Channels that one call computes.
  private struct Unit: Sendable {
    let first, count: Int
    let isLast: Bool
  }

  private struct Part: Sendable {
    let key: DepthwiseByteKernel
    let kernel: GeneratedKernel
    /// The first column.
    let first: Int
    /// The columns of the image that are read, and how many beside it.
    let inside: Range<Int>
    let left, right: Int
  }

  /// The scratch memory of a call stays below, in bytes, so that it stays in the first cache.
  private static let scratchLimit = 20 << 10

  /// Why there is no code for a convolution, in a few words; nil where there is.
  public static func refusal(_ g: ConvolutionGeometry, _ requantization: Requantization) -> String? {
    guard g.groupInputChannels == 1, g.groupOutputChannels == 1 else {
      return "a channel has not just one filter of its own"
    }
    if requantization.levels == nil { return "its result is float" }
    if requantization.residual != nil { return "a residual is added" }
    guard g.kernelHeight <= 32, g.kernelWidth <= 16, g.kernelHeight * g.kernelWidth <= 128, g.strideWidth <= 16,
      g.dilationWidth <= 16
    else { return "its windows are too large" }
    return nil
  }

  /// How many cycles each of the workers will take, measured.
  public static func cycles(
    _ g: ConvolutionGeometry, _ requantization: Requantization, _ target: CodeTarget, workers: Workers
  ) -> Double {
    let rounding = requantization.pieces != nil ? 20.0 : requantization.function == nil ? 12.0 : 36.0
    let vectors = units(g, target).reduce(0.0) { $0 + ($1.count == 64 ? 1 : target.hasAVX512 ? 0.4 : 1) }
    let pixels = Double(g.batch * g.outputHeight * g.outputWidth) * vectors
    return pixels * (Rows(g, target).cyclesPerPixel + rounding) / Double(workers.count)
  }

  /// The channels in parts.
  private static func units(_ g: ConvolutionGeometry, _ target: CodeTarget) -> [Unit] {
    let size = 4 * target.lanes, smallest = 32
    return stride(from: 0, to: g.inputChannels, by: size).map { first in
      let isShort = size > smallest && g.inputChannels - first <= smallest
      return Unit(first: first, count: isShort ? smallest : size, isLast: isShort)
    }
  }

  /// How many rows of results are computed at a time.
  private struct Rows {
    let results, groups: Int
    let cyclesPerPixel: Double

    init(_ g: ConvolutionGeometry, _ target: CodeTarget) {
      let size = target.rowsOfBytes, hasProducts = target.hasByteProducts
      var best = (results: 1, groups: 0, cycles: Double.infinity)
      for results in 1...(g.dilationHeight == 1 ? max(1, min(4, g.outputHeight)) : 1) {
        let rows = (results - 1) * g.strideHeight + g.kernelHeight, groups = (rows + size - 1) / size
        // Putting bytes in turns waits for one unit, products are made by two.
        let turns = Double(groups * g.strideWidth) * (hasProducts ? 8 : 6) / Double(results)
        let cycles = turns + Double(groups * g.kernelWidth) * (hasProducts ? 2 : 4)
        if cycles < best.cycles { best = (results, groups, cycles) }
      }
      (self.results, groups, cyclesPerPixel) = best
    }
  }

  /// Plans a convolution.
  /// - Parameters:
  ///   - zeroPoints: the level around the image, one, or one for each channel.
  ///   - requantization: what becomes of the sums.
  ///   - library: where the kernels are collected.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    _ geometry: ConvolutionGeometry, zeroPoints: [UInt8], _ requantization: Requantization, library: KernelLibrary
  ) throws(CNNError) {
    if let reason = Self.refusal(geometry, requantization) {
      throw CNNError(.invalidArgument, "a depthwise convolution of bytes has no code: \(reason)")
    }
    let g = geometry
    (self.geometry, self.zeroPoints, self.requantization, target) = (g, zeroPoints, requantization, library.target)
    (input, output) = (g.blockedInput.with(element: .uint8), g.blockedOutput.with(element: .uint8))
    numbers = requantization.numbers(library.target)
    units = Self.units(g, library.target)
    let rows = Rows(g, library.target)
    (resultRows, slots) = (rows.results, rows.groups * library.target.rowsOfBytes)
    func parts(lanes: Int) -> [Part] {
      var key = DepthwiseByteKernel(
        target: library.target, lanes: lanes, taps: g.kernelWidth, dilation: g.dilationWidth, stride: g.strideWidth,
        groups: rows.groups, outputs: 1, hasZeroPoints: zeroPoints.count > 1,
        requantizing: Requantizing(requantization))
      let limit = Self.scratchLimit / (rows.groups * key.columnByteCount)
      let outputs = max(1, (limit - key.columns) / g.strideWidth + 1), count = (g.outputWidth + outputs - 1) / outputs
      return (0..<count).map { part in
        let first = g.outputWidth * part / count
        key.outputs = g.outputWidth * (part + 1) / count - first
        let start = first * g.strideWidth - g.padLeft, end = start + key.columns
        let inside = min(max(start, 0), g.inputWidth)..<max(min(end, g.inputWidth), min(max(start, 0), g.inputWidth))
        let left = min(max(0, -start), key.columns)
        return Part(
          key: key, kernel: library.kernel(key, name: key.name) { [key] in key.code() }, first: first, inside: inside,
          left: left, right: key.columns - left - inside.count)
      }
    }
    self.parts = units.contains { !$0.isLast } ? parts(lanes: library.target.lanes) : []
    lastParts = units.contains(where: \.isLast) ? parts(lanes: library.target.lanes / 2) : []
  }

  /// Bytes of the memory of one worker, which ends with where the rows are, and of a row of zero points that all read.
  private var scratchByteCount: Int { rowsByteOffset + (slots * 8 + 63) / 64 * 64 }
  private var rowsByteOffset: Int { (parts + lastParts).reduce(0) { max($0, $1.key.groups * $1.key.groupByteCount) } }
  private var borderByteCount: Int {
    (parts + lastParts).reduce(0) { max($0, $1.key.columns) } * BlockedTensor.pixelByteCount
  }
  /// One row for all channels, or one for those of each block.
  private var bordersByteCount: Int { zeroPoints.count > 1 ? input.blocks * borderByteCount : borderByteCount }
  /// The bytes it works in.
  public func workspaceByteCount(_ workers: Workers) -> Int { bordersByteCount + workers.count * scratchByteCount }

  /// How many numbers the sums and the multipliers are: those of whole blocks.
  public var channelCount: Int { input.blocks * 64 }

  /// Bytes of the weights of a channel.
  private var channelByteCount: Int { resultRows * slots / target.rowsOfBytes * geometry.kernelWidth * 4 }
  /// The bytes of the packed filter.
  public var filterCount: Int { channelCount * channelByteCount }

  /// The channel whose numbers stand at each place, of whole blocks.
  private var channelOrder: [Int] {
    var order = Array(0..<channelCount)
    for unit in units {
      let own = DepthwiseByteKernel.channelOrder(lanes: unit.count / 4)
      for (index, channel) in own.enumerated() { order[unit.first + index] = unit.first + channel }
    }
    return order
  }

  /// Puts a number for each channel in the order of the kernel.
  public func order<Number>(_ numbers: [Number]) -> [Number] { channelOrder.map { numbers[$0] } }

  /// The same in place, of `channelCount` numbers.
  public func order<Number>(_ numbers: UnsafeMutablePointer<Number>) {
    let ordered = order(Array(UnsafeBufferPointer(start: numbers, count: channelCount)))
    for (index, number) in ordered.enumerated() { numbers[index] = number }
  }

  /// What the sums are multiplied by and the other numbers of each channel, as `Requantization.multipliers` says, of vectors
  /// in the order of the kernel.
  public func multipliers(_ weight: WeightLevels) -> [Float] {
    let size = requantization.numbersPerChannel, order = channelOrder
    let numbers = requantization.multipliers(
      weight, outputs: geometry.outputChannels, lanes: channelCount, vector: 1)
    var multipliers: [Float] = []
    for unit in units {
      let lanes = unit.count / 4
      for first in stride(from: unit.first, to: unit.first + unit.count, by: lanes) {
        for number in 0..<size { multipliers += order[first..<first + lanes].map { numbers[$0 * size + number] } }
      }
    }
    return multipliers
  }

  /// Packs a weight `[channels, 1, height, width]` as levels.
  public func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    let g = geometry, size = target.rowsOfBytes, isWide = size == 2, order = channelOrder
    packed.update(repeating: 0, count: filterCount)
    workers.forEachRange(of: units.count) { range, _ in
      for unit in units[range] {
        let columnByteCount = unit.count * 4, resultByteCount = slots / size * g.kernelWidth * columnByteCount
        for own in 0..<unit.count where order[unit.first + own] < g.inputChannels {
          let channel = order[unit.first + own], base = packed + unit.first * channelByteCount + own * 4
          let weight = weight + channel * g.kernelHeight * g.kernelWidth, scale = levels.scale(channel)
          for result in 0..<resultRows {
            for row in 0..<g.kernelHeight {
              let slot = row + result * g.strideHeight
              for column in 0..<g.kernelWidth {
                let level = levels.rounded(weight[row * g.kernelWidth + column] / scale)
                let place =
                  base + result * resultByteCount + (slot / size * g.kernelWidth + column) * columnByteCount
                  + slot % size * (isWide ? 2 : 1)
                place.pointee = level
                if isWide { place[1] = level >> 7 }
              }
            }
          }
        }
      }
    }
  }

  /// Computes the convolution.
  /// - Parameters:
  ///   - filter: as `pack` makes it.
  ///   - sums: what each channel's sum begins with, in the order of the kernel.
  ///   - multipliers: as `multipliers(_:)` gives them.
  ///   - workspace: `workspaceByteCount` bytes.
  public func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Int8>, sums: UnsafePointer<Int32>, multipliers: [Float],
    into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    fillBorders(workspace.assumingMemoryBound(to: UInt8.self))
    multipliers.withUnsafeBytes { multipliers in
      numbers.withUnsafeBytes { numbers in
        guard let multipliers = multipliers.baseAddress, let numbers = numbers.baseAddress else { return }
        let height = geometry.outputHeight, bands = (height + resultRows - 1) / resultRows
        workers.forEachRange(ofLines: input.images * bands, inEachOf: units.count) { unit, lines, worker in
          let scratch = workspace + bordersByteCount + worker * scratchByteCount
          let rows = (scratch + rowsByteOffset).bindMemory(to: UnsafeRawPointer.self, capacity: slots)
          let arguments = DepthwiseByteArguments(
            rows: rows, filter: filter, sums: sums, multipliers: multipliers, numbers: numbers, output: y,
            scratch: scratch, resultRows: 0, resultRowByteCount: output.rowByteCount, left: 0, inside: 0, right: 0,
            zeroPoints: UInt32(zeroPoints.first ?? 0) * 0x0101_0101,
            minima: UInt32(requantization.levels?.minimum ?? 0) * 0x0101_0101, border: workspace)
          let unit = units[unit], block = unit.first / 64
          for line in lines {
            let image = line / bands
            run(
              line % bands, unit, x + input.byteOffset(image: image, block: block),
              y + output.byteOffset(image: image, block: block),
              border: workspace + (zeroPoints.count > 1 ? block * borderByteCount + unit.first % 64 : 0), rows: rows,
              arguments)
          }
        }
      }
    }
  }

  /// Writes the rows that lie around the image.
  private func fillBorders(_ borders: UnsafeMutablePointer<UInt8>) {
    guard zeroPoints.count > 1 else {
      return borders.update(repeating: zeroPoints.first ?? 0, count: borderByteCount)
    }
    let pixel = BlockedTensor.pixelByteCount
    for block in 0..<input.blocks {
      let row = borders + block * borderByteCount, channels = zeroPoints.dropFirst(block * pixel).prefix(pixel)
      row.update(repeating: 0, count: pixel)
      for (lane, zeroPoint) in channels.enumerated() { row[lane] = zeroPoint }
      for place in stride(from: pixel, to: borderByteCount, by: pixel) { (row + place).update(from: row, count: pixel) }
    }
  }

  /// Computes some rows of an image of a block.
  private func run(
    _ band: Int, _ unit: Unit, _ x: UnsafeRawPointer, _ y: UnsafeMutableRawPointer, border: UnsafeRawPointer,
    rows: UnsafeMutablePointer<UnsafeRawPointer>, _ arguments: DepthwiseByteArguments
  ) {
    let g = geometry, first = band * resultRows, pixel = BlockedTensor.pixelByteCount, offset = unit.first % 64
    var own = arguments
    own.resultRows = min(resultRows, g.outputHeight - first)
    own.filter += unit.first * channelByteCount
    own.sums += unit.first * 4
    own.multipliers += unit.first * 4 * requantization.numbersPerChannel
    own.border = border
    for part in unit.isLast ? lastParts : parts {
      for slot in 0..<slots {
        let row = first * g.strideHeight - g.padTop + slot * g.dilationHeight
        rows[slot] =
          (0..<g.inputHeight).contains(row)
          ? x + (row * input.rowByteCount + part.inside.lowerBound * pixel + offset) : border
      }
      own.output = y + (first * output.rowByteCount + part.first * pixel + offset)
      (own.left, own.inside, own.right) = (part.left, part.inside.count, part.right)
      part.kernel(&own)
    }
  }
}
