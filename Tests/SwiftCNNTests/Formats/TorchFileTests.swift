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
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

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
    #expect(
      file.names
        == ["module.conv.weight", "module.conv.bias", "module.bn.num_batches_tracked"].map { "state_dict/\($0)" })
    #expect(try file.values("state_dict/module.conv.weight") == Formula.values("conv.weight", 48))
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

  @Test(arguments: ["script.pth", "script4.pth", "script_old.pth"])
  func whatTrainingScriptsKeepBesideTheTensorsIsPassedOver(_ name: String) throws {
    let file = try TorchFile(path: goldenWeights(name))
    #expect(try file.values("model_ema/module.conv.weight") == Formula.values("conv.weight", 48))
    #expect(file.names.contains("best") && file.names.contains("model_ema/n_averaged"))
    #expect(file.networkClass == nil)
  }

  /// An archive with this pickle, and one storage of four floats.
  private func archive(_ pickle: [UInt8], to path: String) throws {
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      var archive = ZipWriter()
      try archive.add("a/data.pkl", pickle, to: file)
      try archive.add("a/data/0", [UInt8](repeating: 1, count: 16), to: file)
      try archive.finish(file)
    }
  }

  /// Every instruction of every protocol, in any order, with tensors and names that mean something among them.
  @Test func anyInstructionsGiveAnErrorOrTensors() throws {
    let path = directory.file("random.pth")
    let tensor =
      "ctorch._utils\n_rebuild_tensor_v2\n((X\u{7}\0\0\0storagectorch\nFloatStorage\nX\u{1}\0\0\00X\u{3}\0\0\0cpuK\u{4}tQ"
      + "K\0(K\u{2}K\u{2}t(K\u{2}K\u{1}tN)tR"
    var pieces = ["(", "N", ")", "]", "}", "t", "l", "d", "a", "e", "s", "u", "0", "1", "2", "R", "b", "o", "Q"].map {
      Array($0.utf8)
    }
    pieces += [0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8F, 0x90, 0x91, 0x92, 0x93, 0x94].map { [UInt8($0)] }
    pieces += [[0x80, 2], [0x82, 1], [0x83, 1, 2], [0x84, 1, 2, 3, 4], [0x8A, 2, 5, 6], [0x8B, 1, 0, 0, 0, 9]]
    pieces += [[0x95, 0, 0, 0, 0, 0, 0, 0, 0], [0x8E, 1, 0, 0, 0, 0, 0, 0, 0, 7], [0x96, 0, 0, 0, 0, 0, 0, 0, 0]]
    pieces += [
      "I3\n", "I01\n", "L4L\n", "F1.5\n", "S'a'\n", "Vb\n", "p0\n", "g0\n", "ia\nb\n", "X\u{1}\0\0\0a", "U\u{1}b",
    ]
    .map { Array($0.utf8) }
    pieces += [
      "ca\nb\n", "ccollections\nOrderedDict\n", "ccollections\nCounter\n", "ctorch\nSize\n", "h\0", "q\0", tensor,
    ]
    .map { Array($0.utf8) }
    pieces += [
      "ctorch._tensor\n_rebuild_from_type_v2\n", "ccopyreg\n_reconstructor\n", "X\u{8}\0\0\0_modules", "K\u{1}",
    ]
    .map { Array($0.utf8) }
    var random = PhiloxGenerator(seed: 17, stream: 0), found = 0
    for _ in 0..<1000 {
      var pickle: [UInt8] = []
      for _ in 0..<Int.random(in: 0...(Bool.random(using: &random) ? 6 : 30), using: &random) {
        pickle += pieces[Int.random(in: pieces.indices, using: &random)]
      }
      // Half of them end in a dictionary with what is on the stack.
      if Bool.random(using: &random) { pickle += Array("}X\u{1}\0\0\0a\(tensor)s".utf8) }
      try archive(pickle + [UInt8(ascii: ".")], to: path)
      do throws(CNNError) {
        let file = try TorchFile(path: path)
        for name in file.names { _ = try? file.values(name) }
        found += 1
      } catch {
        #expect(error.code == .malformedFile, "\(error)")
      }
    }
    #expect(found > 30)
  }

  @Test func listsThatAreGivenToManyCallsTakeNoMemory() throws {
    // A list of 100,000 pairs, of which 100,000 dictionaries are made.
    let path = directory.file("large.pth")
    var pickle = Array("](".utf8)
    for _ in 0..<100_000 { pickle += [UInt8(ascii: "N"), UInt8(ascii: "N"), 0x86] }
    pickle += [UInt8(ascii: "e"), 0x85, UInt8(ascii: "q"), 0] + Array("ccollections\nOrderedDict\n".utf8)
    pickle += [UInt8(ascii: "q"), 1]
    for _ in 0..<100_000 {
      pickle += [UInt8(ascii: "h"), 1, UInt8(ascii: "h"), 0, UInt8(ascii: "R"), UInt8(ascii: "0")]
    }
    try archive(pickle + [UInt8(ascii: ".")], to: path)
    let error = try #require(throws: CNNError.self) { try TorchFile(path: path) }
    #expect(error.mentions("parts"))
  }

  @Test func aPickleThatCallsIsRefused() throws {
    // cposix\nsystem\n(X\4\0\0\0truetR. as the pickle of an archive
    let path = directory.file("evil.pth")
    try archive(Array("cposix\nsystem\n(X\u{4}\0\0\0truetR.".utf8), to: path)
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
  /// the number of changes, to all six files together, for a long run.
  @Test(arguments: ["zip.pth", "old.pth", "old_checkpoint.pth", "strides.pth", "script.pth", "script4.pth"])
  func damagedFilesGiveAnErrorOrTensors(_ name: String) throws {
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
    for _ in 0..<count / 6 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        changed[Int.random(in: changed.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
      }
      try check(changed)
    }
  }
}
