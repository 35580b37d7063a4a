import CNNCore

/// How the result of a convolution by Winograd's transforms is cut into tiles, and in which order they are computed.
struct WinogradTiles: Sendable {
  /// Neighbouring tiles of one row of tiles that look the same, for which one kernel serves.
  struct Run: Hashable, Sendable {
    let shape: Shape
    /// Where the first tile lies: in the input (perhaps beside it), in the result, and among the block's tiles.
    let input, output: Int
    var tile = 0
    var tiles = 1
  }

  /// What a tile's kernels depend on, along each side.
  struct Shape: Hashable, Sendable {
    let rows, columns: Side

    struct Side: Hashable, Sendable {
      /// The inputs that lie inside the image, and how many outputs lie inside the result.
      let inside: Range<Int>
      let outputs: Int
      /// Whether it has one input and one output less than others; see `WinogradTransform.shortPosition`.
      let isShort: Bool
    }

    /// Tiles are ordered so that those which are whole along the rows follow each other, and those along the columns.
    fileprivate var order: Int { columns.isShort ? (rows.isShort ? 3 : 2) : (rows.isShort ? 0 : 1) }
  }

  /// How many tiles of a block there are, and which are whole along the rows and along the columns.
  struct Extent: Hashable, Sendable {
    var tiles = 0
    var wholeRows = 0..<0, wholeColumns = 0..<0

    /// The tiles that have a position.
    func tiles(at row: Int, _ column: Int) -> Range<Int> {
      var range = 0..<tiles
      if row == WinogradTransform.shortPosition { range = range.clamped(to: wholeRows) }
      if column == WinogradTransform.shortPosition { range = range.clamped(to: wholeColumns) }
      return range
    }
  }

  /// Tiles that are computed together.
  struct Block: Sendable {
    let runs: [Run]
    let extent: Extent
  }

  private struct Side {
    let start: Int
    let side: Shape.Side
  }

  private let transform: WinogradTransform
  private let input, output: BlockedTensor
  private let padding: BlockedTensor.Border
  private let rows, columns: [Side]

  init(
    _ transform: WinogradTransform, _ input: BlockedTensor, padding: BlockedTensor.Border, output: BlockedTensor
  ) {
    (self.transform, self.input, self.padding, self.output) = (transform, input, padding, output)
    func sides(_ size: Int, input: Int, padding: Int) -> [Side] {
      var start = 0
      return transform.cut(size).map { outputs in
        let isShort = outputs < transform.outputs, first = start - padding
        let lower = max(0, -first)
        let upper = max(lower, min(transform.inputs - (isShort ? 1 : 0), input - first))
        defer { start += outputs }
        return Side(
          start: start, side: .init(inside: lower..<upper, outputs: min(outputs, size - start), isShort: isShort))
      }
    }
    rows = sides(output.height, input: input.height, padding: padding.top)
    columns = sides(output.width, input: input.width, padding: padding.left)
  }

  /// How many there are.
  var count: Int { output.images * rows.count * columns.count }

  /// How many products of numbers it takes for each pair of channels.
  static func products(_ transform: WinogradTransform, _ output: BlockedTensor) -> Int {
    func inputs(_ size: Int) -> Int { transform.cut(size).reduce(0) { $0 + $1 + transform.taps - 1 } }
    return output.images * inputs(output.height) * inputs(output.width)
  }

  /// The tiles of `range`, counted along the rows of one image after the other.
  func block(_ range: Range<Int>) -> Block {
    var runs: [Run] = []
    var tile = range.lowerBound
    while tile < range.upperBound {
      let column = tile % columns.count, row = tile / columns.count % rows.count
      let image = tile / columns.count / rows.count
      let shape = Shape(rows: rows[row].side, columns: columns[column].side)
      var run = Run(
        shape: shape,
        input: image * input.imageByteCount + (rows[row].start - padding.top) * input.rowByteCount
          + (columns[column].start - padding.left) * BlockedTensor.pixelByteCount,
        output: output.originByteOffset + image * output.imageByteCount + rows[row].start * output.rowByteCount
          + columns[column].start * BlockedTensor.pixelByteCount)
      while tile + run.tiles < range.upperBound, column + run.tiles < columns.count,
        columns[column + run.tiles].side == shape.columns
      { run.tiles += 1 }
      runs.append(run)
      tile += run.tiles
    }
    // By kinds, each in the order of the pixels.
    runs = (0..<4).flatMap { order in runs.filter { $0.shape.order == order } }
    var counts = [0, 0, 0, 0], place = 0
    for index in runs.indices {
      runs[index].tile = place
      place += runs[index].tiles
      counts[runs[index].shape.order] += runs[index].tiles
    }
    let extent = Extent(
      tiles: range.count, wholeRows: counts[0]..<counts[0] + counts[1] + counts[2],
      wholeColumns: 0..<counts[0] + counts[1])
    return Block(runs: runs, extent: extent)
  }
}
