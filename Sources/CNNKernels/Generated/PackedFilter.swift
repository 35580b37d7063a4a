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

  /// Packs a weight, each output channel times its `scale` and each tap times one of `tapFactors`, where there are any.
  /// - Parameters:
  ///   - order: how the weight lies; nil for `[outputChannels, inputChannels, height, width]`.
  ///   - chosen: only these panels, and the weight of their output channels.
  func pack(
    _ weight: UnsafePointer<Float>, order: FilterOrder? = nil, scale: UnsafePointer<Float>?,
    tapFactors: [Float]? = nil, panels chosen: Range<Int>? = nil, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    let order = order ?? .forward(inputs: inputChannels, taps: taps)
    let chosen = chosen ?? 0..<panels.count
    let weight = weight - firstLane(of: chosen.lowerBound) * order.laneStride
    workers.forEachRange(of: chosen.count) { range, _ in
      for panel in range {
        let panel = chosen.lowerBound + panel, lanes = lanes(of: panel)
        var packed = packed + offset(of: panel)
        for block in stride(from: 0, to: inputChannels, by: blockDepth) {
          let inputs = block..<min(block + blockDepth, inputChannels)
          pack(
            panel, inputs, weight, order, scale, tapFactors, into: packed, tapStride: inputs.count * lanes)
          packed += inputs.count * taps * lanes
        }
      }
    }
  }

  /// Packs some input channels of a panel: those of a tap follow each other, and taps are `tapStride` floats apart.
  func pack(
    _ panel: Int, _ inputs: Range<Int>, _ weight: UnsafePointer<Float>, _ order: FilterOrder,
    _ scale: UnsafePointer<Float>?, _ tapFactors: [Float]?, into packed: UnsafeMutablePointer<Float>, tapStride: Int
  ) {
    let first = firstLane(of: panel), lanes = lanes(of: panel), laneStride = order.laneStride
    let used = max(0, min(lanes, outputChannels - first))
    let source = weight + first * laneStride
    // In the order in which it is written, a panel's channels beside each other.
    for tap in order.tapOffsets.indices {
      let target = packed + tap * tapStride, place = source + order.tapOffsets[tap]
      for half in stride(from: 0, to: lanes, by: 8) {
        let factor = factors(first + half, tapFactors?[tap] ?? 1, scale)
        if laneStride == 1, half + 8 <= used {
          for (row, input) in inputs.enumerated() {
            let numbers = UnsafeRawPointer(place + input * order.depthStride + half).loadUnaligned(
              as: SIMD8<Float>.self)
            UnsafeMutableRawPointer(target + row * lanes + half).storeBytes(of: numbers * factor, as: SIMD8<Float>.self)
          }
        } else {
          for (row, input) in inputs.enumerated() {
            let number = place + input * order.depthStride + half * laneStride
            var numbers = SIMD8<Float>()
            for lane in 0..<max(0, min(8, used - half)) { numbers[lane] = number[lane * laneStride] }
            UnsafeMutableRawPointer(target + row * lanes + half).storeBytes(of: numbers * factor, as: SIMD8<Float>.self)
          }
        }
      }
    }
  }

  /// What 8 channels from `first` on are multiplied by.
  private func factors(_ first: Int, _ tapFactor: Float, _ scale: UnsafePointer<Float>?) -> SIMD8<Float> {
    var factors = SIMD8<Float>(repeating: tapFactor)
    guard let scale else { return factors }
    for lane in 0..<max(0, min(8, outputChannels - first)) { factors[lane] *= scale[first + lane] }
    return factors
  }
}
