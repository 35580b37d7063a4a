import CNNCore
import struct CNNRuntime.Workers
import CNNPictures
import Glibc

/// Reads the pictures of an epoch, each by itself: what becomes of one depends on the seed, the epoch and its index alone.
struct PictureLoader: Sendable {
  let folder: ImageFolder
  let epoch: Int

  var options: ImageFolderOptions { folder.options }

  /// Why the system refuses whatever the file.
  static let systemLimits = [EMFILE, ENFILE, ENOMEM]

  /// The size of a picture in a batch, in bytes. Checked with the options.
  var byteCount: Int { options.height * options.width * options.channels }

  /// Fills `target` with the pixels of a picture.
  /// - Throws: what reading a file throws.
  func load(_ index: Int, into target: UnsafeMutableRawPointer) throws(CNNError) {
    let options = folder.options
    var random = PhiloxGenerator(
      Philox(seed: options.seed, stream: RandomStream.folder(.augmentation, epoch: epoch)),
      from: UInt64(truncatingIfNeeded: index) << 32)
    // Pictures are what the threads divide among them.
    let workers = Workers(count: 1)
    let file = try FileReader(path: folder.listing.name(index), systemPath: folder.listing.systemPath(index))
    let wanted = (height: options.height, width: options.width)
    var region: PictureRegion?
    var fullHeight = 1, fullWidth = 1, factor = 1
    var picture = try Picture(reading: file, as: PictureColor(channels: options.channels), workers: workers) {
      (height, width) in
      // Drawn of the whole size, so that it does not depend on the size at which the picture is decoded.
      region = options.augmentation.crop?.region(height: height, width: width, &random)
      (fullHeight, fullWidth) = (height, width)
      if options.decodesReduced {
        let needed = options.preprocessing.neededSize(height: height, width: width)
        factor = ReducedSize.factor(
          of: region.map { ($0.height, $0.width) } ?? (height, width), for: region == nil ? needed : wanted)
      }
      return factor
    }
    if let region {
      let part = region.scaled(
        from: (fullHeight, fullWidth), to: (picture.height, picture.width), isReduced: factor > 1)
      picture = try picture.cropped(to: part).resized(
        height: wanted.height, width: wanted.width, filter: options.interpolation, workers: workers)
    } else {
      picture = try options.preprocessing.applied(to: picture, threads: workers.count)
    }
    picture = try options.augmentation.applied(to: picture, random: &random, workers: workers)
    picture.withPixels { pixels in
      if let base = pixels.baseAddress { target.copyMemory(from: base, byteCount: min(pixels.count, byteCount)) }
    }
  }
}

extension PictureRegion {
  /// The same part of the picture in another size.
  fileprivate func scaled(
    from size: (height: Int, width: Int), to newSize: (height: Int, width: Int), isReduced: Bool
  ) -> PictureRegion {
    if !isReduced { return self }
    func scaled(_ start: Int, _ length: Int, _ side: Int, _ newSide: Int) -> (start: Int, length: Int) {
      let ratio = Double(newSide) / Double(side)
      let first = min(max(Int((Double(start) * ratio).rounded()), 0), newSide - 1)
      return (first, min(max(Int((Double(length) * ratio).rounded()), 1), newSide - first))
    }
    let rows = scaled(top, height, size.height, newSize.height)
    let columns = scaled(left, width, size.width, newSize.width)
    return PictureRegion(top: rows.start, left: columns.start, height: rows.length, width: columns.length)
  }
}

extension CNNError {
  /// Whether it is a file's fault, and not that of memory, of a library that is missing, or of too many open files.
  var isOfFile: Bool {
    switch code {
    case .inputOutput: !PictureLoader.systemLimits.contains(systemCode)
    case .outOfMemory, .invalidState, .internalFault: false
    default: true
    }
  }
}
