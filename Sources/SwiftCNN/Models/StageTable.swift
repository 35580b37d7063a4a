import CNNCore

/// The stages of a network, in place of those of its variant.
public enum StageTable: Sendable, Equatable {
  /// The number of blocks of each stage, for a ResNet.
  case blockCounts([Int])
  /// The rows of an EfficientNet's table.
  case rows([EfficientNetStage])

  /// Reads a list of whole numbers, or of objects as `EfficientNetStage` has them.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the row and the key.
  init(json: [JSON]) throws(CNNError) {
    if let counts = JSON.array(json).integersValue {
      self = .blockCounts(counts)
      return
    }
    var rows: [EfficientNetStage] = []
    for (index, element) in json.enumerated() {
      guard let object = element.objectValue else {
        throw CNNError(
          .invalidArgument, "stages[\(index)] is neither an object nor, as all the others, a number of blocks")
      }
      do throws(CNNError) {
        rows.append(try EfficientNetStage(json: object))
      } catch {
        throw error.prefixed("stages[\(index)]")
      }
    }
    self = .rows(rows)
  }
}

/// One row of an EfficientNet's table (Tan and Le 2019, table 1; Tan and Le 2021, table 4).
public struct EfficientNetStage: Sendable, Equatable {
  /// The kinds of block.
  public enum Kind: String, Sendable, CaseIterable {
    /// Expansion, depthwise convolution, squeeze-and-excitation, projection (Sandler et al. 2018, Tan et al. 2019).
    case mbconv
    /// One full convolution in place of expansion and depthwise convolution (Tan and Le 2021, figure 2).
    case fusedMBConv = "fused_mbconv"
  }

  /// The kind of all blocks of the stage.
  public var kind: Kind
  /// Height and width of the kernel; odd.
  public var kernel: Int
  /// The stride of the first block; that of the others is 1.
  public var stride: Int
  /// How many times wider the middle of a block is than its input.
  public var expandRatio: Double
  /// What the stage reads: the stem's width in the first stage, else what the stage before gives. Nil for just that.
  public var inputChannels: Int?
  /// The channels of the stage's result, before scaling.
  public var channels: Int
  /// The number of blocks, before scaling.
  public var repeats: Int
  /// The channels of squeeze-and-excitation (Hu et al. 2018) as a share of the block's input; 0 for none.
  public var squeezeRatio: Double

  /// A row.
  public init(
    _ kind: Kind, kernel: Int, stride: Int, expandRatio: Double, inputChannels: Int? = nil, channels: Int, repeats: Int,
    squeezeRatio: Double = 0
  ) {
    (self.kind, self.kernel, self.stride, self.expandRatio) = (kind, kernel, stride, expandRatio)
    (self.inputChannels, self.channels, self.repeats) = (inputChannels, channels, repeats)
    self.squeezeRatio = squeezeRatio
  }

  /// Reads `{"kind", "kernel", "stride", "expand_ratio", "channels", "repeats"}` and, where they are given,
  /// `"input_channels"` and `"se_ratio"`.
  init(json: JSONObject) throws(CNNError) {
    self.init(.mbconv, kernel: 3, stride: 1, expandRatio: 1, channels: 1, repeats: 1)
    try read(json)
  }
}

extension EfficientNetStage: Configurable {
  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    let channelDomain = Domain.within(1...Double(ModelScaling.maximumChannels))
    try options.choice("kind", &kind, needed: true, "The kind of all blocks of the stage.")
    try options.integer("kernel", &kernel, needed: true, in: .within(1...255), "Height and width of the kernel; odd.")
    try options.integer("stride", &stride, needed: true, in: .within(1...255), "The stride of the first block.")
    try options.number(
      "expand_ratio", &expandRatio, needed: true, in: .above(0, upTo: ModelScaling.maximumCoefficient),
      "How many times wider the middle of a block is than its input.")
    try options.integer(
      "input_channels", &inputChannels, in: channelDomain, "What the stage reads; null: what comes before.")
    try options.integer("channels", &channels, needed: true, in: channelDomain, "The channels of the stage's result.")
    try options.integer(
      "repeats", &repeats, needed: true, in: .within(1...Double(ModelScaling.maximumBlocks)), "The number of blocks.")
    try options.number(
      "se_ratio", swift: "squeezeRatio", &squeezeRatio, in: .within(0...1),
      "The channels of squeeze-and-excitation by those of the input.")
    guard kernel % 2 == 1 else {
      throw CNNError(.invalidArgument, "kernel is \(kernel); expected an odd number of 1 to 255")
    }
  }
}
