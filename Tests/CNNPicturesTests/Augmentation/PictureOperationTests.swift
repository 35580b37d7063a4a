import CNNCore
import Testing

@testable import CNNPictures

/// What torchvision makes of Pillow's pictures, byte by byte.
@Suite struct PictureOperationTests {
  private let golden: GoldenPictures
  private let height, width: Int

  init() throws {
    golden = try GoldenPictures.operations.get()
    let size = try golden.document.integers("size")
    (height, width) = (size[0], size[1])
  }

  private func original(_ channels: Int) throws -> Picture {
    try Picture(golden.bytes("original/\(channels)"), height: height, width: width, channels: channels)
  }

  @Test func everyOperationOfRandAugmentIsTorchvisions() throws {
    var seen: Set<PictureOperation> = []
    for entry in try golden.document.array("operations") {
      let entry = try #require(entry.objectValue), key = try entry.string("key")
      let operation = try #require(PictureOperation(rawValue: entry.string("operation")))
      let picture = try original(entry.integer("channels"))
      let strength = try RandAugment(magnitude: entry.integer("magnitude"))
      let amount = try strength.amount(of: operation, for: picture, isNegative: entry.bool("negative"))
      let result = try operation.applied(
        to: picture, amount: amount, isBilinear: entry.bool("bilinear"), workers: workers)
      // Interpolated bytes are cut off, not rounded, so that the last bit of a slant decides them where they are whole:
      // torchvision computes it by way of degrees.
      let isSlanted = try entry.bool("bilinear") && [.shearX, .shearY].contains(operation)
      #expect(try largestDifference(result.bytes, golden.bytes(key)) <= (isSlanted ? 1 : 0), "\(key)")
      seen.insert(operation)
    }
    #expect(seen == Set(RandAugment.operations) && RandAugment.operations.count == 14)
  }

  @Test func huesAreTorchvisions() throws {
    for entry in try golden.document.array("hues") {
      let entry = try #require(entry.objectValue)
      let turned = try original(3).withHueTurned(by: entry.number("share"))
      #expect(try turned.bytes == golden.bytes(entry.string("key")), "\(entry)")
    }
  }

  @Test func resizedPartsAreTorchvisions() throws {
    for entry in try golden.document.array("parts") {
      let entry = try #require(entry.objectValue)
      let part = try entry.integers("part"), size = try entry.integers("to")
      let region = PictureRegion(top: part[0], left: part[1], height: part[2], width: part[3])
      let result = try original(entry.integer("channels")).cropped(to: region).resized(
        height: size[0], width: size[1], filter: .bilinear, workers: workers)
      #expect(try result.bytes == golden.bytes(entry.string("key")), "\(entry)")
    }
  }

  @Test func partsOutsideAreRefused() throws {
    let picture = try original(3)
    for (top, left, height, width) in [
      (0, 0, 0, 1), (0, 0, 14, 1), (-1, 0, 3, 3), (0, 16, 2, 2), (Int.max, 0, 1, 1), (0, 0, 1, Int.max),
      (Int.min, Int.min, Int.min, Int.min),
    ] {
      #expect(throws: CNNError.self) {
        try picture.cropped(to: PictureRegion(top: top, left: left, height: height, width: width))
      }
    }
  }

  @Test(arguments: PictureOperation.allCases) func extremeAmountsAreAppliedOrRefused(_ operation: PictureOperation)
    throws
  {
    for amount in [
      -Double.infinity, .infinity, .nan, -1e308, 1e308, -1e6, 1e6, -360, 360, -1, 0, 1, 8, 256, 1000,
      operation.amounts.lowerBound, operation.amounts.upperBound,
    ] {
      for (height, width) in [(1, 1), (2, 3), (3, 3), (1, 50), (50, 1)] {
        let picture = try Picture(height: height, width: width, channels: 3)
        for isBilinear in [false, true] {
          do throws(CNNError) {
            let result = try operation.applied(
              to: picture, amount: amount, isBilinear: isBilinear, workers: workers)
            #expect(result.height == height && result.width == width)
          } catch {
            #expect(error.code == .invalidArgument && !operation.amounts.contains(amount))
          }
        }
      }
    }
  }
}
