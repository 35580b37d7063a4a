import CNNCore
import struct CNNRuntime.Workers
import Glibc
import Testing

@testable import CNNPictures

/// Tests/Golden/pictures.safetensors: files, and what Pillow makes of them; and picture_operations.safetensors.
struct GoldenPictures: Sendable {
  let document: JSONObject
  private let header: JSONObject
  private let bytes: [UInt8]
  private let start: Int

  /// Read once.
  static let all = Result { try GoldenPictures("pictures") }

  /// Read once.
  static let operations = Result { try GoldenPictures("picture_operations") }

  private init(_ name: String, from source: String = #filePath) throws {
    let tests = source.split(separator: "/").dropLast(2).joined(separator: "/")
    let path = "/\(tests)/Golden/\(name).safetensors"
    guard let file = fopen(path, "r") else { throw CNNError(.inputOutput, "\(path) is missing") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    header = try #require(JSON(parsing: Array(bytes[8..<8 + length])).objectValue)
    let text = try header.object("__metadata__").string("golden")
    document = try #require(JSON(parsing: text).objectValue)
    self.bytes = bytes
    start = 8 + length
  }

  /// Packed bytes: their number in four bytes, then they.
  func bytes(_ name: String) throws -> [UInt8] {
    let range = try header.object(name).integers("data_offsets")
    let all = bytes[start + range[0]..<start + range[1]]
    let count = all.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
    return Array(all.dropFirst(4).prefix(count))
  }

  /// Each file by name, and the shape of its pixels.
  static func files() throws -> [(name: String, contents: [UInt8], shape: [Int])] {
    let golden = try all.get()
    return try golden.document.array("files").map { entry in
      let entry = try #require(entry.objectValue), name = try entry.string("name")
      return (name, try golden.bytes("\(name)/file"), try entry.integers("shape"))
    }
  }

  /// A file's contents.
  static func file(_ name: String) throws -> [UInt8] { try all.get().bytes("\(name)/file") }
}

/// Two workers, so that work is divided.
let workers = Workers(count: 2)

extension Picture {
  /// Decodes.
  init(_ contents: [UInt8], as color: PictureColor = .rgb) throws(CNNError) {
    let (picture, error): (Picture?, CNNError?) = contents.withUnsafeBytes { bytes in
      do throws(CNNError) { return (try Picture(decoding: bytes, as: color, workers: workers), nil) } catch {
        return (nil, error)
      }
    }
    guard let picture else { throw error ?? CNNError(.internalFault, "no picture and no error") }
    self = picture
  }

  /// A picture of these bytes.
  init(_ bytes: [UInt8], height: Int, width: Int, channels: Int) throws {
    try #require(bytes.count == height * width * channels)
    self = try bytes.withUnsafeBytes {
      try Picture(
        copying: #require($0.baseAddress), height: height, width: width, channels: channels)
    }
  }

  var bytes: [UInt8] { withPixels { Array($0) } }
}

/// The largest difference of two arrays of bytes.
func largestDifference(_ a: [UInt8], _ b: [UInt8]) -> Int {
  a.count == b.count ? zip(a, b).map { abs(Int($0) - Int($1)) }.max() ?? 0 : .max
}
