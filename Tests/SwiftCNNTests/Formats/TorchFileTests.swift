import CNNCore
import Glibc
import Testing

@testable import SwiftCNN

/// The path of a file in Tests/Golden/weights, which `Tests/Golden/weight_files.py` makes.
func goldenWeights(_ name: String, from source: String = #filePath) -> String {
  "\(goldenFolder(from: source))/weights/\(name)"
}

extension TensorFile {
  func values(_ name: String) throws -> [Float] {
    let sizes = try #require(self.shape(of: name))
    var values = [Float](repeating: .nan, count: sizes.reduce(1, *))
    try values.withUnsafeMutableBufferPointer { try read(name, into: $0) }
    return values
  }
}

@Suite struct TorchFileTests {
  @Test(arguments: ["zip.pth", "old.pth"])
  func bothFormsHaveTheTensorsOfAStateDict(_ name: String) throws {
    let file = try openTensorFile(goldenWeights(name))
    #expect(file is TorchFile)
    #expect(file.names == ["conv.weight", "conv.bias", "bn.num_batches_tracked"])
    #expect(file.shape(of: "conv.weight") == [4, 3, 2, 2])
    #expect(file.shape(of: "bn.num_batches_tracked") == [])
    #expect(try file.values("conv.weight") == Formula.values("conv.weight", 48))
    #expect(try file.values("conv.bias") == Formula.values("conv.bias", 4))
    #expect(try file.values("bn.num_batches_tracked") == [7])
    #expect(file.shape(of: "fc.weight") == nil)
  }

  @Test(arguments: ["checkpoint.pth", "old_checkpoint.pth"])
  func theWeightsInACheckpointAreFound(_ name: String) throws {
    let file = try TorchFile(path: goldenWeights(name))
    #expect(file.names == ["module.conv.weight", "module.conv.bias", "module.bn.num_batches_tracked"])
    #expect(try file.values("module.conv.weight") == Formula.values("conv.weight", 48))
  }

  @Test func stridesAreFollowed() throws {
    let file = try TorchFile(path: goldenWeights("strides.pth"))
    let both = Formula.values("both", 24)
    #expect(try file.values("channels_last") == Formula.values("conv.weight", 48))
    #expect(try file.values("transposed") == (0..<24).map { both[$0 % 6 * 4 + $0 / 6] })
    #expect(try file.values("rows") == Array(both[8..<16]))
    #expect(try file.values("column") == (0..<6).map { both[$0 * 4 + 1] })
    #expect(try file.values("expanded") == Array(repeating: both[0], count: 6))
  }

  @Test func everyElementTypeBecomesAFloat() throws {
    let file = try TorchFile(path: goldenWeights("types.pth"))
    for name in ["float64", "float32", "float16", "bfloat16"] { #expect(try file.values(name) == [0.5, -2, 96]) }
    for name in ["int64", "int32", "int16", "int8"] { #expect(try file.values(name) == [0, -2, 96]) }
    #expect(try file.values("uint8") == [0, 2, 200])
    #expect(try file.values("bool") == [1, 0, 1])
  }

  @Test func aWholeModuleIsRefusedByTheNameOfItsClass() throws {
    let error = try #require(throws: CNNError.self) { try TorchFile(path: goldenWeights("module.pth")) }
    #expect(error.code == .malformedFile)
    #expect(error.mentions("torch.nn.modules.linear.Linear") && error.mentions("state_dict"))
  }

  @Test func aPickleThatCallsIsRefused() throws {
    // cposix\nsystem\n(X\4\0\0\0truetR. as the pickle of an archive
    let directory = try TemporaryDirectory()
    let path = directory.file("evil.pth")
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      var archive = ZipWriter()
      try archive.add("evil/data.pkl", Array("cposix\nsystem\n(X\u{4}\0\0\0truetR.".utf8), to: file)
      try archive.finish(file)
    }
    let error = try #require(throws: CNNError.self) { try TorchFile(path: path) }
    #expect(error.code == .malformedFile && error.mentions("posix.system"))
  }

  @Test func aSizeThatDoesNotFitIsRefusedOnReading() throws {
    let file = try TorchFile(path: goldenWeights("zip.pth"))
    var room = [Float](repeating: 0, count: 3)
    #expect(throws: CNNError.self) { try room.withUnsafeMutableBufferPointer { try file.read("conv.bias", into: $0) } }
    #expect(throws: CNNError.self) { try room.withUnsafeMutableBufferPointer { try file.read("conv.bia", into: $0) } }
  }

  /// Every cut and thousands of changed bytes give tensors or an error, never anything else. `SWIFTCNN_FUZZ_COUNT` sets
  /// the number of changes, to all four files together, for a long run.
  @Test(arguments: ["zip.pth", "old.pth", "old_checkpoint.pth", "strides.pth"])
  func damagedFilesGiveAnErrorOrTensors(_ name: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("damaged.pth")
    let bytes = try #require(contents(of: goldenWeights(name)))
    var random = PhiloxGenerator(seed: 6, stream: UInt64(bytes.count))
    func check(_ bytes: [UInt8]) throws {
      try put(bytes, to: path)
      do throws(CNNError) {
        let file = try openTensorFile(path)
        for name in file.names.prefix(8) {
          // A tensor may be as large as it says without its storage being so, where strides are 0.
          let count = try? Checked.product(file.shape(of: name) ?? [], "a tensor")
          if let count, count < 1 << 16 { _ = try? file.values(name) }
        }
      } catch {
        #expect(error.code == .malformedFile || error.code == .outOfMemory)
      }
    }
    for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 300)) { try check(Array(bytes[..<length])) }
    let count = getenv("SWIFTCNN_FUZZ_COUNT").flatMap { Int(String(cString: $0)) } ?? 6000
    for _ in 0..<count / 4 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        changed[Int.random(in: changed.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
      }
      try check(changed)
    }
  }
}
