import CNNCore

/// The size of a product's tiles: how the pixels of a line and the output channels are cut.
struct Tiling: Sendable {
  /// The lanes of each panel's columns.
  let panels: [[Int]]
  /// The two sizes of tile along a line, and how many there are of each.
  let rowCounts, tileCounts: [Int]

  /// The cheapest by a model of the machine: a multiply-add of a whole register a cycle (two of half ones), two loads a
  /// cycle of up to half a register each, and a few dozen cycles to begin and end a tile.
  /// - Parameters:
  ///   - wholeBlocks: whether no panel may end within 16 channels.
  ///   - input: what is multiplied.
  ///   - multipliesSums: whether it is by `ProductOfSums`.
  static func best(
    linePixels: Int, channels: Int, depth: Int, temporaries: Int, wholeBlocks: Bool = false,
    input: ElementType = .float32, multipliesSums: Bool = false, _ target: CodeTarget
  ) -> Tiling {
    func registers(_ rows: Int, _ columns: Int) -> Int {
      ProductKernel.registerCount(
        rows: rows, columns: columns, temporaries: temporaries, input: input, multipliesSums: multipliesSums, target)
    }
    var best = Tiling(channels: channels, width: 1, linePixels, registers, target)
    var lowest = best.cost(depth: depth, input, target)
    for width in 2...8
    where registers(1, width) <= target.registerCount {
      let tiling = Tiling(channels: channels, width: width, linePixels, registers, target)
      let cost = tiling.cost(depth: depth, input, target)
      // Of equals the narrower, whose filter panels are smaller.
      if cost < 0.995 * lowest || (wholeBlocks && best.panels[0].count == 1 && !target.hasAVX512) {
        (best, lowest) = (tiling, cost)
      }
    }
    return best
  }

  private init(
    channels: Int, width: Int, _ linePixels: Int, _ registers: (_ rows: Int, _ columns: Int) -> Int,
    _ target: CodeTarget
  ) {
    panels = Self.panels(channels: channels, width: width, target)
    let columns = panels.map(\.count).max() ?? 1
    var rows = 1
    while rows < 28, registers(rows + 1, columns) <= target.registerCount { rows += 1 }
    (rowCounts, tileCounts) = Self.cut(linePixels, rows)
  }

  /// The cycles from one addition to a sum to the next.
  private static func latency(_ input: ElementType) -> Double {
    switch input {
    case .bfloat16: 6
    case .uint8: 5
    case .int16: 1  // An addition alone.
    default: 4
    }
  }

  /// Cycles for one line of pixels.
  private func cost(depth: Int, _ input: ElementType, _ target: CodeTarget) -> Double {
    var cost = 0.0
    for columns in panels {
      let units = Double(columns.reduce(0, +)) / 16
      for (rows, tiles) in zip(rowCounts, tileCounts) {
        let products = Double(rows) * units
        let loads = (Double(rows * (ProductKernel.embedsBroadcast(input, target) ? columns.count : 1)) + 2 * units) / 2
        // So many sums must be under way to hide the cycles that each takes.
        let cycles = max(products, loads, Self.latency(input))
        cost += Double(tiles) * (Double(depth) * cycles + 40 + 2 * products)
      }
    }
    return cost
  }

  /// Cuts a line into equal tiles of at most `limit` pixels, of which some have one more.
  static func cut(_ pixels: Int, _ limit: Int) -> (rows: [Int], tiles: [Int]) {
    let tiles = (pixels + limit - 1) / limit, rows = pixels / tiles, larger = pixels % tiles
    if larger == 0 { return ([rows], [tiles]) }
    return ([rows + 1, rows], [larger, tiles - larger])
  }

  /// Cuts the output channels into panels of at most `width` registers, as equal as can be.
  private static func panels(channels: Int, width: Int, _ target: CodeTarget) -> [[Int]] {
    let eighths = (channels + 7) / 8
    var registers: [[Int]]
    if target.hasAVX512 {
      // Registers hold 16 channels, save for the last 8.
      registers = Array(repeating: [16], count: eighths / 2) + (eighths % 2 == 1 ? [[8]] : [])
    } else if width == 1 {
      registers = Array(repeating: [8], count: eighths)
    } else {
      // Two registers are a block of 16 channels, within which no panel may end.
      registers = Array(repeating: [8, 8], count: eighths / 2) + (eighths % 2 == 1 ? [[8]] : [])
    }
    let limit = target.hasAVX512 || width == 1 ? width : width / 2
    let count = (registers.count + limit - 1) / limit
    return (0..<count).map {
      registers[registers.count * $0 / count..<registers.count * ($0 + 1) / count].flatMap { $0 }
    }
  }
}
