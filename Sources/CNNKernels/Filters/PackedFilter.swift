import CNNCore

/// How a filter lies in memory for `ProductKernel`: panels of output channels, in each of them the depth in the order it
/// is summed, at each depth the panel's channels side by side, of each of them a word of 32 bits: one float32, or two
/// neighbouring input channels of bfloat16, behind the last channel zero.
///
/// For products of tiles the words of each 16 output channels follow each other instead, for a block of input channels 16,
/// as `TileFilter` says.
public struct PackedFilter: Hashable, Sendable {
  /// The filter's sizes; of the input channels, those of one group.
  public let outputChannels, inputChannels, height, width: Int
  /// How many input channels lie side by side: those of a block, or all where the image is read as NHWC.
  let blockDepth: Int
  /// The lanes of each panel's columns of registers.
  let panels: [[Int]]
  /// The type of its numbers.
  let element: ElementType
  /// Whether the columns' terms lie before each panel, one word for each lane; see `ProductOfSums`.
  let hasTerms: Bool
  /// Whether it is read by tiles.
  let isOfTiles: Bool

  /// Input channels in blocks of `blockDepth`, output channels in panels.
  init(
    outputChannels: Int, inputChannels: Int, height: Int, width: Int, blockDepth: Int, panels: [[Int]],
    element: ElementType = .float32, hasTerms: Bool = false, isOfTiles: Bool = false
  ) {
    (self.outputChannels, self.inputChannels) = (outputChannels, inputChannels)
    (self.height, self.width, self.blockDepth, self.panels) = (height, width, blockDepth, panels)
    (self.element, self.hasTerms, self.isOfTiles) = (element, hasTerms, isOfTiles)
  }

  var taps: Int { height * width }
  /// The number of words in a sum.
  var depth: Int { words(inputChannels) * taps }
  /// The words of each lane and tap for so many input channels from a block's first one on.
  func words(_ inputs: Int) -> Int {
    element.words(isOfTiles ? (inputs + blockDepth - 1) / blockDepth * blockDepth : inputs)
  }
  /// Words from those of some input channels of 16 lanes to those of the next, to the next 16 lanes and to the next tap, in a
  /// panel of so many lanes.
  func wordStride(_ lanes: Int) -> Int { isOfTiles ? TileFilter.tileChannels : lanes }
  func laneStride(_ inputs: Int) -> Int { isOfTiles ? words(inputs) : 1 }
  func tapStride(_ inputs: Int, _ lanes: Int) -> Int { words(inputs) * lanes }
  /// The number of words of each lane.
  var wordsPerLane: Int { depth + (hasTerms ? 1 : 0) }
  /// The lanes of one panel, and the first one's channel.
  func lanes(of panel: Int) -> Int { panels[panel].reduce(0, +) }
  func firstLane(of panel: Int) -> Int { panels[..<panel].reduce(0) { $0 + $1.reduce(0, +) } }
  /// All lanes: the output channels, rounded up.
  public var laneCount: Int { panels.reduce(0) { $0 + $1.reduce(0, +) } }
  /// Where a panel begins, in words.
  func offset(of panel: Int) -> Int { firstLane(of: panel) * wordsPerLane }
  /// The number of words.
  public var count: Int { laneCount * wordsPerLane }
}

extension ElementType {
  /// How many words of 32 bits hold so many numbers side by side.
  func words(_ count: Int) -> Int { (count * byteCount + 3) / 4 }
}
