import CNNCore
import CNNRuntime

/// How a filter lies in memory for `TileProductKernel`: panels of up to 32 output channels, in each of them blocks of 64
/// bytes of input channels, in these the taps, and for each tap one or two tiles of 16 output channels.
///
/// A tile is 16 rows, one for each 4 bytes of input channels, pairs of bfloat16 or four bytes; a row has as many of each of
/// 16 output channels. Where there are no channels it is zero.
struct TileFilter: Hashable, Sendable {
  /// The sizes; of the channels, those of one group.
  let outputChannels, inputChannels, taps: Int
  /// How many groups follow each other.
  let groups: Int
  /// bfloat16 or int8.
  var element = ElementType.bfloat16
  /// How the weight lies; nil for `[output, input, height, width]`.
  var order: FilterOrder?
  /// Tiles of output channels beside each other in a panel: 1 or 2.
  var panelTiles = 2

  /// Output channels of a tile.
  static let tileChannels = 16
  /// Input channels of a block of numbers of a type.
  static func blockChannels(_ element: ElementType) -> Int { BlockedTensor.pixelByteCount / element.byteCount }

  /// Input channels of a block.
  var blockChannels: Int { Self.blockChannels(element) }
  /// Numbers of a tile.
  var tileCount: Int { blockChannels * Self.tileChannels }

  var blocks: Int { (inputChannels + blockChannels - 1) / blockChannels }
  /// The tiles beside each other in each panel of a group.
  var panels: [Int] {
    stride(from: 0, to: outputChannels, by: panelTiles * Self.tileChannels).map {
      outputChannels - $0 > Self.tileChannels ? panelTiles : 1
    }
  }
  /// Numbers of a panel of so many tiles.
  func count(ofPanel tiles: Int) -> Int { tiles * tileCount * blocks * taps }
  /// Numbers of one group.
  var groupCount: Int { panels.reduce(0) { $0 + count(ofPanel: $1) } }
  /// Numbers of all.
  var count: Int { groups * groupCount }
  /// Bytes of so many numbers, and of all.
  func byteCount(_ count: Int) -> Int { count * element.byteCount }
  var byteCount: Int { byteCount(count) }

  /// How the weight of one group is packed, of bfloat16.
  func packing(library: KernelLibrary) -> FilterPacking {
    FilterPacking(
      PackedFilter(
        outputChannels: outputChannels, inputChannels: inputChannels, height: taps, width: 1, blockDepth: blockChannels,
        panels: panels.map { Array(repeating: Self.tileChannels, count: $0) }, element: element, isOfTiles: true),
      order: order, library: library)
  }

  /// Packs the weight `[output, input, height, width]` of one group as levels, of which these output channels are the ones
  /// from `first` on.
  func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, from first: Int, into packed: UnsafeMutablePointer<Int8>,
    workers: Workers
  ) {
    let tiles = (outputChannels + Self.tileChannels - 1) / Self.tileChannels
    workers.forEachRange(of: tiles * blocks) { range, _ in
      for unit in range { pack(weight, levels, from: first, tile: unit / blocks, block: unit % blocks, into: packed) }
    }
  }

  /// Packs all taps of a block of input channels for 16 output channels.
  private func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, from first: Int, tile: Int, block: Int,
    into packed: UnsafeMutablePointer<Int8>
  ) {
    let panels = panels, panel = tile / panelTiles, width = panels[panel], group = 4 / element.byteCount
    let start = packed + panels[..<panel].reduce(0) { $0 + count(ofPanel: $1) } + tile % panelTiles * tileCount
    let outputs = tile * Self.tileChannels..<min((tile + 1) * Self.tileChannels, outputChannels)
    let inputs = block * blockChannels..<min((block + 1) * blockChannels, inputChannels)
    for tap in 0..<taps {
      let place = start + (block * taps + tap) * width * tileCount
      place.update(repeating: 0, count: tileCount)
      for (column, output) in outputs.enumerated() {
        let source = weight + output * inputChannels * taps + tap
        for (row, input) in inputs.enumerated() {
          place[row / group * blockChannels + column * group + row % group] = levels.rounded(
            source[input * taps] / levels.scale(first + output))
        }
      }
    }
  }
}
