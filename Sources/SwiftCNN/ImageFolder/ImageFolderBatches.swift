import CNNCore
import CNNPictures
import Glibc

/// A batch of pictures and their classes, valid until the next one is asked for.
public struct ImageBatch: Sendable {
  /// uint8 `[N, height, width, channels]`.
  public let x: TensorView
  /// int32 `[N]`, or float32: `[N, classes]` where the folder gives shares, `[N, 1]` where its label mode is binary.
  public let y: TensorView
  /// Whether no other batch follows in this epoch.
  public let isLast: Bool

  /// The number of pictures.
  public var count: Int { x.sampleCount }
}

/// The batches of an epoch of an `ImageFolder`.
///
/// A file that cannot be read is passed over, its place taken by the next of the epoch's order; or it is an error, as the
/// folder's options say. Not for several threads at the same time.
public final class ImageFolderBatches {
  private let folder: ImageFolder
  private let epoch: Int
  private let order: [Int32]
  private let queue: PictureQueue
  private let pixels, targets: Memory
  /// Of the next picture in the order, and of the next batch.
  private var position = 0, number = 0
  private var isFinished = false
  /// The threads are not there in a forked child.
  private let process = getpid()

  /// The number of files that were passed over so far in this epoch, and of folders when the listing was made.
  public private(set) var skippedCount = 0
  /// Why the first of them was.
  public private(set) var firstSkipped: CNNError?

  init(_ folder: ImageFolder, epoch: Int, order: [Int32]) throws(CNNError) {
    (self.folder, self.epoch, self.order) = (folder, epoch, order)
    let options = folder.options
    (skippedCount, firstSkipped) = (folder.listing.unreadableCount, folder.listing.firstUnreadable)
    let loader = PictureLoader(folder: folder, epoch: folder.augmentations.map { epoch % $0 } ?? epoch)
    let room = min(options.batchSize, order.count)
    pixels = try Memory(byteCount: Checked.product([room, loader.byteCount], "batch"), for: "batch")
    let targetLength = options.givesShares ? folder.classNames.count : 1
    targets = try Memory(byteCount: Checked.product([room, targetLength, 4], "targets"), for: "targets")
    Picture.openLibraries()
    queue = try PictureQueue(
      loader, order: order, places: min(options.prefetch * options.batchSize, order.count),
      threads: options.threads ?? Threads.count)
  }

  deinit {
    // In a child its lock may be held by a thread that is not there.
    if process == getpid() { queue.stop() }
  }

  /// The next batch; nil after the last.
  /// - Throws: the error of a file that cannot be read, where those are errors; `.malformedFile` where none of the epoch's
  ///   could be read; `.outOfMemory`; `.invalidState` in a forked child.
  public func next() throws(CNNError) -> ImageBatch? {
    guard process == getpid() else {
      throw CNNError(.invalidState, "the epoch was begun before a fork; begin another one in this process")
    }
    if isFinished { return nil }
    let options = folder.options, pictureLength = options.height * options.width * options.channels
    var count = 0
    while count < options.batchSize, position < order.count {
      if queue.take(position, into: pixels.base + count * pictureLength) {
        setTarget(count, folder.listing.labels[Int(order[position])])
        count += 1
      } else {
        try skip(position)
      }
      position += 1
    }
    let isWhole = count == options.batchSize
    isFinished = !isWhole
    if isWhole { isFinished = try !isFollowed() }
    guard count > 0, isWhole || !options.dropsLast else {
      isFinished = true
      if number == 0, skippedCount > 0, let firstSkipped {
        throw CNNError(
          .malformedFile,
          "\(skippedCount) of \(order.count) pictures could not be read, which leaves no batch: \(firstSkipped.message)"
        )
      }
      return nil
    }
    try mix(count)
    number += 1
    let shape = [count, options.height, options.width, options.channels]
    return ImageBatch(
      x: TensorView(.uint8, shape: shape, base: pixels.base),
      y: targets(count), isLast: isFinished)
  }

  private func targets(_ count: Int) -> TensorView {
    let options = folder.options
    if options.labelMode == .binary { return TensorView(.float32, shape: [count, 1], base: targets.base) }
    return options.givesShares
      ? TensorView(.float32, shape: [count, folder.classNames.count], base: targets.base)
      : TensorView(.int32, shape: [count], base: targets.base)
  }

  /// Counts the file at a position, which could not be read.
  private func skip(_ position: Int) throws(CNNError) {
    let (error, skipped) = queue.failure(at: position)
    if let error {
      isFinished = true
      throw error
    }
    skippedCount += 1
    firstSkipped = firstSkipped ?? skipped
  }

  /// Whether another batch follows. Files that cannot be read are counted where none does.
  ///
  /// Where smaller batches are left out, this looks no further than it must: to wait for a whole batch would be to read
  /// none ahead.
  private func isFollowed() throws(CNNError) -> Bool {
    let options = folder.options, needed = options.dropsLast ? options.batchSize : 1
    if options.dropsLast && order.count - position >= 2 * needed { return true }
    var failed: [Int] = []
    for ahead in position..<order.count {
      // An error is for the next call.
      if !queue.canRead(ahead) {
        if queue.failure(at: ahead).error != nil { return true }
        failed.append(ahead)
      } else if ahead - position + 1 - failed.count == needed {
        return true
      }
    }
    for position in failed { try skip(position) }
    return false
  }

  private func setTarget(_ row: Int, _ label: Int32) {
    let options = folder.options
    if options.labelMode == .binary {
      targets.floats[row] = Float(label)
      return
    }
    guard options.givesShares else {
      targets.base.assumingMemoryBound(to: Int32.self)[row] = label
      return
    }
    let classes = folder.classNames.count
    let shares = targets.floats[row * classes..<(row + 1) * classes]
    let rest = Float(options.labelSmoothing / Double(classes))
    for index in shares.indices { targets.floats[index] = rest }
    targets.floats[row * classes + Int(label)] += Float(1 - options.labelSmoothing)
  }

  private func mix(_ count: Int) throws(CNNError) {
    let options = folder.options
    guard options.mixing.isOn else { return }
    var random = PhiloxGenerator(
      Philox(seed: options.seed, stream: RandomStream.folder(.mixing, epoch: epoch)),
      from: UInt64(truncatingIfNeeded: number) << 32)
    guard let targets = targets.floats.baseAddress else { return }
    try options.mixing.apply(
      to: pixels.base.assumingMemoryBound(to: UInt8.self), targets: targets, count: count, height: options.height,
      width: options.width, channels: options.channels, classes: folder.classNames.count, random: &random)
  }
}
