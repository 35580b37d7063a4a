import CNNCore
import CNNPictures

/// What becomes of the pictures in a folder.
public struct ImageFolderOptions: Sendable {
  /// What is done about a file that cannot be read.
  public enum CorruptFiles: String, Sendable, CaseIterable {
    /// It is passed over and counted.
    case skip
    /// It is an error that names it.
    case error
  }

  /// What a target is.
  public enum LabelMode: String, Sendable, CaseIterable {
    /// The number of the class, int32.
    case int
    /// A share for each class, float32.
    case categorical
  }

  /// Which part of the pictures is taken where some are held back for validation.
  public enum Subset: String, Sendable, CaseIterable {
    /// Those that are not held back.
    case training
    /// Those that are.
    case validation
  }

  /// The size of the pictures in a batch.
  public var height = 224, width = 224
  /// The numbers of a pixel: 1 (grey) or 3.
  public var channels = 3
  /// The number of pictures in a batch; the last of an epoch may have fewer.
  public var batchSize = 32
  /// Whether a last batch that is smaller is left out.
  public var dropsLast = false
  /// Whether the pictures come in another order in each epoch.
  public var shuffles = true
  /// Of all that is random.
  public var seed: UInt64 = 0
  /// The size that a picture is given before its middle is cut out; nil: so that it just fills the batch's.
  public var resizing: Preprocessing.Resizing?
  /// How resized pixels are made of the old ones.
  public var interpolation = ResamplingFilter.bilinear
  /// What happens to each picture at random.
  public var augmentation = PictureAugmentation()
  /// How pictures of a batch are mixed.
  public var mixing = BatchMixing()
  /// The share of a target that is spread evenly over the classes.
  public var labelSmoothing = 0.0
  /// What targets are; nil: numbers where that is possible.
  public var labelMode: LabelMode?
  /// The folders of the classes in the order of their numbers; nil: all that are there, sorted.
  public var classNames: [String]?
  /// The share of the pictures that is held back for validation, chosen by the seed.
  public var validationSplit = 0.0
  /// Which of the two parts this is.
  public var subset = Subset.training
  /// What is done about a file that cannot be read.
  public var corruptFiles = CorruptFiles.skip
  /// How many threads read pictures; 0: the one that asks for a batch; nil: as many as there are processors.
  public var threads: Int?
  /// How many batches are read ahead.
  public var prefetch = 2
  /// Whether large JPEG files are decoded at a half, quarter or eighth of their size where that is still large enough:
  /// faster, but not the bytes that Pillow gives.
  public var decodesReduced = false

  /// Options; those that are not given have their defaults: the middle of each picture, 224 x 224, in batches of 32.
  public init(
    height: Int = 224, width: Int = 224, channels: Int = 3, batchSize: Int = 32, dropsLast: Bool = false,
    shuffles: Bool = true, seed: UInt64 = 0, augmentation: PictureAugmentation = PictureAugmentation(),
    mixing: BatchMixing = BatchMixing(), labelSmoothing: Double = 0, labelMode: LabelMode? = nil,
    validationSplit: Double = 0, subset: Subset = .training
  ) {
    (self.height, self.width, self.channels) = (height, width, channels)
    (self.batchSize, self.dropsLast, self.shuffles, self.seed) = (batchSize, dropsLast, shuffles, seed)
    (self.augmentation, self.mixing) = (augmentation, mixing)
    (self.labelSmoothing, self.labelMode) = (labelSmoothing, labelMode)
    (self.validationSplit, self.subset) = (validationSplit, subset)
  }

  /// Whether targets are shares rather than numbers.
  var givesShares: Bool { labelMode == .categorical || needsShares }

  private var needsShares: Bool { mixing.isOn || labelSmoothing > 0 }

  /// What is done to a picture where there is no random crop.
  var preprocessing: Preprocessing {
    let filling = Preprocessing(height: height, width: width, published: nil, interpolation: interpolation)
    return resizing.map { Preprocessing(resizing: $0, crop: filling.crop, interpolation: interpolation) } ?? filling
  }

  func validate() throws(CNNError) {
    try check("size", height, 1...1 << 16)
    try check("size", width, 1...1 << 16)
    try check("batch_size", batchSize, 1...1 << 20)
    try check("threads", threads ?? 0, 0...1024)
    try check("prefetch", prefetch, 1...1024)
    guard channels == 1 || channels == 3 else {
      throw CNNError(.invalidArgument, "'channels' is \(channels); expected 1 or 3")
    }
    try check("horizontal_flip", augmentation.mirroring, to: 1)
    try check("mixup", mixing.mixup, to: 1000)
    try check("cutmix", mixing.cutmix, to: 1000)
    try check("label_smoothing", labelSmoothing, to: 1)
    if let crop = augmentation.crop {
      try check("random_resized_crop: scale", crop.scale, within: 1e-6...1)
      try check("random_resized_crop: ratio", crop.ratio, within: 1e-3...1e3)
    }
    if let jitter = augmentation.jitter {
      try check("color_jitter: brightness", jitter.brightness, to: 100)
      try check("color_jitter: contrast", jitter.contrast, to: 100)
      try check("color_jitter: saturation", jitter.saturation, to: 100)
      try check("color_jitter: hue", jitter.hue, to: 0.5)
    }
    if let operations = augmentation.operations {
      try check("rand_augment: num_ops", operations.operationCount, 1...100)
      try check("rand_augment: magnitude", operations.magnitude, RandAugment.magnitudes)
    }
    if let erasing = augmentation.erasing {
      try check("random_erasing: probability", erasing.probability, to: 1)
      try check("random_erasing: scale", erasing.scale, within: 1e-6...1)
      try check("random_erasing: ratio", erasing.ratio, within: 1e-3...1e3)
    }
    guard validationSplit >= 0, validationSplit < 1 else {
      throw CNNError(.invalidArgument, "'validation_split' is \(validationSplit); expected 0 or more, and below 1")
    }
    guard subset == .training || validationSplit > 0 else {
      throw CNNError(.invalidArgument, "'subset' is validation, but 'validation_split' is 0; expected it above 0")
    }
    guard labelMode != .int || !needsShares else {
      throw CNNError(
        .invalidArgument, "'label_mode' is int; expected categorical with mixup, cutmix or label_smoothing")
    }
  }
}

@inline(never)
private func check(_ key: StaticString, _ value: Int, _ range: ClosedRange<Int>) throws(CNNError) {
  guard range.contains(value) else {
    throw CNNError(.invalidArgument, "'\(key)' is \(value); expected \(range.lowerBound) to \(range.upperBound)")
  }
}

@inline(never)
private func check(_ key: StaticString, _ value: Double, to largest: Double) throws(CNNError) {
  guard value >= 0, value <= largest else {
    throw CNNError(.invalidArgument, "'\(key)' is \(value); expected 0 to \(largest)")
  }
}

@inline(never)
private func check(_ key: StaticString, _ range: ClosedRange<Double>, within allowed: ClosedRange<Double>)
  throws(CNNError)
{
  guard allowed.contains(range.lowerBound), allowed.contains(range.upperBound) else {
    throw CNNError(
      .invalidArgument,
      "'\(key)' is \(range.lowerBound) to \(range.upperBound); expected within \(allowed.lowerBound) to "
        + "\(allowed.upperBound)")
  }
}
