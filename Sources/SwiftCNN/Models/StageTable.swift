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
    try OptionReader.read(json) { (options) throws(CNNError) in
      guard let kind = try options.choice("kind", of: Kind.self) else {
        throw CNNError(.invalidArgument, "member 'kind' is missing; expected 'mbconv' or 'fused_mbconv'")
      }
      self.kind = kind
      kernel = try options.take("kernel", JSONObject.integer)
      stride = try options.take("stride", JSONObject.integer)
      expandRatio = try options.take("expand_ratio", JSONObject.number)
      inputChannels = try options.take("input_channels", JSONObject.optionalInteger)
      channels = try options.take("channels", JSONObject.integer)
      repeats = try options.take("repeats", JSONObject.integer)
      squeezeRatio = try options.number("se_ratio", 0)
    }
  }

  /// Throws `.invalidArgument` for a number out of range.
  func validate() throws(CNNError) {
    let channelRange = 1...ModelScaling.maximumChannels
    guard (1...255).contains(kernel), kernel % 2 == 1 else {
      throw CNNError(.invalidArgument, "kernel is \(kernel); expected an odd number of 1 to 255")
    }
    guard (1...255).contains(stride) else {
      throw CNNError(.invalidArgument, "stride is \(stride); expected 1 to 255")
    }
    guard expandRatio > 0, expandRatio <= ModelScaling.maximumCoefficient else {
      throw CNNError(
        .invalidArgument,
        "expand_ratio is \(expandRatio); expected more than 0 and at most \(ModelScaling.maximumCoefficient)")
    }
    for (name, count) in [("input_channels", inputChannels ?? 1), ("channels", channels)] {
      guard channelRange.contains(count) else {
        throw CNNError(.invalidArgument, "\(name) is \(count); expected 1 to \(channelRange.upperBound)")
      }
    }
    guard (1...ModelScaling.maximumBlocks).contains(repeats) else {
      throw CNNError(.invalidArgument, "repeats is \(repeats); expected 1 to \(ModelScaling.maximumBlocks)")
    }
    guard (0...1).contains(squeezeRatio) else {
      throw CNNError(.invalidArgument, "se_ratio is \(squeezeRatio); expected 0 to 1")
    }
  }
}
