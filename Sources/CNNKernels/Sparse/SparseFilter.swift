import CNNCore

/// The products of a weight with a mask that have to be made, in the order in which a kernel makes them.
///
/// Output channels are cut into panels of as many as a register has lanes. What a panel reads is cut into units of as many
/// input channels at one tap. The weights of a panel for a unit are multiplied in one of two ways, whichever takes less time:
/// for each input channel that has a weight a number of the image is repeated in all lanes (of a block of 16x1 none of these
/// products is in vain); or, where weights are few and stand anywhere, a whole unit is permuted so that each output
/// channel's lane has the input channel of its first weight, then of its second, as often as the lane with the most has one.
public struct SparseFilter: Sendable {
  /// Where one product reads the image.
  struct Entry: Sendable {
    /// The first input channel, and the tap.
    let channel, tap: Int
  }

  /// What the output channels of a register sum over.
  struct Panel: Sendable {
    /// One input channel in all lanes.
    var repeated: [Entry] = []
    /// A unit of them, permuted.
    var permuted: [Entry] = []
    /// Which of the unit's channels each lane has, for each of `permuted`.
    var lanes: [UInt32] = []
    /// Where the weight of each lane is among all, -1 where there is none: for each of `repeated`, then of `permuted`.
    var positions: [Int32] = []

    /// The multiply-adds of a register for each pixel, the time of a permutation counted in such.
    var products: Double { Double(repeated.count) + SparseFilter.permutedProduct * Double(permuted.count) }
  }

  /// How many multiply-adds take the time of one whose factor is permuted first: 1.3 measured on Zen 4, and 2 where one of two
  /// units that multiply is the one that permutes.
  static let permutedProduct = 1.6

  /// The lanes of a register.
  let lanes: Int
  let outputs, inputs, taps: Int
  let panels: [Panel]

  /// The products of a weight `[outputs, inputs, taps]` with a mask; nil where that is another weight's, or it is too large.
  public init?(_ mask: SparsityMask, outputs: Int, inputs: Int, taps: Int, _ target: CodeTarget) {
    guard outputs > 0, mask.count == outputs * inputs * taps, mask.count <= Int(Int32.max) else { return nil }
    let lanes = target.lanes
    (self.lanes, self.outputs, self.inputs, self.taps) = (lanes, outputs, inputs, taps)
    panels = stride(from: 0, to: outputs, by: lanes).map { first in
      Self.panel(mask, first..<min(first + lanes, outputs), inputs: inputs, taps: taps, lanes: lanes)
    }
  }

  private static func panel(
    _ mask: SparsityMask, _ outputs: Range<Int>, inputs: Int, taps: Int, lanes: Int
  ) -> Panel {
    var panel = Panel(), permutedPositions: [Int32] = []
    for first in stride(from: 0, to: inputs, by: lanes) {
      let unit = first..<min(first + lanes, inputs)
      for tap in 0..<taps {
        // The weights of each lane, and the channels that have one.
        var weights = Array(repeating: [Int](), count: outputs.count), used: [Int] = []
        for input in unit {
          var isUsed = false
          for output in outputs where mask[(output * inputs + input) * taps + tap] {
            weights[output - outputs.lowerBound].append(input)
            isUsed = true
          }
          if isUsed { used.append(input) }
        }
        guard let anyChannel = used.first else { continue }
        func position(_ output: Int, _ input: Int) -> Int32 { Int32((output * inputs + input) * taps + tap) }
        let depth = weights.reduce(0) { max($0, $1.count) }
        if Double(used.count) <= permutedProduct * Double(depth) {
          for input in used {
            panel.repeated.append(Entry(channel: input, tap: tap))
            for lane in 0..<lanes {
              let output = outputs.lowerBound + lane
              let isKept = output < outputs.upperBound && mask[Int(position(output, input))]
              panel.positions.append(isKept ? position(output, input) : -1)
            }
          }
        } else {
          for turn in 0..<depth {
            panel.permuted.append(Entry(channel: first, tap: tap))
            for lane in 0..<lanes {
              let input = lane < weights.count && turn < weights[lane].count ? weights[lane][turn] : nil
              // A lane without a weight reads a number that is one: those behind the last channel are anything.
              panel.lanes.append(UInt32((input ?? anyChannel) - first))
              permutedPositions.append(input.map { position(outputs.lowerBound + lane, $0) } ?? -1)
            }
          }
        }
      }
    }
    panel.positions += permutedPositions
    return panel
  }

  /// The floats of the packed filter.
  var count: Int { panels.reduce(0) { $0 + $1.positions.count } }

  /// The multiply-adds of 16 lanes for each pixel.
  var products: Double { panels.reduce(0) { $0 + $1.products } * Double(lanes) / 16 }

  /// The products of pairs of numbers that are made for each pixel, those with 0 counted.
  var multiplications: Int { panels.reduce(0) { $0 + $1.positions.count } }
}
