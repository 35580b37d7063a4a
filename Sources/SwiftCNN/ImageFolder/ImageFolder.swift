import CNNCore
import CNNKernels
import CNNPictures

/// Pictures in folders, one folder for each class, from which a model is trained:
///
///     train/cat/tom.jpg
///     train/cat/more/felix.png
///     train/dog/rex.jpeg
///
/// The folders sorted by name, byte by byte, are the classes 0, 1 and so on. What lies in folders within them belongs to
/// them; names that begin with a dot are passed over, and files that do not end in .jpg, .jpeg or .png, in whichever case.
public final class ImageFolder: Sendable {
  /// What becomes of the pictures.
  public let options: ImageFolderOptions
  let listing: PictureListing
  /// The files that belong to this subset.
  let indices: [Int32]
  /// In how many ways each picture is changed at random, one after another by epoch; nil: in another one in each.
  let augmentations: Int?

  /// Walks through the folder at `path`; no picture is read yet.
  /// - Throws: `.inputOutput` where the system does not let a folder be read (one within those of the classes is passed
  ///   over where corrupt files are), `.invalidArgument` for options that are out of range, or where there are no classes
  ///   or a class has no pictures.
  public init(_ path: String, options: ImageFolderOptions = ImageFolderOptions()) throws(CNNError) {
    try options.validate()
    (self.options, augmentations) = (options, nil)
    listing = try PictureListing(
      path, classes: options.classNames, skipsUnreadable: options.corruptFiles == .skip)
    guard options.labelMode != .binary || listing.classNames.count == 2 else {
      let count = listing.classNames.count
      throw CNNError(
        .invalidArgument, "'label_mode' is binary; expected 2 classes, not \(count) class\(count == 1 ? "" : "es")")
    }
    indices = try Self.indices(of: listing, options)
    guard batchCount > 0 else {
      throw CNNError(
        .invalidArgument,
        "'\(option: "drop_last", swift: "dropsLast")' leaves no batch: '\(option: "batch_size")' is \(options.batchSize), and there are \(count) pictures"
      )
    }
    _ = try Checked.product(
      [options.height, options.width, options.channels, options.batchSize, options.prefetch], "batches read ahead")
  }

  /// The same pictures with other options, classes or changes.
  init(
    _ other: ImageFolder, options: ImageFolderOptions? = nil, listing: PictureListing? = nil, augmentations: Int? = nil
  ) {
    (self.options, self.listing, indices) = (options ?? other.options, listing ?? other.listing, other.indices)
    self.augmentations = augmentations
  }

  /// The names of the classes' folders, in the order of their numbers.
  public var classNames: [String] { listing.classNames }

  /// The number of pictures.
  public var count: Int { indices.count }

  /// The number of batches in an epoch in which no file is passed over.
  public var batchCount: Int {
    options.dropsLast ? count / options.batchSize : (count - 1) / options.batchSize + 1
  }

  /// The class of each picture, by class and path.
  public var labels: [Int] { indices.map { Int(listing.labels[Int($0)]) } }

  /// The path of a picture, in the order of `labels`; nil where there is none. Bytes that are no text are replaced.
  public func path(_ picture: Int) -> String? {
    indices.indices.contains(picture) ? listing.name(Int(indices[picture])) : nil
  }

  /// Begins an epoch: threads read pictures ahead from now on.
  ///
  /// Several epochs may be read at the same time.
  /// - Parameter epoch: its number, from 0: it decides the order of the pictures and what happens to each.
  /// - Throws: `.invalidArgument` below 0, `.outOfMemory`.
  public func batches(epoch: Int = 0) throws(CNNError) -> ImageFolderBatches {
    guard (0...Int(Int32.max)).contains(epoch) else {
      throw CNNError(.invalidArgument, "epoch is \(epoch); expected 0 to \(Int32.max)")
    }
    return try ImageFolderBatches(self, epoch: epoch, order: order(epoch))
  }

  private func order(_ epoch: Int) -> [Int32] {
    options.shuffles ? indices.shuffled(seed: options.seed, stream: RandomStream.folder(.order, epoch: epoch)) : indices
  }

  /// Which files belong to the subset, in the order of the listing.
  private static func indices(of listing: PictureListing, _ options: ImageFolderOptions) throws(CNNError) -> [Int32] {
    let all = (0..<listing.count).map { Int32(truncatingIfNeeded: $0) }
    if options.validationSplit == 0 { return all }
    let heldBack = Int((Double(all.count) * options.validationSplit).rounded(.down))
    guard heldBack > 0 else {
      throw CNNError(
        .invalidArgument,
        "'\(option: "validation_split")' \(options.validationSplit) holds back none of \(all.count) pictures; expected one at least"
      )
    }
    let order = all.shuffled(seed: options.seed, stream: RandomStream.folder(.split, epoch: 0))
    return options.subset == .validation ? order.prefix(heldBack).sorted() : order.dropFirst(heldBack).sorted()
  }
}

extension [Int32] {
  /// The same numbers in an order that depends on a seed and a stream.
  fileprivate func shuffled(seed: UInt64, stream: UInt64) -> [Int32] {
    var places = [Int32](repeating: 0, count: count)
    places.withUnsafeMutableBufferPointer { Augmentation.shuffle($0, seed: seed, stream: stream) }
    return places.map { self[Int($0)] }
  }
}
