import CNNCore
import Testing

@testable import CNNPictures

/// Damaged files are refused with a message, before there is memory for what they say.
@Suite struct DamagedFileTests {
  private func expectMalformed(
    _ contents: [UInt8], _ message: String = "", _ what: @autoclosure () -> String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    do throws(CNNError) {
      _ = try Picture(contents)
      Issue.record("it was read: \(what())", sourceLocation: sourceLocation)
    } catch {
      #expect(error.code == .malformedFile, "\(what()): \(error.message)", sourceLocation: sourceLocation)
      #expect(error.mentions(message), "\(what()): \(error.message)", sourceLocation: sourceLocation)
    }
  }

  @Test(arguments: [
    "jpeg_420", "jpeg_progressive", "jpeg_grey", "jpeg_orientation_6", "png_rgb", "png_transparent_palette",
    "png_orientation_6", "png_interlaced",
  ])
  func aFileThatIsNotWholeIsRefused(_ name: String) throws {
    let contents = try GoldenPictures.file(name)
    for length in contents.indices { expectMalformed(Array(contents.prefix(length)), "", "\(name), \(length) bytes") }
    // What comes after it does not count.
    #expect(try Picture(contents + [1, 2, 3]).bytes == Picture(contents).bytes)
  }

  @Test(arguments: [
    ("", "it is empty"), ("GIF89a", "GIF"), ("RIFF\u{1}\u{1}\u{1}\u{1}WEBPVP8 ", "WebP"), ("BMxxxx", "BMP"),
    ("<svg xmlns", "SVG"), ("hello", "it is a text file"), ("\u{0}\u{0}\u{0} ftypheic", "HEIC"),
  ])
  func otherFormatsAreNamed(_ text: String, _ message: String) {
    expectMalformed(Array(text.utf8), message)
    expectMalformed(Array(text.utf8), text.isEmpty ? "" : "expected a JPEG or PNG picture")
  }

  /// A file with 16 bits, or 32, replaced at an offset from a marker.
  private func patched(_ contents: [UInt8], after marker: [UInt8], at offset: Int, _ bytes: [UInt8]) throws -> [UInt8] {
    var result = contents
    let place = try #require(
      (0..<contents.count - marker.count).first { contents[$0..<$0 + marker.count].elementsEqual(marker) })
    result.replaceSubrange(place + offset..<place + offset + bytes.count, with: bytes)
    return result
  }

  /// Lengths and sizes that say more than there is: refused at once, since what a scan or a chunk has bounds them.
  @Test(
    arguments: [
      ([0xFF, 0xFF, 0xFF, 0xFF], "its size is 65535 x 65535; expected 178956970 pixels at most"),
      ([0x0A, 0x00, 0xFF, 0xFF], "bytes of data are too few for a picture of 65535 x 2560 pixels"),
      ([0x04, 0x00, 0x04, 0x00], "bytes of data are too few for a picture of 1024 x 1024 pixels"),
      ([0x00, 0x00, 0x00, 0x25], "its frame header gives the size 37 x 0"),
      ([0x00, 0x17, 0x00, 0x00], "its frame header gives the size 0 x 23"),
    ] as [([UInt8], String)])
  func aJPEGThatClaimsToBeLargeIsRefused(_ size: [UInt8], _ message: String) throws {
    let contents = try GoldenPictures.file("jpeg_420")
    expectMalformed(try patched(contents, after: [0xFF, 0xC0], at: 5, size), message)
    let progressive = try GoldenPictures.file("jpeg_progressive")
    expectMalformed(
      try patched(progressive, after: [0xFF, 0xC2], at: 5, size),
      message.hasPrefix("bytes") ? "are too few for a picture" : message)
  }

  @Test(
    arguments: [
      (4, [1], "it has 1 bits a component"), (9, [2], "it has 2 components"), (9, [5], "its frame header has only"),
      (11, [0x01], "a component is sampled by 0 x 1"), (11, [0x51], "a component is sampled by 5 x 1"),
    ] as [(Int, [UInt8], String)])
  func aFrameHeaderOutOfRangeIsNamed(_ offset: Int, _ bytes: [UInt8], _ message: String) throws {
    expectMalformed(
      try patched(GoldenPictures.file("jpeg_420"), after: [0xFF, 0xC0], at: offset, bytes), message)
  }

  @Test func kindsOfJPEGThatNobodyHasAreNamed() throws {
    let contents = try GoldenPictures.file("jpeg_420")
    expectMalformed(try patched(contents, after: [0xFF, 0xC0], at: 1, [0xC3]), "lossless or hierarchical JPEG (SOF3)")
    expectMalformed([0xFF, 0xD8, 0xFF, 0xD9], "it ends before the first scan")
    expectMalformed([0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 0xFF, 0xD9], "a scan comes before the frame header")
    expectMalformed([0xFF, 0xD8, 0xFF, 0xD8, 0xFF, 0xD9], "a second start-of-image marker")
    // A scan a hundred times over.
    let progressive = try GoldenPictures.file("jpeg_progressive")
    let scan = try #require(
      progressive.indices.dropLast().first { progressive[$0] == 0xFF && progressive[$0 + 1] == 0xDA })
    let many = progressive[..<scan] + (0..<101).flatMap { _ in progressive[scan..<progressive.count - 2] }
    expectMalformed(Array(many) + [0xFF, 0xD9], "it has more than 100 scans")
  }

  private func png(width: UInt32, height: UInt32, depth: UInt8 = 8, color: UInt8 = 2, data: [UInt8]) -> [UInt8] {
    func bytes(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
      let body = Array(name.utf8) + data
      return bytes(UInt32(data.count)) + body + bytes(checkSum(body))
    }
    return PNGStructure.signature + chunk("IHDR", bytes(width) + bytes(height) + [depth, color, 0, 0, 0])
      + chunk("IDAT", data) + chunk("IEND", [])
  }

  @Test(
    arguments: [
      (65535, 65535, "its size is 65535 x 65535; expected 178956970 pixels at most"),
      (UInt32.max, UInt32.max, "expected 178956970 pixels at most"), (0, 5, "its header gives the size 0 x 5"),
      (10000, 10000, "its 20 bytes of data are too few for a picture of 10000 x 10000 pixels"),
      (100, 50, "it cannot be decoded"),
    ] as [(UInt32, UInt32, String)])
  func aPNGThatClaimsToBeLargeIsRefused(_ width: UInt32, _ height: UInt32, _ message: String) {
    expectMalformed(png(width: width, height: height, data: Array(repeating: 0x78, count: 20)), message)
  }

  @Test func chunksOutOfPlaceAreNamed() throws {
    let contents = try GoldenPictures.file("png_rgb")
    expectMalformed(png(width: 5, height: 5, depth: 3, data: []), "the bit depth 3")
    expectMalformed(png(width: 5, height: 5, color: 5, data: []), "the colour type 5")
    expectMalformed(PNGStructure.signature + contents.dropFirst(33), "its header (IHDR) is not the first chunk")
    expectMalformed(Array(contents.prefix(33)) + contents.dropFirst(8), "its header (IHDR) is not the first chunk")
    var unknown = Array(contents)
    let place = try #require((0..<contents.count - 4).first { contents[$0..<$0 + 4].elementsEqual("IDAT".utf8) })
    unknown.replaceSubrange(place..<place + 4, with: "CgBI".utf8)
    expectMalformed(unknown, "its chunk 'CgBI'")
    // A check sum that does not fit.
    var flipped = contents
    flipped[place + 10] ^= 1
    expectMalformed(flipped, "it cannot be decoded: ")
  }

  /// libjpeg makes something of wrong data, as everywhere; what it makes is whole.
  @Test func wrongDataInAJPEGIsShownAsFarAsItGoes() throws {
    var contents = try GoldenPictures.file("jpeg_444")
    let end = contents.count
    for place in end - 40..<end - 10 where contents[place] != 0xFF && contents[place - 1] != 0xFF {
      contents[place] = 0x55
    }
    let picture = try Picture(contents)
    #expect(picture.height == 23 && picture.width == 37)
  }
}
