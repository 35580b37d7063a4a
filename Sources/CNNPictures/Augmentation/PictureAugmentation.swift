import CNNCore
import CNNRuntime

/// What happens to a picture on its way into a training batch, in this order.
public struct PictureAugmentation: Sendable {
  /// A random part, in place of the middle.
  public var crop: RandomResizedCrop?
  /// How often the picture is mirrored left to right.
  public var mirroring: Double
  /// Random colours.
  public var jitter: ColorJitter?
  /// Random operations.
  public var operations: RandAugment?
  /// A rectangle painted over.
  public var erasing: RandomErasing?

  /// Changes; those that are not given are none.
  public init(
    crop: RandomResizedCrop? = nil, mirroring: Double = 0, jitter: ColorJitter? = nil, operations: RandAugment? = nil,
    erasing: RandomErasing? = nil
  ) {
    (self.crop, self.mirroring, self.jitter) = (crop, mirroring, jitter)
    (self.operations, self.erasing) = (operations, erasing)
  }

  /// What comes after the crop.
  public func applied(
    to picture: Picture, random: inout PhiloxGenerator, workers: Workers
  ) throws(CNNError) -> Picture {
    var result = picture
    if mirroring > 0, random.happens(mirroring) { result = try result.mirrored(workers: workers) }
    if let jitter { result = try jitter.applied(to: result, &random, workers: workers) }
    if let operations { result = try operations.applied(to: result, &random, workers: workers) }
    if let erasing { result = try erasing.applied(to: result, &random) }
    return result
  }
}
