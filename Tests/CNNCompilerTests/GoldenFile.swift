import CNNCore
import Glibc
import Testing

/// One of the files of Tests/Golden: tensors and the document that describes them.
struct GoldenFile: Sendable {
  let document: JSONObject
  private let header: JSONObject
  private let bytes: [UInt8]
  private let start: Int

  init(_ name: String, from source: String = #filePath) throws {
    let tests = source.split(separator: "/").dropLast(2).joined(separator: "/")
    let path = "/\(tests)/Golden/\(name).safetensors"
    // A named error: `#require` in a static property fails outside of every test.
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

  func shape(_ name: String) throws -> [Int] { try header.object(name).integers("shape") }

  /// The elements; integers are converted.
  func values(_ name: String) throws -> [Float] {
    let range = try header.object(name).integers("data_offsets")
    let isInteger = try header.object(name).string("dtype") == "I32"
    return bytes.withUnsafeBytes { bytes in
      stride(from: start + range[0], to: start + range[1], by: 4).map {
        let word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
        return isInteger ? Float(Int32(bitPattern: word)) : Float(bitPattern: word)
      }
    }
  }
}
