import CNNCore

/// Some of a convolution's groups, computed by products of whole blocks of channels.
///
/// Where a group does not fill its blocks of channels, some groups become one with zeros between them: ResNeXt's 32 groups
/// of 4 channels are computed as 8 of 16. That is up to 16 times the multiplications, at many times the speed of short
/// sums. Groups that are left over, as the last of RegNet's 55 groups of 8, are a part of their own.
struct ChannelGroups: Sendable {
  /// The sizes of a convolution of these groups alone.
  let geometry: ConvolutionGeometry
  /// How many there are after some have become one.
  let count: Int
  /// Of how many groups each is made.
  private let merged: Int
  /// The first input and output channel; a block begins with each.
  let firstInput, firstOutput: Int

  /// All groups of a convolution, in one part or two, for blocks of so many channels.
  static func parts(
    of g: ConvolutionGeometry, blockChannels block: Int = BlockedTensor.blockChannels
  ) throws(CNNError) -> [ChannelGroups] {
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    let merged =
      g.groups == 1 ? 1 : (1..<block).first { $0 * inputs % block == 0 && $0 * outputs % block == 0 } ?? block
    let rest = g.groups % merged, whole = g.groups - rest
    var parts: [ChannelGroups] = []
    if whole > 0 { parts.append(try ChannelGroups(g, 0..<whole, count: whole / merged)) }
    if rest > 0 { parts.append(try ChannelGroups(g, whole..<g.groups, count: 1)) }
    return parts
  }

  private init(_ g: ConvolutionGeometry, _ groups: Range<Int>, count: Int) throws(CNNError) {
    geometry = try g.of(groups: groups.count)
    self.count = count
    merged = groups.count / count
    (firstInput, firstOutput) = (
      groups.lowerBound * g.groupInputChannels, groups.lowerBound * g.groupOutputChannels
    )
  }

  /// Whether there are zeros between groups.
  var isMerged: Bool { merged > 1 }

  /// Where the weights of these groups begin, in floats, in the filter `[output, inputs, height, width]`.
  var weightOffset: Int { firstOutput * geometry.groupInputChannels * geometry.kernelHeight * geometry.kernelWidth }

  /// The part of a tensor from its first block of these groups' channels on, and that block's place in bytes.
  func part(_ tensor: BlockedTensor, isInput: Bool) -> (tensor: BlockedTensor, byteOffset: Int) {
    let channels = isInput ? geometry.inputChannels : geometry.outputChannels
    let first = isInput ? firstInput : firstOutput
    return (tensor.with(channels: channels), tensor.byteOffset(image: 0, block: first / tensor.channelsPerBlock))
  }

  /// Of one of them, the first input channel that an output channel, counted over all groups, reads.
  func firstInput(of output: Int) -> Int {
    output / geometry.groupOutputChannels % merged * geometry.groupInputChannels
  }

  /// Calls `body` with filters of these groups' product, of the weight of all `[output, inputs, height, width]`, and which of
  /// the product's panels each is: all of them, or where there are zeros between groups those of one after the other.
  func forEachFilter(
    of weight: UnsafePointer<Float>, panels count: Int,
    _ body: (_ filter: UnsafePointer<Float>, _ panels: Range<Int>) -> Void
  ) {
    let weight = weight + weightOffset
    guard isMerged else { return body(weight, 0..<count) }
    let own = count / self.count
    for group in 0..<self.count {
      filter(group, of: weight).withUnsafeBufferPointer {
        if let filter = $0.baseAddress { body(filter, own * group..<own * (group + 1)) }
      }
    }
  }

  /// The filter of one of them with its zeros, `[merged outputs, merged inputs, height, width]`, of the filter of all
  /// `[output, inputs, height, width]`.
  func filter(_ group: Int, of weight: UnsafePointer<Float>) -> [Float] {
    let g = geometry, outputs = g.groupOutputChannels
    let size = g.groupInputChannels * g.kernelHeight * g.kernelWidth
    let source = weight + group * merged * outputs * size
    var result = [Float](repeating: 0, count: merged * outputs * merged * size)
    for output in 0..<merged * outputs {
      let place = (output * merged + output / outputs) * size
      for index in 0..<size { result[place + index] = source[output * size + index] }
    }
    return result
  }
}

/// The product of some groups, and where what it reads and writes begins.
struct GroupProduct<Schedule: Sendable>: Sendable {
  let groups: ChannelGroups
  let schedule: Schedule
  let inputByteOffset, outputByteOffset: Int
  /// Among the numbers of the packed filter.
  let filterOffset: Int
}
