import CNNCore
import CNNGraph
import CNNRuntime
import Glibc
import Testing
import X86Assembler

@testable import CNNCompiler
@testable import CNNKernels
@testable import SwiftCNN

/// The generated code of a list of plans is, byte for byte, that of `generated_code.txt`. A change that is not meant to
/// change code leaves the file alone; one that is writes it anew (`make code-golden`), and its diff shows what changed.
@Suite struct GeneratedCodeTests {
  /// Two kinds of processors of which code is generated on any.
  static let targets = [
    CodeTarget(.avx2, secondCacheByteCount: 512 << 10, lastCacheByteCount: 16 << 20),
    CodeTarget(.avx512, secondCacheByteCount: 1 << 20, lastCacheByteCount: 32 << 20),
  ]
  static let models = [
    ("resnet18", 224, 8), ("resnet50", 224, 8), ("resnext50_32x4d", 224, 8), ("efficientnet_b0", 224, 8),
    ("efficientnet_v2_s", 224, 4), ("tf_efficientnet_lite0", 224, 8), ("resnet20", 32, 32),
  ]

  /// The kernels of a plan: each its name and the hash of its bytes, sorted.
  static func kernels(_ library: KernelLibrary) throws -> [String] {
    try library.code().map { code in
      // Behind the last "_" is the kernel's number in its plan.
      let end = code.name.lastIndex(of: "_") ?? code.name.endIndex
      return "\(code.name[..<end]) \(hash(code.bytes))"
    }.sorted()
  }

  /// FNV-1a.
  private static func hash(_ bytes: some Sequence<UInt8>) -> String {
    String(bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }, radix: 16)
  }

  /// The kernels of each of a model's plans, by what the plan is.
  static func plans(
    _ model: (name: String, size: Int, batch: Int), _ target: CodeTarget
  ) throws -> [(plan: String, kernels: [String])] {
    var options = ModelOptions()
    (options.inputShape, options.classes) = ([model.size, model.size, 3], 1000)
    let network = try ModelRegistry.graph(model.name, options)
    let normalization = try Compiler.PixelNormalization(mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25])
    let loss = Loss(.sparseCategoricalCrossEntropy, fromLogits: false)
    var found: [(String, [String])] = []
    func add(_ purpose: String, _ batch: Int, _ make: ([TensorType], CodeGeneration) throws -> Graph) throws {
      let library = KernelLibrary(target)
      let image = try TensorType(.float32, [batch, model.size, model.size, 3])
      _ = try make([image], CodeGeneration(library: library, workers: Workers(count: 2)))
      found.append(try ("\(target.vectorName) \(model.name) \(purpose) \(batch)", kernels(library)))
    }
    for batch in [1, model.batch] {
      try add("prediction", batch) {
        try Compiler.inferenceGraph(network, inputs: $0, normalization: normalization, generation: $1)
      }
    }
    try add("evaluation", model.batch) {
      try Compiler.evaluationGraph(network, inputs: $0, normalization: normalization, loss: loss, generation: $1)
    }
    try add("training", model.batch) {
      try Compiler.trainingGraph(network, inputs: $0, normalization: normalization, loss: loss, generation: $1)
    }
    return found
  }

  /// The kernels of a model of levels in a prediction of one image, by what the plan is. All tensors have the same levels.
  private static func plan(
    ofLevels name: String, _ target: CodeTarget
  ) throws -> (plan: String, kernels: [String]) {
    var options = ModelOptions()
    (options.inputShape, options.classes) = ([224, 224, 3], 1000)
    let model = try Model(name, options: options)
    let network = try FoldedNetwork(model.network) { parameter in
      model.parameters.position(of: parameter).map { model.parameters.values(at: $0) }
    }.graph
    let points = QuantizationPoints(network), levels = try #require(ByteLevels(scale: 0.05, zeroPoint: 14))
    let rounded = try network.rounding(
      Dictionary(uniqueKeysWithValues: points.values.map { (network.name(of: $0), levels) }),
      weights: Dictionary(
        uniqueKeysWithValues: points.layers.map { (network.nodes[$0].name, WeightLevels(scales: [0.01])) }))
    let library = KernelLibrary(target)
    _ = try Compiler.inferenceGraph(
      rounded, inputs: [TensorType(.float32, [1, 224, 224, 3])],
      normalization: Compiler.PixelNormalization(mean: [0, 0, 0], deviation: [1, 1, 1]),
      generation: CodeGeneration(library: library, workers: Workers(count: 2)))
    let products = target.byteProductName
    return try ("\(products) \(name) int8 1", kernels(library))
  }

  /// The kernels of a training step of which products of bfloat16 on vectors are a part, by what the plan is.
  private static func plan(ofBFloat16 name: String) throws -> (plan: String, kernels: [String]) {
    var options = ModelOptions()
    (options.inputShape, options.classes) = ([224, 224, 3], 1000)
    let library = KernelLibrary(
      CodeTarget(.avx512BF16, secondCacheByteCount: 1 << 20, lastCacheByteCount: 32 << 20, bfloat16Rate: 1))
    _ = try Compiler.trainingGraph(
      ModelRegistry.graph(name, options), inputs: [TensorType(.float32, [8, 224, 224, 3])],
      normalization: Compiler.PixelNormalization(mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25]),
      loss: Loss(.sparseCategoricalCrossEntropy, fromLogits: false),
      generation: CodeGeneration(library: library, workers: Workers(count: 2), precision: .bfloat16))
    return try ("avx512_bf16 \(name) training 8", kernels(library))
  }

  private static let path =
    #filePath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/generated_code.txt"

  /// What the file holds: every kernel once, and for every plan how many it has and a hash of them all.
  private static func lines() throws -> [String] {
    var kernels: Set<String> = []
    var plans: [String] = []
    func add(_ plan: (plan: String, kernels: [String])) {
      kernels.formUnion(plan.kernels)
      plans.append("\(plan.plan) \(plan.kernels.count) \(hash(plan.kernels.joined(separator: "\n").utf8))")
    }
    for target in targets {
      for model in models { try Self.plans(model, target).forEach(add) }
    }
    for target in targets + [CodeTarget(.avx512VNNI, secondCacheByteCount: 1 << 20, lastCacheByteCount: 32 << 20)] {
      for model in ["resnet18", "efficientnet_b0", "tf_efficientnet_lite0"] {
        add(try plan(ofLevels: model, target))
      }
    }
    for model in ["resnet18", "efficientnet_b0"] { add(try plan(ofBFloat16: model)) }
    return kernels.sorted() + plans
  }

  @Test func codeIsWhatItWas() throws {
    let found = try Self.lines()
    if getenv("SWIFTCNN_CODE_GOLDEN").map({ String(cString: $0) }) == "write" {
      let file = try #require(fopen(Self.path, "w"))
      defer { fclose(file) }
      for line in found { fputs(line + "\n", file) }
    }
    let stored = try Self.storedLines(), lost = Set(stored).subtracting(found), new = Set(found).subtracting(stored)
    #expect(
      lost.isEmpty && new.isEmpty, "not made any more: \(lost.sorted().prefix(9)); new: \(new.sorted().prefix(9))")
  }

  /// Code for float32 is of vectors, whatever a processor has beside them.
  @Test func codeForVectorsIsTheSameOnEveryProcessorThatHasThem() throws {
    let more: InstructionSet = [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16, .amxInt8, .amxBF16]
    let plain = try Self.plans(("resnet20", 32, 2), CodeTarget(.avx512))
    let found = try Self.plans(("resnet20", 32, 2), CodeTarget(more))
    #expect(found.map(\.plan) == plain.map(\.plan) && found.map(\.kernels) == plain.map(\.kernels))
  }

  private static func storedLines() throws -> [String] {
    let file = try #require(fopen(path, "r"), "\(path) is missing")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
