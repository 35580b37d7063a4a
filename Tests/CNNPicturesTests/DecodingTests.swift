import CNNCore
import Testing

@testable import CNNPictures

/// What Pillow reads in a file, this library reads.
@Suite struct DecodingTests {
  @Test func everyKindOfFileIsReadAsPillowReadsIt() throws {
    let golden = try GoldenPictures.all.get()
    for (name, contents, shape) in try GoldenPictures.files() {
      let picture = try Picture(contents), expected = try golden.bytes("\(name)/pixels")
      #expect([picture.height, picture.width, picture.channels] == shape, "\(name)")
      #expect(largestDifference(picture.bytes, expected) == 0, "\(name)")
    }
  }

  @Test func greyIsPillowsModeL() throws {
    let picture = try Picture(GoldenPictures.file("png_rgb")),
      grey = try Picture(GoldenPictures.file("png_rgb"), as: .grey)
    #expect(grey.channels == 1)
    for (index, value) in grey.bytes.enumerated() {
      let rgb = picture.bytes[index * 3..<index * 3 + 3].map { Double($0) }
      #expect(abs(Double(value) - (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])) <= 0.51)
    }
    #expect(
      try Picture(GoldenPictures.file("jpeg_420"), as: .grey).bytes
        == Picture(GoldenPictures.file("jpeg_420")).grey().bytes)
  }

  @Test(arguments: [
    ("png_rgb", 3), ("png_rgba", 4), ("png_grey", 1), ("png_grey_alpha", 4), ("png_palette", 3),
    ("png_transparent_palette", 4), ("png_transparent_rgb", 4), ("png_16_grey", 1), ("jpeg_420", 3), ("jpeg_grey", 1),
    ("jpeg_cmyk", 3),
  ])
  func storedIsWhatTheFileHas(_ name: String, _ channels: Int) throws {
    #expect(try Picture(GoldenPictures.file(name), as: .stored).channels == channels)
  }

  @Test func alphaIsKeptWhereItIsAskedFor() throws {
    let contents = try GoldenPictures.file("png_rgba")
    let rgb = try Picture(contents).bytes, rgba = try Picture(contents, as: .rgba).bytes
    #expect(Set(stride(from: 3, to: rgba.count, by: 4).map { rgba[$0] }).count > 100)
    #expect((0..<rgb.count / 3).allSatisfy { rgba[$0 * 4..<$0 * 4 + 3] == rgb[$0 * 3..<$0 * 3 + 3] })
    let transparent = try Picture(GoldenPictures.file("png_transparent_rgb"), as: .rgba).bytes
    let alpha = stride(from: 3, to: transparent.count, by: 4).map { transparent[$0] }
    #expect(Set(alpha) == [0, 255] && alpha[2 * 37 + 3] == 0)
    let opaque = try Picture(GoldenPictures.file("jpeg_grey"), as: .rgba).bytes
    #expect(stride(from: 3, to: opaque.count, by: 4).allSatisfy { opaque[$0] == 255 })
  }

  @Test func colorsAreConverted() throws {
    let grey = try Picture([7, 9], height: 1, width: 2, channels: 1)
    #expect(try grey.converted(to: .rgb).bytes == [7, 7, 7, 9, 9, 9])
    #expect(try grey.converted(to: .rgba).bytes == [7, 7, 7, 255, 9, 9, 9, 255])
    #expect(try grey.converted(to: .stored).bytes == [7, 9])
    let rgba = try Picture([10, 20, 30, 0], height: 1, width: 1, channels: 4)
    #expect(try rgba.converted(to: .rgb).bytes == [10, 20, 30])
    #expect(try rgba.converted(to: .grey).bytes == [18])
  }

  @Test(arguments: ExifOrientation.allCases) func picturesAreTurnedPixelByPixel(_ orientation: ExifOrientation) throws {
    // Larger than the blocks it is moved in.
    for (height, width, channels) in [(2, 3, 3), (67, 130, 1), (130, 65, 3), (65, 3, 4), (1, 1, 3)] {
      let bytes = (0..<height * width * channels).map { UInt8(truncatingIfNeeded: $0 &* 37 ^ $0 >> 7) }
      let picture = try Picture(bytes, height: height, width: width, channels: channels)
      let turned = try picture.oriented(orientation, workers: workers)
      let swaps = orientation.rawValue > 4
      try #require(turned.height == (swaps ? width : height) && turned.width == (swaps ? height : width))
      var expected: [UInt8] = []
      for y in 0..<turned.height {
        for x in 0..<turned.width {
          let (row, column) =
            switch orientation {
            case .upright: (y, x)
            case .mirrored: (y, width - 1 - x)
            case .upsideDown: (height - 1 - y, width - 1 - x)
            case .flipped: (height - 1 - y, x)
            case .transposed: (x, y)
            case .turnedLeft: (height - 1 - x, y)
            case .transversed: (height - 1 - x, width - 1 - y)
            case .turnedRight: (x, width - 1 - y)
            }
          expected += bytes[(row * width + column) * channels..<(row * width + column + 1) * channels]
        }
      }
      #expect(turned.bytes == expected, "\(height) x \(width) x \(channels)")
    }
  }

  @Test func aDamagedOrientationIsUpright() {
    func orientation(_ bytes: [UInt8]) -> ExifOrientation { bytes.withUnsafeBytes { ExifOrientation(tiff: $0) } }
    let little: [UInt8] = [0x49, 0x49, 0x2A, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]
    let big: [UInt8] = [0x4D, 0x4D, 0, 0x2A, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]
    #expect(orientation(little) == .turnedLeft && orientation(big) == .turnedLeft)
    for length in 0..<19 { #expect(orientation(Array(little.prefix(length))) == .upright) }
    for (place, value) in [(0, 0x4A), (4, 200), (7, 255), (8, 0), (10, 0x13), (12, 2), (18, 9), (18, 0)] {
      var damaged = little
      damaged[place] = UInt8(value)
      #expect(orientation(damaged) == .upright, "byte \(place) is \(value)")
    }
  }
}
