import CNNCore
import CNNRuntime

/// A rectangle of a picture, in pixels.
public struct PictureRegion: Sendable, Equatable {
  /// The first row and column; negative where the rectangle begins outside.
  public var top, left: Int
  /// The number of rows and columns.
  public var height, width: Int

  /// A rectangle.
  public init(top: Int, left: Int, height: Int, width: Int) {
    (self.top, self.left, self.height, self.width) = (top, left, height, width)
  }

  /// The middle of a picture, as torchvision's CenterCrop finds it: halves are rounded to the even number, and where the
  /// picture is smaller than the rectangle, the odd row and column of the border are at the bottom and right.
  public init(centeredIn size: (height: Int, width: Int), height: Int, width: Int) {
    func start(_ whole: Int, _ part: Int) -> Int {
      part > whole ? -((part - whole) / 2) : Int((Double(whole - part) / 2).rounded(.toNearestOrEven))
    }
    self.init(top: start(size.height, height), left: start(size.width, width), height: height, width: width)
  }
}

extension Picture {
  /// The picture in another size, or a part of it: each byte is the one that Pillow's `Image.resize` gives (13.0).
  /// - Parameters:
  ///   - height, width: the size of the whole.
  ///   - region: which part of the resized picture is made; what of it lies outside is black (and transparent). Nil is
  ///     all of it.
  /// - Throws: `.invalidArgument` for a size below 1, or a result of more than `maximumPixelCount`; `.outOfMemory`.
  public func resized(
    height newHeight: Int, width newWidth: Int, region: PictureRegion? = nil, filter: ResamplingFilter,
    workers: Workers
  ) throws(CNNError) -> Picture {
    let sides = 1...Int(Int32.max)
    guard sides.contains(newHeight), sides.contains(newWidth) else {
      throw CNNError(
        .invalidArgument, "the new size is \(newWidth) x \(newHeight); expected 1 to \(sides.upperBound) each")
    }
    let whole = PictureRegion(top: 0, left: 0, height: newHeight, width: newWidth)
    let region = region ?? whole
    let places = -sides.upperBound...sides.upperBound
    guard places.contains(region.top), places.contains(region.left), sides.contains(region.height),
      sides.contains(region.width)
    else {
      throw CNNError(
        .invalidArgument,
        "the part is \(region.width) x \(region.height) at \(region.left), \(region.top); expected 1 x 1 or more")
    }
    // What of the region is within the picture.
    let rows = max(0, region.top)..<max(0, region.top, min(newHeight, region.top + region.height))
    let columns = max(0, region.left)..<max(0, region.left, min(newWidth, region.left + region.width))
    let inside = PictureRegion(
      top: rows.lowerBound, left: columns.lowerBound, height: rows.count, width: columns.count)
    if inside == region {
      return try resizedWithin(height: newHeight, width: newWidth, rows: rows, columns: columns, filter, workers)
    }
    let result = try Picture(height: region.height, width: region.width, channels: channels)
    if !rows.isEmpty && !columns.isEmpty {
      let part = try resizedWithin(height: newHeight, width: newWidth, rows: rows, columns: columns, filter, workers)
      part.copy(
        to: result.base + ((rows.lowerBound - region.top) * result.width + columns.lowerBound - region.left) * channels,
        rowLength: result.rowByteCount, from: base(of: part))
    }
    return result
  }

  private func base(of picture: Picture) -> UnsafePointer<UInt8> { UnsafePointer(picture.base) }

  /// Copies all rows to a place in another picture.
  private func copy(to target: UnsafeMutablePointer<UInt8>, rowLength: Int, from source: UnsafePointer<UInt8>) {
    for row in 0..<height {
      (target + row * rowLength).update(from: source + row * rowByteCount, count: rowByteCount)
    }
  }

  /// A part, within the picture and not empty.
  private func resizedWithin(
    height newHeight: Int, width newWidth: Int, rows: Range<Int>, columns: Range<Int>, _ filter: ResamplingFilter,
    _ workers: Workers
  ) throws(CNNError) -> Picture {
    if newHeight == height && newWidth == width && rows.count == height && columns.count == width { return self }
    let result = try Picture(height: rows.count, width: columns.count, channels: channels)
    if filter == .nearest {
      try fillNearest(result, height: newHeight, width: newWidth, rows: rows, columns: columns)
      return result
    }
    // Colours behind what is transparent must not count.
    guard channels < 4 else {
      let sums = try premultiplied()
      try sums.fill(result, height: newHeight, width: newWidth, rows: rows, columns: columns, filter, workers)
      return try result.unpremultiplied()
    }
    try fill(result, height: newHeight, width: newWidth, rows: rows, columns: columns, filter, workers)
    return result
  }

  /// Both passes, or the one that is needed.
  private func fill(
    _ result: Picture, height newHeight: Int, width newWidth: Int, rows: Range<Int>, columns: Range<Int>,
    _ filter: ResamplingFilter, _ workers: Workers
  ) throws(CNNError) {
    let vertical = newHeight == height ? nil : try ResamplingWeights(filter, from: height, to: newHeight, places: rows)
    let horizontal =
      newWidth == width ? nil : try ResamplingWeights(filter, from: width, to: newWidth, places: columns)
    switch (horizontal, vertical) {
    case (let horizontal?, let vertical?):
      let neededRows = vertical.needed, neededColumns = horizontal.needed
      // Pillow's choice (13.0). Each pass rounds to bytes, so that the order is seen.
      if newHeight < height && height - newHeight > 2 * (width - newWidth) {
        let middle = try Picture(height: rows.count, width: neededColumns.count, channels: channels)
        fill(middle, alongColumns: vertical, at: (0, neededColumns.lowerBound), workers)
        middle.fill(result, alongRows: horizontal, at: (0, -neededColumns.lowerBound), workers)
      } else {
        let middle = try Picture(height: neededRows.count, width: columns.count, channels: channels)
        fill(middle, alongRows: horizontal, at: (neededRows.lowerBound, 0), workers)
        middle.fill(result, alongColumns: vertical, at: (-neededRows.lowerBound, 0), workers)
      }
    case (let horizontal?, nil): fill(result, alongRows: horizontal, at: (rows.lowerBound, 0), workers)
    case (nil, let vertical?): fill(result, alongColumns: vertical, at: (0, columns.lowerBound), workers)
    case (nil, nil):
      result.copyRows(from: at(rows.lowerBound, columns.lowerBound), rowLength: rowByteCount)
    }
    withExtendedLifetime(self) {}
  }

  /// The pixel at a place, which may lie outside as long as nothing is read there.
  private func at(_ row: Int, _ column: Int) -> UnsafePointer<UInt8> {
    UnsafePointer(base) + row * rowByteCount + column * channels
  }

  /// Fills a picture with rows from `place` on, made wider or narrower.
  private func fill(
    _ result: Picture, alongRows weights: ResamplingWeights, at place: (row: Int, column: Int), _ workers: Workers
  ) {
    ResamplingKernels.alongRows(
      weights, from: at(place.row, place.column), rowLength: rowByteCount, rows: result.height, channels: channels,
      to: result.base, workers: workers)
    withExtendedLifetime((self, result)) {}
  }

  /// Fills a picture with columns from `place` on, made longer or shorter.
  private func fill(
    _ result: Picture, alongColumns weights: ResamplingWeights, at place: (row: Int, column: Int), _ workers: Workers
  ) {
    ResamplingKernels.alongColumns(
      weights, from: at(place.row, place.column), rowLength: rowByteCount, count: result.rowByteCount,
      to: result.base, workers: workers)
    withExtendedLifetime((self, result)) {}
  }

  /// Fills the picture with the beginnings of rows that are `rowLength` bytes apart.
  private func copyRows(from source: UnsafePointer<UInt8>, rowLength: Int) {
    for row in 0..<height {
      (base + row * rowByteCount).update(from: source + row * rowLength, count: rowByteCount)
    }
  }

  /// The pixels that are there, at the middles of the new ones. Places are summed up, as Pillow does: rounding decides
  /// where a middle falls on an edge.
  private func fillNearest(
    _ result: Picture, height newHeight: Int, width newWidth: Int, rows: Range<Int>, columns: Range<Int>
  ) throws(CNNError) {
    let places = try Memory(byteCount: columns.count * 8, for: "resizing")
    let offsets = places.base.assumingMemoryBound(to: Int.self)
    Self.nearest(from: width, to: newWidth, columns) { column, place in offsets[column] = place * channels }
    Self.nearest(from: height, to: newHeight, rows) { row, place in
      let source = base + place * rowByteCount, target = result.base + row * result.rowByteCount
      for column in 0..<columns.count {
        for channel in 0..<channels { target[column * channels + channel] = source[offsets[column] + channel] }
      }
    }
    withExtendedLifetime(places) {}
  }

  /// Calls `body` for each of the new places in `range`, counted from its beginning, with the old place.
  private static func nearest(
    from size: Int, to newSize: Int, _ range: Range<Int>, _ body: (_ index: Int, _ place: Int) -> Void
  ) {
    let step = Double(size) / Double(newSize)
    // Not of pictures that nobody makes whole.
    let first = range.upperBound > Picture.maximumPixelCount ? range.lowerBound : 0
    var middle = step * (Double(first) + 0.5)
    for place in first..<range.upperBound {
      if place >= range.lowerBound { body(place - range.lowerBound, min(Int(middle), size - 1)) }
      middle += step
    }
  }
}
