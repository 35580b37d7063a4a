import CNNCore
import Testing

@testable import CNNPictures

/// Resized pictures are Pillow's, byte by byte.
@Suite struct ResizingTests {
  @Test func everyFilterIsPillows() throws {
    let golden = try GoldenPictures.all.get()
    for entry in try golden.document.array("resized") {
      let entry = try #require(entry.objectValue)
      let channels = try entry.integer("channels"), number = try entry.integer("number")
      let from = try entry.integers("from"), to = try entry.integers("to"), name = try entry.string("filter")
      let original = try Picture(
        golden.bytes("original/\(channels)/\(number)"), height: from[0], width: from[1], channels: channels)
      let resized = try original.resized(
        height: to[0], width: to[1], filter: #require(ResamplingFilter(rawValue: name)), workers: workers)
      let expected = try golden.bytes("resized/\(channels)/\(number)/\(name)")
      let difference = largestDifference(resized.bytes, expected)
      #expect(difference == 0, "\(name), \(channels) channels, \(from) to \(to)")
    }
  }

  private func waves(_ height: Int, _ width: Int, _ channels: Int) throws -> Picture {
    try Picture(
      (0..<height * width * channels).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 3) }, height: height,
      width: width, channels: channels)
  }

  /// Also where it lies partly or wholly outside, and in a picture whose size stays.
  @Test(arguments: ResamplingFilter.allCases) func aPartIsThatPartOfTheWhole(_ filter: ResamplingFilter) throws {
    for (channels, height, width) in [(1, 20, 31), (3, 20, 31), (3, 40, 50), (4, 11, 77), (3, 30, 31), (3, 40, 31)] {
      let picture = try waves(40, 50, channels)
      let whole = try picture.resized(height: height, width: width, filter: filter, workers: workers).bytes
      for region in [
        PictureRegion(top: 3, left: 5, height: 7, width: 6), PictureRegion(top: -2, left: -3, height: 6, width: 9),
        PictureRegion(top: height - 2, left: width - 1, height: 5, width: 4),
        PictureRegion(top: height, left: 0, height: 2, width: 2),
        PictureRegion(top: -4, left: -5, height: height + 8, width: width + 10),
      ] {
        let part = try picture.resized(
          height: height, width: width, region: region, filter: filter, workers: workers
        ).bytes
        var expected: [UInt8] = []
        for y in region.top..<region.top + region.height {
          for x in region.left..<region.left + region.width {
            let isInside = (0..<height).contains(y) && (0..<width).contains(x)
            let start = (y * width + x) * channels
            expected += isInside ? Array(whole[start..<start + channels]) : Array(repeating: 0, count: channels)
          }
        }
        #expect(part == expected, "\(filter), \(channels) channels, \(height) x \(width), \(region)")
      }
    }
  }

  @Test func theMiddleIsTorchvisions() throws {
    for entry in try GoldenPictures.all.get().document.array("geometry") {
      let entry = try #require(entry.objectValue)
      let size = try entry.integers("resized"), crop = try entry.integers("crop")
      let region = PictureRegion(centeredIn: (size[0], size[1]), height: crop[0], width: crop[1])
      #expect(try region.top == entry.integer("top") && region.left == entry.integer("left"), "\(entry)")
    }
  }

  @Test func aSizeThatStaysIsNotComputed() throws {
    let picture = try waves(9, 8, 3)
    for filter in ResamplingFilter.allCases {
      #expect(try picture.resized(height: 9, width: 8, filter: filter, workers: workers).bytes == picture.bytes)
    }
  }

  @Test(arguments: [(0, 5), (5, 0), (-1, 5), (1 << 40, 1 << 40), (Int.max, 2), (1 << 20, 1 << 20)])
  func sizesOutOfRangeAreRefused(_ height: Int, _ width: Int) throws {
    let picture = try waves(4, 4, 3)
    #expect(throws: CNNError.self) {
      try picture.resized(height: height, width: width, filter: .bilinear, workers: workers)
    }
  }

  @Test func fewRowsOfAnEnormousResultAreCheap() throws {
    let picture = try waves(2, 3, 3)
    let region = PictureRegion(top: 500_000_000, left: 10, height: 2, width: 2)
    for filter in ResamplingFilter.allCases {
      let part = try picture.resized(height: 1_000_000_000, width: 20, region: region, filter: filter, workers: workers)
      #expect(part.height == 2 && part.width == 2)
    }
  }
}
