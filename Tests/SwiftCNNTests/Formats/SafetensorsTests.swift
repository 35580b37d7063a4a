import CNNCore
import Glibc
import Testing

@testable import SwiftCNN

/// The bytes of a safetensors file with this header and that many bytes of data.
func safetensors(_ header: String, dataCount: Int = 0) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + header.utf8
    + [UInt8](repeating: 0, count: dataCount)
}

@Suite struct SafetensorsTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("model.safetensors")
  }

  private func floats(_ name: String, of file: SafetensorsFile, count: Int) throws -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    try values.withUnsafeMutableBufferPointer { try file.read(name, into: $0) }
    return values
  }

  private func integers(_ name: String, of file: SafetensorsFile, count: Int) throws -> [Int64] {
    var values = [Int64](repeating: -99, count: count)
    try values.withUnsafeMutableBufferPointer { try file.read(name, into: $0) }
    return values
  }

  // MARK: Reading

  @Test func readsAFileOfTheReferenceImplementation() throws {
    // Written by Python's safetensors 0.8.0 (save, metadata={"format": "pt"}) from arrays of NumPy and ml_dtypes.
    let header =
      #"{"__metadata__":{"format":"pt"},"layer1.0.bn1.num_batches_tracked":{"dtype":"I64","shape":"#
      + #"[],"data_offsets":[0,8]},"fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"laye"#
      + #"r1.0.bn1.running_var":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},"layer1.0.conv1."#
      + #"weight":{"dtype":"F16","shape":[1,1,1,2],"data_offsets":[16,20]}} "#
    let data: [UInt8] = [
      0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xCD, 0xCC, 0xCC, 0x3D, 0x49, 0x40, 0x83, 0x3A, 0x00, 0x3E, 0x00,
      0xC0,
    ]
    try put(safetensors(header) + data, to: path)
    let file = try SafetensorsFile(path: path)
    #expect(file.metadata == ["format": "pt"])
    #expect(file["layer1.0.conv1.weight"]?.shape == [1, 1, 1, 2])
    #expect(file["layer1.0.conv1.weight"]?.type == .float16)
    #expect(try floats("layer1.0.conv1.weight", of: file, count: 2) == [1.5, -2])
    #expect(try floats("layer1.0.bn1.running_var", of: file, count: 2) == [3.140625, 0.0009994507])
    #expect(try floats("fc.bias", of: file, count: 1) == [0.1])
    #expect(file["layer1.0.bn1.num_batches_tracked"]?.shape == [])
    #expect(try integers("layer1.0.bn1.num_batches_tracked", of: file, count: 1) == [7])
    #expect(try floats("layer1.0.bn1.num_batches_tracked", of: file, count: 1) == [7])
  }

  @Test func convertsEveryHalf() {
    // Exact by construction: a half is fraction * 2^exponent.
    for bits in UInt16.min ... .max {
      let exponent = Int(bits >> 10) & 31, fraction = Float(bits & 1023)
      let value = Float(halfBits: bits)
      if exponent == 31 {
        #expect(fraction == 0 ? value.isInfinite : value.isNaN)
      } else {
        let significand = exponent == 0 ? fraction : fraction + 1024
        #expect(value.magnitude == Float(sign: .plus, exponent: max(exponent, 1) - 25, significand: significand))
      }
      #expect((value.sign == .minus) == (bits >= 0x8000))
    }
  }

  @Test(arguments: [
    (StoredType.float64, [0, 0, 0, 0, 0, 0, 0xF8, 0xBF] as [UInt8], Float(-1.5)),
    (.float32, [0, 0, 0xC0, 0xBF], -1.5),
    (.float16, [0x00, 0xBE], -1.5), (.bfloat16, [0xC0, 0xBF], -1.5), (.int8, [0xFE], -2), (.uint8, [0xFE], 254),
    (.int16, [0xFE, 0xFF], -2), (.uint16, [0xFE, 0xFF], 65534), (.int32, [0xFE, 0xFF, 0xFF, 0xFF], -2),
    (.uint32, [0xFE, 0xFF, 0xFF, 0xFF], 0x1p32), (.int64, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], -2),
    (.uint64, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 0x1p64), (.bool, [2], 1),
  ])
  func convertsEveryType(type: StoredType, element: [UInt8], expected: Float) throws {
    // More elements than one piece of the reader holds.
    let count = 70_001
    let header =
      #"{"x":{"dtype":"\#(type.rawValue)","shape":[\#(count)],"data_offsets":[0,\#(count * type.byteCount)]}}"#
    let zero = [UInt8](repeating: 0, count: element.count)
    let data = Array(repeating: element, count: count - 1).flatMap { $0 } + zero
    try put(safetensors(header) + data, to: path)
    let file = try SafetensorsFile(path: path)
    let values = try floats("x", of: file, count: count)
    #expect(values.last == 0)
    #expect(values.dropLast().allSatisfy { $0 == expected })
    if type == .uint64 {
      #expect(throws: CNNError.self) { try integers("x", of: file, count: count) }
    } else if type.isInteger {
      let whole = try integers("x", of: file, count: count)
      #expect(whole.last == 0)
      #expect(whole.dropLast().allSatisfy { $0 == (type == .uint32 ? 4_294_967_294 : Int64(expected)) })
    } else {
      let error = #expect(throws: CNNError.self) { try integers("x", of: file, count: count) }
      #expect(error?.code == .shapeMismatch)
    }
  }

  @Test func refusesToReadWhatIsNotThereOrDoesNotFit() throws {
    try put(safetensors(#"{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, dataCount: 8), to: path)
    let file = try SafetensorsFile(path: path)
    let unknown = #expect(throws: CNNError.self) { try floats("weigth", of: file, count: 2) }
    #expect(unknown?.code == .unknownName)
    #expect(unknown?.message.contains("did you mean 'weight'?") == true)
    let misfit = #expect(throws: CNNError.self) { try floats("weight", of: file, count: 3) }
    #expect(misfit?.code == .shapeMismatch)
    var bytes = [UInt8](repeating: 1, count: 7)
    #expect(throws: CNNError.self) { try bytes.withUnsafeMutableBytes { try file.readBytes("weight", into: $0) } }
    truncate(path, 70)
    let short = #expect(throws: CNNError.self) { try floats("weight", of: file, count: 2) }
    #expect(short?.code == .malformedFile)
  }

  @Test func acceptsTensorsInAnyOrderAndEmptyOnes() throws {
    let header =
      #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},"none":{"dtype":"F64","shape":[0,9],"data_offsets":[4,4]},"#
      + #""a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   "#
    try put(safetensors(header, dataCount: 7), to: path)
    let file = try SafetensorsFile(path: path)
    #expect(file.tensors.map(\.name) == ["a", "none", "b"])
    #expect(try floats("none", of: file, count: 0) == [])
    #expect(file.metadata == [:])
    try put(safetensors("{}"), to: path)
    #expect(try SafetensorsFile(path: path).tensors.isEmpty)
  }

  // MARK: Hostile files

  @Test(arguments: [
    ("", "only 0 bytes"), ("1234567", "only 7 bytes"), ("\u{3}\0\0\0\0\0\0\0{}", "should have 3 bytes"),
    ("\0\0\0\0\0\0\0\u{7F}{}", "should have"), ("\0\0\0\0\0\0\0\0", "not a JSON object"),
  ])
  func refusesHeaderLengthsThatLie(text: String, problem: String) throws {
    try put(Array(text.utf8), to: path)
    try expectMalformed(problem)
  }

  @Test func refusesTheLargestHeaderLength() throws {
    try put([UInt8](repeating: 0xFF, count: 8) + Array("{}".utf8), to: path)
    try expectMalformed("should have 18446744073709551615 bytes")
  }

  @Test(arguments: [
    ("[]", 0, "not a JSON object"), (" {}", 0, "not a JSON object"), ("{", 0, "JSON at byte 1"),
    ("{}", 1, "1 bytes after the last tensor"), ("{}x", 0, "JSON at byte 2"),
    (#"{"x":1}"#, 0, "'x': expected an object"), (#"{"x":{}}"#, 0, "'dtype' is missing"),
    (#"{"__metadata__":[]}"#, 0, "__metadata__ is not an object"),
    (#"{"__metadata__":{"format":1}}"#, 0, "'format' is not a string"),
    (#"{"x":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4, "unknown dtype 'F31'"),
    (#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "out of range"),
    (#"{"x":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4, "array of integers"),
    (#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}"#, 4, "out of range"),
    (#"{"x":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4]}}"#, 4, "out of range"),
    (#"{"x":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}}"#, 4, "integer is out of range"),
    (#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "takes 8 bytes, data_offsets span 4"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, "not a range"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, 4, "not a range"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, "not a range"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807]}}"#, 4, "not a range"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4, "not a range"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#, 8, "not a range"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "leaves a hole"),
    (#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8, "4 bytes after the last tensor"),
    (
      #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      8,
      "twice"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
      4,
      "'y' overlaps"
    ),
    (
      #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
      12, "'y' leaves a hole"
    ),
  ])
  func refusesHeadersThatLie(header: String, dataCount: Int, problem: String) throws {
    try put(safetensors(header, dataCount: dataCount), to: path)
    try expectMalformed(problem)
  }

  @Test func refusesTooManyDimensions() throws {
    let shape = Array(repeating: "1", count: 100_000).joined(separator: ",")
    try put(safetensors(#"{"x":{"dtype":"U8","shape":[\#(shape)],"data_offsets":[0,1]}}"#, dataCount: 1), to: path)
    try expectMalformed("100000 dimensions")
  }

  private func expectMalformed(_ problem: String) throws {
    let error = #expect(throws: CNNError.self) { try SafetensorsFile(path: path) }
    #expect(error?.code == .malformedFile)
    #expect(error?.message.hasPrefix("'\(path)' is not a safetensors file: ") == true)
    #expect(error?.message.contains(problem) == true, "\(error?.message ?? "")")
  }

  @Test func refusesWhatIsNotARegularFile() throws {
    mkfifo(path, 0o600)
    for path in [path, directory.path, "/dev/zero", "/nonexistent", "", "a\0b"] {
      let error = #expect(throws: CNNError.self) { try SafetensorsFile(path: path) }
      #expect(error?.code == .inputOutput)
    }
  }

  // MARK: Writing

  @Test func writesWhatItReads() throws {
    let pixels: [UInt8] = [1, 2, 255], weights: [Float] = [0.1, -.infinity, 0x1p-149], labels: [Int32] = [.min, 5]
    try pixels.withUnsafeBytes { pixels in
      try weights.withUnsafeBytes { weights in
        try labels.withUnsafeBytes { labels in
          try SafetensorsWriter.write(
            to: path,
            tensors: [
              .init(name: "pixels", shape: [3], type: .uint8, bytes: pixels),
              .init(name: "weights", shape: [3, 1], type: .float32, bytes: weights),
              .init(name: "é\"\\\n", shape: [2], type: .int32, bytes: labels),
            ], metadata: ["graph": #"{"nodes":[]}"#, "format": "pt"])
        }
      }
    }
    let file = try SafetensorsFile(path: path)
    #expect(file.metadata == ["graph": #"{"nodes":[]}"#, "format": "pt"])
    #expect(file.tensors.map(\.name) == ["weights", "é\"\\\n", "pixels"])
    #expect(file.tensors.map(\.shape) == [[3, 1], [2], [3]])
    #expect(try floats("weights", of: file, count: 3) == weights)
    #expect(try integers("é\"\\\n", of: file, count: 2) == labels.map(Int64.init))
    #expect(try integers("pixels", of: file, count: 3) == [1, 2, 255])
    #expect(file.tensors.first.map { $0.byteRange.lowerBound % 64 } == 0)
    #expect(directory.names() == ["model.safetensors"])
  }

  @Test func writesTheFormatByteForByte() throws {
    try [Float(1)].withUnsafeBytes {
      try SafetensorsWriter.write(
        to: path, tensors: [.init(name: "x", shape: [], type: .float32, bytes: $0)], metadata: ["b": "2", "a": "1"])
    }
    let header =
      #"{"__metadata__":{"a":"1","b":"2"},"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#
    let padded = header + String(repeating: " ", count: 120 - header.utf8.count)
    #expect(contents(of: path) == safetensors(padded) + [0, 0, 0x80, 0x3F])
  }

  @Test func roundsToTheTypeOfTheFileAndPutsWiderTypesFirst() throws {
    try [UInt8(7)].withUnsafeBytes { byte in
      try [Float(1.01), -3e38].withUnsafeBytes { numbers in
        try SafetensorsWriter.write(
          to: path,
          tensors: [
            .init(name: "byte", shape: [1], type: .uint8, bytes: byte),
            .init(name: "short", shape: [2], type: .float32, storedAs: .bfloat16, bytes: numbers),
            .init(name: "long", shape: [2], type: .float32, bytes: numbers),
          ])
      }
    }
    let file = try SafetensorsFile(path: path)
    #expect(file.tensors.map(\.name) == ["long", "short", "byte"])
    #expect(file.tensors.map(\.byteRange.count) == [8, 4, 1])
    var bytes = [UInt8](repeating: 0, count: 4)
    try bytes.withUnsafeMutableBytes { try file.readBytes("short", into: $0) }
    #expect(bytes == [0x81, 0x3F, 0x62, 0xFF])
  }

  @Test(arguments: [(ElementType.uint8, StoredType.bfloat16), (.float32, .float16), (.float32, .float64)])
  func refusesToStoreInATypeThatIsNotWritten(type: ElementType, stored: StoredType) throws {
    let error = #expect(throws: CNNError.self) {
      try [UInt8](repeating: 0, count: type.byteCount).withUnsafeBytes { bytes in
        try SafetensorsWriter.write(
          to: path, tensors: [.init(name: "x", shape: [1], type: type, storedAs: stored, bytes: bytes)])
      }
    }
    #expect(error?.code == .invalidArgument && error?.mentions("'x'") == true)
    #expect(directory.names() == [])
  }

  @Test(arguments: [
    (["x", "x"], [1], CNNError.Code.invalidArgument), (["__metadata__"], [1], .invalidArgument),
    (["x"], [2], .shapeMismatch), (["x"], [-1], .outOfMemory), (["x"], [.max, 2], .outOfMemory),
  ])
  func refusesToWriteWhatCouldNotBeRead(names: [String], shape: [Int], code: CNNError.Code) throws {
    let error = #expect(throws: CNNError.self) {
      try [Float(1)].withUnsafeBytes { bytes in
        try SafetensorsWriter.write(
          to: path, tensors: names.map { .init(name: $0, shape: shape, type: .float32, bytes: bytes) })
      }
    }
    #expect(error?.code == code)
    #expect(directory.names() == [])
  }

  @Test func survivesMutatedFiles() throws {
    let count = getenv("SWIFTCNN_FUZZ_COUNT").flatMap { Int(String(cString: $0)) } ?? 5000
    let header =
      #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"#
      + #""b":{"dtype":"I64","shape":[],"data_offsets":[12,20]},"c":{"dtype":"U8","shape":[4],"data_offsets":[20,24]}}"#
    let original = safetensors(header, dataCount: 24)
    let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var generator = PhiloxGenerator(seed: 2024, stream: 2)
    var accepted = 0
    for _ in 0..<count {
      var bytes = original
      for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: bytes.removeSubrange(place...)
        case 1: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
        case 2: bytes[place % 8] = UInt8.random(in: 0...255, using: &generator)
        case 3: bytes[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
        // Digits for digits: the header stays JSON and its numbers lie.
        case let choice:
          let digits = bytes.indices.filter { UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[$0] }
          guard let digit = digits.randomElement(using: &generator) else { continue }
          bytes[digit] =
            UInt8(ascii: choice < 9 ? "0" : "9") + UInt8.random(in: 0...(choice < 9 ? 9 : 0), using: &generator)
        }
      }
      pwrite(descriptor, bytes, bytes.count, 0)
      ftruncate(descriptor, bytes.count)
      do throws(CNNError) {
        let file = try SafetensorsFile(path: path)
        for tensor in file.tensors {
          let memory = try Memory(count: tensor.elementCount, of: .float32, for: tensor.name)
          try file.read(tensor.name, into: UnsafeMutableBufferPointer(rebasing: memory.floats[..<tensor.elementCount]))
        }
        accepted += 1
      } catch {
        #expect(error.code == .malformedFile)
      }
    }
    #expect(accepted > count / 100, "mutations that are all refused test little")
  }
}
