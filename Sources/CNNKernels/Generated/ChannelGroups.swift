import CNNCore

/// How the groups of a convolution are computed by products of whole blocks of channels.
///
/// Where a group has fewer channels than a block, some groups become one with zeros between them: ResNeXt's 32 groups of 4
/// channels are computed as 8 of 16. That is up to 16 times the multiplications, at many times the speed of short sums.
struct ChannelGroups: Sendable {
  /// How many there are after some have become one.
  let count: Int
  /// Of how many groups each is made.
  private let merged: Int
  private let geometry: ConvolutionGeometry

  /// The groups of a convolution; nil where they cannot be cut into whole blocks.
  init?(_ g: ConvolutionGeometry) {
    geometry = g
    let block = BlockedTensor.blockChannels
    let inputs = g.inputChannels / g.groups, outputs = g.outputChannels / g.groups
    guard
      let merged = g.groups == 1
        ? 1
        : (1...block).first(where: { g.groups % $0 == 0 && $0 * inputs % block == 0 && $0 * outputs % block == 0 })
    else { return nil }
    self.merged = merged
    count = g.groups / merged
  }

  /// Whether there are zeros between groups.
  var isMerged: Bool { merged > 1 }

  /// Of one of them, the first input channel that an output channel, counted over all groups, reads.
  func firstInput(of output: Int) -> Int {
    output / (geometry.outputChannels / geometry.groups) % merged * geometry.groupInputChannels
  }

  /// The filter of one of them with its zeros, `[merged outputs, merged inputs, height, width]`, of the whole filter
  /// `[output, inputs, height, width]`.
  func filter(_ group: Int, of weight: UnsafePointer<Float>) -> [Float] {
    let g = geometry, outputs = g.outputChannels / g.groups
    let size = g.inputChannels / g.groups * g.kernelHeight * g.kernelWidth
    let source = weight + group * merged * outputs * size
    var result = [Float](repeating: 0, count: merged * outputs * merged * size)
    for output in 0..<merged * outputs {
      let place = (output * merged + output / outputs) * size
      for index in 0..<size { result[place + index] = source[output * size + index] }
    }
    return result
  }
}
