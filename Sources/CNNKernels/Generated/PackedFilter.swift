import CNNCore

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

  /// Packs `weight` `[outputChannels, inputChannels, height, width]`, each output channel times its `scale` and each tap
  /// times one of `tapFactors`, where there are any. With `panels` only those, and the weight of their output channels.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, tapFactors: [Float]? = nil,
    panels chosen: Range<Int>? = nil,
    into packed: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let tapFactors = tapFactors ?? Array(repeating: 1, count: taps)
    let chosen = chosen ?? 0..<panels.count
    let weight = weight - firstLane(of: chosen.lowerBound) * depth
    workers.forEachRange(of: chosen.count) { range, _ in
      for panel in range {
        let panel = chosen.lowerBound + panel
        packPanel(panel, weight, scale, tapFactors, packed + offset(of: panel))
      }
    }
  }

  private func packPanel(
    _ panel: Int, _ weight: UnsafePointer<Float>, _ scale: UnsafePointer<Float>?, _ tapFactors: [Float],
    _ packed: UnsafeMutablePointer<Float>
  ) {
    // In the order in which it is written, a panel's channels beside each other.
    let first = firstLane(of: panel), lanes = lanes(of: panel), taps = taps, depth = depth
    let used = max(0, min(lanes, outputChannels - first))
    let source = weight + first * depth
    var packed = packed
    withUnsafeTemporaryAllocation(of: Float.self, capacity: lanes) { factors in
      for block in stride(from: 0, to: inputChannels, by: blockDepth) {
        let blockDepth = min(blockDepth, inputChannels - block)
        for tap in 0..<taps {
          for lane in 0..<used { factors[lane] = tapFactors[tap] * (scale?[first + lane] ?? 1) }
          for input in 0..<blockDepth {
            var place = source + (block + input) * taps + tap
            for lane in 0..<used {
              packed[lane] = place.pointee * factors[lane]
              place += depth
            }
            for lane in used..<lanes { packed[lane] = 0 }
            packed += lanes
          }
        }
      }
    }
  }
}
