/// Where a filter's numbers lie in a parameter `[output, input, height, width]` for a convolution that reads it: forward, or
/// with input and output channels exchanged and other taps, as a gradient does.
public struct FilterOrder: Hashable, Sendable {
  /// Floats from one result's channel to the next, and from one summed channel to the next.
  let laneStride, depthStride: Int
  /// Where each tap is.
  let tapOffsets: [Int]
  /// How many numbers of a channel follow each other in memory, before those of the next one.
  var run: Int { min(laneStride, depthStride) }

  /// As the parameter has it.
  static func forward(inputs: Int, taps: Int) -> FilterOrder {
    FilterOrder(laneStride: inputs * taps, depthStride: taps, tapOffsets: Array(0..<taps))
  }

  /// For the gradient of the input: of `taps` of the parameter, in this order.
  static func exchanged(inputs: Int, taps: Int, chosen: [Int]) -> FilterOrder {
    FilterOrder(laneStride: taps, depthStride: inputs * taps, tapOffsets: chosen)
  }
}
