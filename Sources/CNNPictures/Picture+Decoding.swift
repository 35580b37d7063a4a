import CImageCodecs
import CNNCore
import CNNRuntime

/// What a pixel of a picture becomes when it is read.
public enum PictureColor: String, Sendable, CaseIterable {
  /// One channel. Of colours 0.299 red + 0.587 green + 0.114 blue (ITU-R 601-2), as Pillow's mode L.
  case grey
  /// Three channels. Alpha is left out, whatever is behind it.
  case rgb
  /// Four channels; 255 where there is no alpha.
  case rgba
  /// As the file has it: grey, RGB or RGBA.
  case stored

  /// The colour for a network that reads so many channels.
  /// - Throws: `.shapeMismatch` for other numbers than 1, 3 and 4.
  public init(channels: Int) throws(CNNError) {
    switch channels {
    case 1: self = .grey
    case 3: self = .rgb
    case 4: self = .rgba
    default:
      throw CNNError(.shapeMismatch, "the model reads \(channels) channels; pictures have 1, 3 or 4")
    }
  }
}

extension Picture {
  /// Decodes a JPEG or PNG file in memory and turns it upright by its Exif orientation.
  ///
  /// 16 bits a channel are rounded to 8, palettes looked up. Colours are taken as they are: profiles and gamma are passed
  /// over. A file that is not whole is an error, and so is one whose size asks for more than `maximumPixelCount` or than
  /// its data can be; memory is asked for only after that. It takes less than 16 bytes a pixel while it decodes.
  /// - Throws: `.malformedFile` saying what is wrong with the file, `.outOfMemory`, `.invalidState` where the library for
  ///   the format is not on this machine.
  public init(decoding bytes: UnsafeRawBufferPointer, as color: PictureColor = .rgb, workers: Workers) throws(CNNError)
  {
    try self.init(decoding: bytes, as: color, workers: workers) { _, _ in 1 }
  }

  /// Decodes a file perhaps at a part of its size, which of a JPEG takes less time and gives about what averaging over
  /// squares of pixels would.
  /// - Parameter reduction: is told the height and width of the upright picture, and says what they are to be divided by:
  ///   1, 2, 4 or 8. A PNG has its whole size in any case.
  public init(
    decoding bytes: UnsafeRawBufferPointer, as color: PictureColor, workers: Workers,
    reduction: (_ height: Int, _ width: Int) -> Int
  ) throws(CNNError) {
    let (picture, orientation) =
      switch try PictureFormat(of: bytes) {
      case .jpeg: try Self.jpeg(bytes, color, reduction)
      case .png: try Self.png(bytes, color, reduction)
      }
    self = try picture.oriented(orientation, workers: workers)
  }

  /// Opens the libraries for all formats that are there, so that no thread has to while another one forks.
  public static func openLibraries() {
    for format in PictureFormat.allCases { try? format.openLibrary() }
  }

  private static func jpeg(
    _ bytes: UnsafeRawBufferPointer, _ color: PictureColor, _ reduction: (_ height: Int, _ width: Int) -> Int
  ) throws(CNNError) -> (Picture, ExifOrientation) {
    let structure = try JPEGStructure(bytes), library = try TurboJPEG.library()
    let isTurned = structure.orientation.exchangesAxes
    let factor =
      isTurned ? reduction(structure.width, structure.height) : reduction(structure.height, structure.width)
    let isGrey = structure.componentCount == 1
    let target = color == .stored ? (isGrey ? .grey : .rgb) : color
    func decoded(_ layout: Int, channels: Int) throws(CNNError) -> Picture {
      let result = try Picture(
        height: ReducedSize.side(structure.height, dividedBy: factor),
        width: ReducedSize.side(structure.width, dividedBy: factor), channels: channels)
      try library.decode(
        bytes, layout: layout, into: result.base, height: result.height, width: result.width,
        rowByteCount: result.rowByteCount)
      return result
    }
    var picture =
      switch structure.componentCount {
      case 1 where target == .grey: try decoded(Int(JPEG_GREY), channels: 1)
      case 4: try decoded(Int(JPEG_CMYK), channels: 4).fromInvertedCMYK()
      default: try decoded(Int(JPEG_RGB), channels: 3)
      }
    if target == .grey { picture = try picture.grey() }
    if target == .rgba { picture = try picture.withOpaqueAlpha() }
    return (picture, structure.orientation)
  }

  private static func png(
    _ bytes: UnsafeRawBufferPointer, _ color: PictureColor, _ reduction: (_ height: Int, _ width: Int) -> Int
  ) throws(CNNError) -> (Picture, ExifOrientation) {
    let structure = try PNGStructure(bytes), library = try LibPNG.library()
    _ =
      structure.orientation.exchangesAxes
      ? reduction(structure.width, structure.height) : reduction(structure.height, structure.width)
    let stored: PictureColor = structure.hasAlpha ? .rgba : structure.hasColor ? .rgb : .grey
    let target = color == .stored ? stored : color
    // libpng would lay pixels with alpha over a background, so alpha is read where there is a channel, and left out here.
    let (layout, channels) =
      if target == .rgba || structure.hasAlphaChannel {
        (PNG_PICTURE_RGBA, 4)
      } else if target == .grey && !structure.hasColor {
        (PNG_PICTURE_GREY, 1)
      } else {
        (PNG_PICTURE_RGB, 3)
      }
    var picture = try Picture(height: structure.height, width: structure.width, channels: channels)
    let file = try structure.copyingEssentials(of: bytes, withTransparency: target == .rgba)
    try library.decode(
      UnsafeRawBufferPointer(start: file.base, count: file.byteCount), layout: Int(layout), into: picture.base,
      height: picture.height, width: picture.width, rowByteCount: picture.rowByteCount)
    if target == .rgb && channels == 4 { picture = try picture.withoutAlpha() }
    if target == .grey { picture = try picture.grey() }
    return (picture, structure.orientation)
  }
}
