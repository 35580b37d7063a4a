import CNNCore
import CNNRuntime
import Glibc

/// Batches from a dataset in memory: chosen by index, and randomly cropped and flipped.
public enum Augmentation {
  /// The size of one sample, and what may be done to it.
  public struct Settings: Sendable, Hashable {
    /// The height of a sample in pixels.
    public var height: Int
    /// The width of a sample in pixels.
    public var width: Int
    /// The number of channels, the fastest axis.
    public var channels: Int
    /// How many rows and columns of zeros are put around a sample before it is randomly cropped back to its size, as
    /// torchvision's `RandomCrop(size, padding=)`. 0 crops nothing.
    public var cropPadding: Int
    /// Whether half of the samples, at random, are mirrored left to right.
    public var flipsHorizontally: Bool

    /// Settings; by default samples are copied as they are.
    public init(height: Int, width: Int, channels: Int, cropPadding: Int = 0, flipsHorizontally: Bool = false) {
      self.height = height
      self.width = width
      self.channels = channels
      self.cropPadding = cropPadding
      self.flipsHorizontally = flipsHorizontally
    }

    /// The number of elements of one sample.
    var sampleLength: Int { height * width * channels }
  }

  /// Copies the samples of `dataset` (`[samples, height, width, channels]` uint8) that `indices` names, one after another,
  /// to `batch` (`[count, height, width, channels]`), cropped and flipped as `settings` say.
  ///
  /// What happens to a sample depends on `seed`, `epoch` and its index in the dataset alone.
  /// - Parameter indices: `count` indices, each in `0..<samples` (see `InputChecks.firstInvalidLabel`).
  public static func gather(
    _ dataset: UnsafePointer<UInt8>, indices: UnsafePointer<Int32>, count: Int, settings: Settings, seed: UInt64,
    epoch: UInt64, into batch: UnsafeMutablePointer<UInt8>, workers: Workers
  ) {
    gatherElements(dataset, indices, count, settings, Philox(seed: seed, stream: epoch), batch, workers)
  }

  /// The same for float32 samples.
  public static func gather(
    _ dataset: UnsafePointer<Float>, indices: UnsafePointer<Int32>, count: Int, settings: Settings, seed: UInt64,
    epoch: UInt64, into batch: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    gatherElements(dataset, indices, count, settings, Philox(seed: seed, stream: epoch), batch, workers)
  }

  /// Fills `order` with the numbers `0..<order.count`, shuffled (Fisher and Yates 1938) by `seed` and `stream` alone.
  ///
  /// Use a stream that nothing else of the seed uses: the choices of `gather` are those of the stream `epoch`.
  public static func shuffle(_ order: UnsafeMutableBufferPointer<Int32>, seed: UInt64, stream: UInt64) {
    var generator = PhiloxGenerator(seed: seed, stream: stream)
    for index in order.indices { order[index] = Int32(truncatingIfNeeded: index) }
    var last = order.count - 1
    while last > 0 {
      // The high word of a 64-bit random number times the size is uniform to one part in 2^64 / size.
      let other = Int(truncatingIfNeeded: generator.next().multipliedFullWidth(by: UInt64(last + 1)).high)
      order.swapAt(last, other)
      last -= 1
    }
  }

  /// What is done to one sample; the crop's first row and column are from `-cropPadding` to `cropPadding`.
  static func place(_ settings: Settings, _ random: Philox, sample: Int) -> ImageCopy.Place {
    let words = random.words(at: UInt64(truncatingIfNeeded: sample))
    let padding = settings.cropPadding
    var place = ImageCopy.Place()
    if padding > 0 {
      place.top = below(2 * padding + 1, words[0]) - padding
      place.left = below(2 * padding + 1, words[1]) - padding
    }
    place.isFlipped = settings.flipsHorizontally && words[2] >> 31 == 1
    return place
  }

  /// A number in `0..<limit` from a random word.
  static func below(_ limit: Int, _ word: UInt32) -> Int { Int((UInt64(word) * UInt64(limit)) >> 32) }

  @inline(__always)
  private static func gatherElements<Element: BitwiseCopyable & ExpressibleByIntegerLiteral>(
    _ dataset: UnsafePointer<Element>, _ indices: UnsafePointer<Int32>, _ count: Int, _ settings: Settings,
    _ random: Philox, _ batch: UnsafeMutablePointer<Element>, _ workers: Workers
  ) {
    let length = settings.sampleLength
    let size = (height: settings.height, width: settings.width)
    let image = ImageCopy(source: size, target: size, channels: settings.channels)
    workers.forEachRange(of: count, grain: max(1, 16384 / max(length, 1))) { range, _ in
      for position in range {
        let sample = Int(indices[position])
        let place = place(settings, random, sample: sample)
        image.run(place, from: dataset + sample * length, to: batch + position * length)
      }
    }
  }
}
