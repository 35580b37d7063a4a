/// A convolution as a sum of matrix products over shifted views of one padded copy of the source.
///
/// im2col copies every pixel once for each tap, and with few channels that copy costs as much as the products. Here a
/// tile of rows is copied once, with zero padding between the rows, so that the pixels which a tap meets lie at equal
/// distances through the whole tile, across its row ends. The results at row ends are surplus and are dropped.
/// A run of neighbouring taps of one kernel row is one product whose matrix rows overlap: pixel `p` has
/// `runTaps * channels` floats from `p * stride * channels` on. BLAS refuses rows that overlap, so every `interleave`-th
/// pixel forms one product. Padded rows are dealt to `stride` planes, so that neighbouring outputs read neighbouring rows.
struct ShiftedProduct {
  let rows: ConvolutionAxis
  let columns: ConvolutionAxis
  /// Channels that are summed over.
  let channels: Int
  /// Channels that are produced.
  let filters: Int
  /// Rows of output in a full tile.
  let tileRows: Int
  /// Tiles of an image; the last may be smaller.
  let tileCount: Int
  /// Parts that the filters are divided into.
  let filterBlockCount: Int

  /// Neighbouring taps of a kernel row that one product covers.
  private let runTaps: Int
  private let interleave: Int
  /// Zero pixels before each packed row.
  private let lead: Int
  /// End of the data in a packed row.
  private let dataEnd: Int
  /// Pixels from one packed row to the next; a multiple of the stride.
  private let pitch: Int
  private let planeRows: Int
  private let planePixels: Int

  /// Size of the packed tile.
  let packedFloatCount: Int
  /// Size of a tile of results, surplus included.
  let resultFloatCount: Int

  /// From this many channels on, one tap alone makes a product deep enough, and needs no interleaving.
  private static let deepChannels = 64
  /// Tiles aim at this many floats for source and results together, about a first-level cache.
  private static let tileFloatTarget = 1 << 14
  /// They are larger where that would leave fewer pixels than this: BLAS repacks the weights for every product.
  private static let tilePixelTarget = 224

  /// Plans tiles such that `imageCount` images give every worker as much to do.
  /// - Parameter dividesFilters: Whether a tile may be computed in parts, each for some of the filters.
  init(
    rows: ConvolutionAxis, columns: ConvolutionAxis, channels: Int, filters: Int, imageCount: Int, workerCount: Int,
    dividesFilters: Bool
  ) {
    self.rows = rows
    self.columns = columns
    self.channels = channels
    self.filters = filters
    runTaps = columns.dilation == 1 && channels < Self.deepChannels ? columns.tapCount : 1
    interleave = (runTaps + columns.stride - 1) / columns.stride

    let span = (columns.outputCount - 1) * columns.stride + columns.reach + 1
    lead = min(max(columns.padding, 0), span)
    dataEnd = min(max(columns.padding + columns.sourceCount, lead), span)
    // The zeros at the end of a row are the leading zeros of the next.
    let least = max(dataEnd, span - lead, columns.outputCount * columns.stride)
    pitch = (least + columns.stride - 1) / columns.stride * columns.stride

    let halo = rows.reach / rows.stride
    let rowFloats = pitch * rows.stride * channels + pitch / columns.stride * filters
    let fitting = max(
      Self.tileFloatTarget / rowFloats - halo, (Self.tilePixelTarget - 1) / (pitch / columns.stride) + 1)
    let unitCount = imageCount * ((rows.outputCount - 1) / fitting + 1)
    var tileLimit = fitting
    if unitCount % workerCount == 0 || unitCount / 8 >= workerCount {
      filterBlockCount = 1
    } else if dividesFilters, filters / 32 >= workerCount {
      // Each worker reads its own part of the weights, which are the larger operand of small images.
      filterBlockCount = workerCount
    } else {
      // Four tiles a worker, so that the last is not alone for long.
      filterBlockCount = 1
      tileLimit = min(fitting, max(1, rows.outputCount * imageCount / workerCount / 4))
    }
    let tiles = (rows.outputCount - 1) / tileLimit + 1
    tileRows = (rows.outputCount - 1) / tiles + 1
    tileCount = (rows.outputCount - 1) / tileRows + 1

    planeRows = tileRows + halo
    planePixels = planeRows * pitch + lead
    packedFloatCount = planePixels * min(rows.stride, rows.reach + 1) * channels
    resultFloatCount = tileRows * (pitch / columns.stride) * filters
  }

  /// The output rows of a tile.
  func rowRange(ofTile tile: Int) -> Range<Int> {
    tile * tileRows..<min((tile + 1) * tileRows, rows.outputCount)
  }

  /// The filters of a block.
  func filterRange(ofBlock block: Int) -> Range<Int> {
    filters * block / filterBlockCount..<filters * (block + 1) / filterBlockCount
  }

  /// Pixels from one row of results to the next.
  var resultPitch: Int { pitch / columns.stride }

  /// Number of results from the first to the last that is kept.
  func resultCount(rowCount: Int) -> Int { (rowCount - 1) * resultPitch + columns.outputCount }

  /// Copies what the output rows `range` read of an image into `packed`.
  /// - Parameters:
  ///   - image: First float of the group's channels in the image's first pixel.
  ///   - imageChannels: Floats from one pixel of the image to the next.
  func pack(
    _ image: UnsafePointer<Float>, imageChannels: Int, range: Range<Int>, into packed: UnsafeMutablePointer<Float>
  ) {
    let firstColumn = lead - columns.padding
    for plane in 0..<min(rows.stride, rows.reach + 1) {
      var target = packed + plane * planePixels * channels
      for row in 0..<range.count + (rows.reach - plane) / rows.stride {
        let sourceRow = (range.lowerBound + row) * rows.stride + plane - rows.padding
        if sourceRow < 0 || sourceRow >= rows.sourceCount {
          target.update(repeating: 0, count: pitch * channels)
        } else {
          target.update(repeating: 0, count: lead * channels)
          copyPixels(
            image + (sourceRow * columns.sourceCount + firstColumn) * imageChannels, pixelStride: imageChannels,
            to: target + lead * channels, pixelStride: channels, count: dataEnd - lead, channels: channels)
          (target + dataEnd * channels).update(repeating: 0, count: (pitch - dataEnd) * channels)
        }
        target += pitch * channels
      }
      target.update(repeating: 0, count: lead * channels)
    }
  }

  /// Adds the products of a packed tile with `weight`, `[taps along rows, taps along columns, channels, filters]` with
  /// `weightStride` floats from one channel to the next, to `results`, `[pixels, filters]`; or sets them. The filters
  /// are `filterCount` of the convolution's.
  func multiply(
    packed: UnsafePointer<Float>, weight: UnsafePointer<Float>, weightStride: Int, filterCount: Int,
    results: UnsafeMutablePointer<Float>, rowCount: Int, accumulate: Bool
  ) {
    let block = MatrixBlocking.rows(columns: filterCount, depth: runTaps * channels)
    var isFirst = !accumulate
    forEachRun { offset, tap in
      forEachInterleaved(resultCount(rowCount: rowCount)) { first, count in
        var done = 0
        while done < count {
          let size = min(block, count - done)
          let pixel = first + done * interleave
          MatrixProduct.multiply(
            rows: size, columns: filterCount, depth: runTaps * channels,
            a: packed + (offset + pixel * columns.stride) * channels,
            leadingDimensionA: interleave * columns.stride * channels,
            b: weight + tap * channels * weightStride, leadingDimensionB: weightStride, beta: isFirst ? 0 : 1,
            c: results + pixel * filterCount, leadingDimensionC: interleave * filterCount)
          done += size
        }
      }
      isFirst = false
    }
  }

  /// Adds the products of a packed tile, transposed, with the gradient of its results (zero where surplus) to
  /// `dWeight`, laid out as in `multiply`; or sets them.
  func multiplyTransposed(
    packed: UnsafePointer<Float>, dResults: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Float>,
    weightStride: Int, rowCount: Int, accumulate: Bool
  ) {
    let block = MatrixBlocking.rows(columns: filters, depth: runTaps * channels)
    forEachRun { offset, tap in
      var isFirst = !accumulate
      forEachInterleaved(resultCount(rowCount: rowCount)) { first, count in
        var done = 0
        while done < count {
          let size = min(block, count - done)
          let pixel = first + done * interleave
          MatrixProduct.multiply(
            rows: runTaps * channels, columns: filters, depth: size,
            a: packed + (offset + pixel * columns.stride) * channels,
            leadingDimensionA: interleave * columns.stride * channels, transposeA: true,
            b: dResults + pixel * filters, leadingDimensionB: interleave * filters, beta: isFirst ? 0 : 1,
            c: dWeight + tap * channels * weightStride, leadingDimensionC: weightStride)
          isFirst = false
          done += size
        }
      }
    }
  }

  /// Calls `body` with the packed pixel that output 0 meets, and the number of the first tap, of every run of taps.
  @inline(__always)
  private func forEachRun(_ body: (_ offset: Int, _ tap: Int) -> Void) {
    for tapRow in 0..<rows.tapCount {
      let distance = tapRow * rows.dilation
      let rowOffset = distance % rows.stride * planePixels + distance / rows.stride * pitch
      var tapColumn = 0
      while tapColumn < columns.tapCount {
        body(rowOffset + tapColumn * columns.dilation, tapRow * columns.tapCount + tapColumn)
        tapColumn += runTaps
      }
    }
  }

  /// Calls `body` with the first pixel, and the number, of every `interleave`-th of `count` pixels.
  @inline(__always)
  private func forEachInterleaved(_ count: Int, _ body: (_ first: Int, _ count: Int) -> Void) {
    for first in 0..<min(interleave, count) { body(first, (count - first + interleave - 1) / interleave) }
  }
}
