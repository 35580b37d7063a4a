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
    /// Of two classes, 1 for the second and 0 for the first, float32.
    case binary
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

  var needsShares: Bool { mixing.isOn || labelSmoothing > 0 }

  /// What is done to a picture where there is no random crop.
  var preprocessing: Preprocessing {
    let filling = Preprocessing(height: height, width: width, published: nil, interpolation: interpolation)
    return resizing.map { Preprocessing(resizing: $0, crop: filling.crop, interpolation: interpolation) } ?? filling
  }
}
