import CNNCore
import CNNRuntime

/// How a filter of bfloat16 lies in memory for `TileProductKernel`: panels of up to 32 output channels, in each of them
/// blocks of 32 input channels, in these the taps, and for each tap one or two tiles of 16 output channels.
///
/// A tile is 16 rows, one for each pair of input channels; a row is 16 pairs, one for each output channel. Where there are
/// no channels it is zero.
struct TileFilter: Hashable, Sendable {
  /// The sizes; of the channels, those of one group.
  let outputChannels, inputChannels, taps: Int
  /// How many groups follow each other.
  let groups: Int
  /// Tiles of output channels beside each other in a panel: 1 or 2.
  var panelTiles = 2

  /// Input channels of a block, and output channels of a tile.
  static let blockChannels = 32, tileChannels = 16
  /// Numbers of a tile.
  static let tileCount = blockChannels * tileChannels

  var blocks: Int { (inputChannels + Self.blockChannels - 1) / Self.blockChannels }
  /// The tiles beside each other in each panel of a group.
  var panels: [Int] {
    stride(from: 0, to: outputChannels, by: panelTiles * Self.tileChannels).map {
      outputChannels - $0 > Self.tileChannels ? panelTiles : 1
    }
  }
  /// Numbers of a panel of so many tiles.
  func count(ofPanel tiles: Int) -> Int { tiles * Self.tileCount * blocks * taps }
  /// Numbers of one group.
  var groupCount: Int { panels.reduce(0) { $0 + count(ofPanel: $1) } }
  /// Numbers of all.
  var count: Int { groups * groupCount }

  /// Packs the weight `[output, input, height, width]` of one group, each output channel times its `scale`, rounded.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<BFloat16>,
    workers: Workers
  ) {
    let tiles = (outputChannels + Self.tileChannels - 1) / Self.tileChannels
    workers.forEachRange(of: tiles * blocks) { range, _ in
      for unit in range { pack(weight, scale: scale, tile: unit / blocks, block: unit % blocks, into: packed) }
    }
  }

  /// Packs all taps of a block of input channels for 16 output channels.
  private func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, tile: Int, block: Int,
    into packed: UnsafeMutablePointer<BFloat16>
  ) {
    let panels = panels, panel = tile / panelTiles, width = panels[panel]
    let start = packed + panels[..<panel].reduce(0) { $0 + count(ofPanel: $1) } + tile % panelTiles * Self.tileCount
    let outputs = tile * Self.tileChannels..<min((tile + 1) * Self.tileChannels, outputChannels)
    let inputs = block * Self.blockChannels..<min((block + 1) * Self.blockChannels, inputChannels)
    for tap in 0..<taps {
      let place = start + (block * taps + tap) * width * Self.tileCount
      place.update(repeating: BFloat16(bitPattern: 0), count: Self.tileCount)
      for (column, output) in outputs.enumerated() {
        let factor = scale?[output] ?? 1, source = weight + output * inputChannels * taps + tap
        for (row, input) in inputs.enumerated() {
          place[row / 2 * Self.blockChannels + column * 2 + row % 2] = BFloat16(source[input * taps] * factor)
        }
      }
    }
  }
}
