import CNNCore
import CNNRuntime

/// Random flips and crops of a batch `[images, height, width, channels]` float32.
///
/// What happens to image `n` is decided by `Philox(seed:stream:)` at counter `n` alone, so a gradient finds it again. Use
/// another `stream` for every layer and step.
public enum RandomImages {
  /// Mirrors half of the images left to right (the first word's highest bit) and half of them top to bottom (the second
  /// word's). For the backward pass give `dy` as `x`. `y` is not the memory of `x`.
  public static func flip(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, images: Int, height: Int, width: Int, channels: Int,
    horizontal: Bool, vertical: Bool, seed: UInt64, stream: UInt64, workers: Workers
  ) {
    let size = (height: height, width: width)
    let copy = ImageCopy(source: size, target: size, channels: channels)
    forEach(images, copy, x, y, Philox(seed: seed, stream: stream), workers) { words in
      ImageCopy.Place(isFlipped: horizontal && words[0] >> 31 == 1, isUpsideDown: vertical && words[1] >> 31 == 1)
    }
  }

  /// The size of a crop's input and output.
  public struct Crop: Sendable {
    /// The input's.
    public let inputHeight, inputWidth: Int
    /// The output's; no larger than the input's.
    public let height, width: Int
    /// The number of channels, the fastest axis.
    public let channels: Int

    /// A crop of `height` x `width` out of `inputHeight` x `inputWidth`.
    public init(inputHeight: Int, inputWidth: Int, height: Int, width: Int, channels: Int) {
      (self.inputHeight, self.inputWidth, self.height, self.width) = (inputHeight, inputWidth, height, width)
      self.channels = channels
    }

    /// Where the crop lies: every place is as likely as another.
    func offset(_ words: SIMD4<UInt32>) -> (top: Int, left: Int) {
      (
        Augmentation.below(inputHeight - height + 1, words[0]), Augmentation.below(inputWidth - width + 1, words[1])
      )
    }
  }

  /// Cuts a window out of each image of `x`.
  public static func crop(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, images: Int, _ crop: Crop, seed: UInt64,
    stream: UInt64, workers: Workers
  ) {
    let copy = ImageCopy(
      source: (crop.inputHeight, crop.inputWidth), target: (crop.height, crop.width), channels: crop.channels)
    forEach(images, copy, x, y, Philox(seed: seed, stream: stream), workers) { words in
      let offset = crop.offset(words)
      return ImageCopy.Place(top: offset.top, left: offset.left)
    }
  }

  /// The gradient of `crop`: `dx` is `dy` where the window was and zero elsewhere.
  public static func cropBackward(
    _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, images: Int, _ crop: Crop, seed: UInt64,
    stream: UInt64, workers: Workers
  ) {
    let copy = ImageCopy(
      source: (crop.height, crop.width), target: (crop.inputHeight, crop.inputWidth), channels: crop.channels)
    forEach(images, copy, dy, dx, Philox(seed: seed, stream: stream), workers) { words in
      let offset = crop.offset(words)
      return ImageCopy.Place(top: -offset.top, left: -offset.left)
    }
  }

  @inline(__always)
  private static func forEach(
    _ images: Int, _ copy: ImageCopy, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ random: Philox,
    _ workers: Workers, _ place: (SIMD4<UInt32>) -> ImageCopy.Place
  ) {
    workers.forEachRange(of: images, grain: max(1, Workers.grainOfFloats / max(1, copy.targetLength))) { range, _ in
      for image in range {
        let words = random.words(at: UInt64(truncatingIfNeeded: image))
        copy.run(place(words), from: x + image * copy.sourceLength, to: y + image * copy.targetLength)
      }
    }
  }
}
