/// How a filter lies in memory for `ProductKernel`: panels of output channels, in each of them the depth in the order it
/// is summed, at each depth the panel's channels side by side.
public struct PackedFilter: Hashable, Sendable {
  /// The filter's sizes; of the input channels, those of one group.
  public let outputChannels, inputChannels, height, width: Int
  /// How many input channels lie side by side: 16, or all where the image is read as NHWC.
  let blockDepth: Int
  /// The lanes of each panel's columns of registers.
  let panels: [[Int]]

  /// Input channels in blocks of `blockDepth`, output channels in panels.
  init(outputChannels: Int, inputChannels: Int, height: Int, width: Int, blockDepth: Int, panels: [[Int]]) {
    (self.outputChannels, self.inputChannels) = (outputChannels, inputChannels)
    (self.height, self.width, self.blockDepth, self.panels) = (height, width, blockDepth, panels)
  }

  var taps: Int { height * width }
  /// The number of terms in a sum.
  var depth: Int { inputChannels * taps }
  /// The lanes of one panel, and the first one's channel.
  func lanes(of panel: Int) -> Int { panels[panel].reduce(0, +) }
  func firstLane(of panel: Int) -> Int { panels[..<panel].reduce(0) { $0 + $1.reduce(0, +) } }
  /// All lanes: the output channels, rounded up.
  public var laneCount: Int { panels.reduce(0) { $0 + $1.reduce(0, +) } }
  /// Where a panel begins, in floats.
  func offset(of panel: Int) -> Int { firstLane(of: panel) * depth }
  /// The number of floats.
  public var count: Int { laneCount * depth }
}
