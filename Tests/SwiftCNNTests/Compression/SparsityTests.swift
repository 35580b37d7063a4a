import CNNCore
import CNNCompiler
import CNNGraph
import CNNKernels
import Testing

@testable import SwiftCNN

/// Masks of weights: which they are, and that they hold.
@Suite struct SparsityTests {
  /// A stem, a convolution with windows, a depthwise one, two pointwise ones of awkward widths, and a dense layer.
  private func model(seed: UInt64 = 3) throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [6, 6, 2])
    x = try builder.convolution(x, "stem", outputChannels: 24, kernel: (3, 3), padding: .same)
    x = try builder.activation(.relu, builder.batchNormalization(x, "stem.bn"))
    x = try builder.convolution(x, "window", outputChannels: 20, kernel: (3, 3), padding: .same)
    x = try builder.activation(.relu, builder.batchNormalization(x, "window.bn"))
    x = try builder.depthwiseConvolution(x, "depthwise", kernel: (3, 3), padding: .all(1))
    x = try builder.convolution(x, "expand", outputChannels: 37, kernel: (1, 1), bias: true)
    x = try builder.activation(.relu, x)
    x = try builder.convolution(x, "project", outputChannels: 16, kernel: (1, 1))
    x = try builder.apply(GlobalPooling2D(.average), x)
    x = try builder.apply(Softmax(), builder.dense(x, "fc", units: 3))
    try builder.graph.addOutput("probabilities", x)
    return try Model(builder.graph, name: "sparse", seed: seed)
  }

  private static let usual = ["window", "expand", "project"], leftAlone = ["stem", "depthwise", "fc"]

  private func zeros(_ model: Model, _ layer: String) throws -> Int {
    try model.values("\(layer).weight").count { $0 == 0 }
  }

  private func mask(_ model: Model, _ layer: String) throws -> SparsityMask? {
    try #require(model.graph.parameters.first { $0.name == "\(layer).weight" }).mask
  }

  @Test(arguments: [0.1, 0.5, 0.9, 1]) func eachLayerLosesItsSmallest(_ sparsity: Double) throws {
    let model = try model(), before = try model.bits()
    let sparse = try model.sparsified(options: SparsityOptions(sparsity: sparsity, scope: .layer))
    #expect(try model.bits() == before && model.graph.parameters.allSatisfy { $0.mask == nil })
    for layer in Self.usual {
      let old = try model.values("\(layer).weight"), new = try sparse.values("\(layer).weight")
      #expect(new.count { $0 != 0 } == Int((Double(old.count) * (1 - sparsity)).rounded()))
      let kept = zip(old, new).filter { $0.1 != 0 }, lost = zip(old, new).filter { $0.1 == 0 }
      #expect(kept.allSatisfy { $0.0 == $0.1 })
      #expect((lost.map { $0.0.magnitude }.max() ?? 0) <= kept.map { $0.0.magnitude }.min() ?? .infinity)
    }
    for layer in Self.leftAlone { #expect(try zeros(sparse, layer) == 0 && mask(sparse, layer) == nil) }
  }

  /// Those with the least scores as the paper defines them, found the long way.
  @Test(arguments: [0.3, 0.8, 0.97]) func globallyTheLeastScoresGo(_ sparsity: Double) throws {
    let model = try model(), sparse = try model.sparsified(options: SparsityOptions(sparsity: sparsity))
    var scores: [(score: Double, isKept: Bool)] = []
    for layer in Self.usual {
      let old = try model.values("\(layer).weight"), new = try sparse.values("\(layer).weight")
      for (a, b) in zip(old, new) {
        let rest = old.filter { $0.magnitude >= a.magnitude }.reduce(0.0) { $0 + Double($1) * Double($1) }
        scores.append((Double(a) * Double(a) / rest, b != 0))
      }
      #expect(new.contains { $0 != 0 })
    }
    let kept = scores.filter(\.isKept).map(\.score), lost = scores.filter { !$0.isKept }.map(\.score)
    #expect(kept.count == Int((Double(scores.count) * (1 - sparsity)).rounded()))
    // But for the rounding of scores to float32.
    #expect((lost.max() ?? 0) <= (kept.min() ?? 0) * 1.000001)
  }

  @Test(arguments: SparsityScope.allCases) func blocksGoTogether(_ scope: SparsityScope) throws {
    let sparse = try model().sparsified(options: SparsityOptions(sparsity: 0.75, pattern: .blocks, scope: scope))
    for layer in Self.usual {
      let shape = try #require(sparse.parameterList.first { $0.name == "\(layer).weight" }).shape
      let size = shape.dropFirst().reduce(1, *), values = try sparse.values("\(layer).weight")
      for first in stride(from: 0, to: shape[0], by: 16) {
        for index in 0..<size {
          let block = (first..<min(first + 16, shape[0])).map { values[$0 * size + index] == 0 }
          #expect(Set(block).count == 1)
        }
      }
    }
    let report = sparse.sparsityReport()
    #expect(report.layers.map(\.name) == ["stem", "window", "depthwise", "expand", "project", "fc"])
    for layer in report.layers where Self.usual.contains(layer.name) {
      #expect(scope == .global || (layer.blockSparsity - 0.75).magnitude < 0.01)
      #expect(layer.maskedCount == layer.zeroCount && layer.usuallyLeftAlone == nil)
    }
    let reasons = report.layers.filter { Self.leftAlone.contains($0.name) }.map(\.usuallyLeftAlone)
    #expect(reasons == ["first layer", "depthwise", "last layer"])
  }

  @Test(arguments: [(2, 4), (1, 8), (3, 3), (4, 64)]) func fewOfManyChannelsAreLeft(_ kept: Int, _ among: Int) throws {
    let model = try model()
    let sparse = try model.sparsified(options: SparsityOptions(pattern: .fewOf(kept: kept, among: among)))
    for layer in Self.usual {
      let shape = try #require(model.parameterList.first { $0.name == "\(layer).weight" }).shape
      let old = try model.values("\(layer).weight"), new = try sparse.values("\(layer).weight")
      let inputs = shape[1], taps = shape[2] * shape[3]
      for output in 0..<shape[0] {
        for tap in 0..<taps {
          for first in stride(from: 0, to: inputs, by: among) {
            let places = (first..<min(first + among, inputs)).map { (output * inputs + $0) * taps + tap }
            let left = places.filter { new[$0] != 0 }
            #expect(left.count == min(kept, places.count))
            let least = left.map { old[$0].magnitude }.min() ?? 0
            #expect(places.allSatisfy { new[$0] != 0 || old[$0].magnitude <= least })
          }
        }
      }
    }
  }

  @Test func layersAreNamed() throws {
    let options = SparsityOptions(
      sparsity: 0.5, pattern: .unstructured, scope: .layer, skip: ["win*", "expand"], include: ["fc", "depth*"])
    let sparse = try model().sparsified(options: options)
    #expect(try ["stem", "window", "expand"].allSatisfy { try mask(sparse, $0) == nil })
    #expect(try ["project", "fc", "depthwise"].allSatisfy { try mask(sparse, $0)?.sparsity ?? 0 > 0.4 })
    // Those that are left alone keep their masks; 0 takes masks away.
    try sparse.setSparsity(SparsityOptions(sparsity: 0, skip: ["project"]))
    #expect(try mask(sparse, "project") != nil && mask(sparse, "fc") != nil)
    try sparse.setSparsity(SparsityOptions(sparsity: 0, include: ["fc"]))
    #expect(try mask(sparse, "project") == nil && mask(sparse, "fc") == nil)
  }

  /// The zeros that another tool has left are the mask.
  @Test func zerosAreTakenAsTheyAre() throws {
    let model = try model()
    var values = try model.values("expand.weight")
    for index in values.indices where index % 3 == 0 { values[index] = 0 }
    try model.set("expand.weight", values)
    let sparse = try model.sparsified(options: SparsityOptions(pattern: .zeros))
    let mask = try #require(try mask(sparse, "expand"))
    #expect(values.indices.allSatisfy { mask[$0] == ($0 % 3 != 0) })
    #expect(try self.mask(sparse, "window") == nil)
    #expect(try sparse.values("expand.weight") == values)
  }

  /// Neither gradients nor momentum, decay or averages bring a weight back, and the rest trains.
  @Test(arguments: ResumeTests.optimizers) func masksHoldInTraining(_ optimizer: String) throws {
    let data = try imageData(18), dense = try model()
    try dense.compile(#"{"optimizer": \#(optimizer), "seed": 11}"#)
    var options = FitOptions()
    (options.batchSize, options.epochs) = (4, 1)
    // With momentum of the weights that then go.
    try dense.fit(data.x.view, data.y.view, options: options)
    let sparse = try dense.sparsified(options: SparsityOptions(sparsity: 0.6, scope: .layer))
    let start = try sparse.values("window.weight")
    options.epochs = 3
    options.resumes = true
    try sparse.fit(data.x.view, data.y.view, options: options)
    for layer in Self.usual {
      let mask = try #require(try mask(sparse, layer)), values = try sparse.values("\(layer).weight")
      #expect(values.indices.allSatisfy { mask[$0] || values[$0] == 0 })
      #expect(try sparse.gradient(of: "\(layer).weight").values.enumerated().allSatisfy { mask[$0] || $1 == 0 })
      let position = try sparse.position(of: "\(layer).weight")
      for (_, storage) in sparse.training?.optimizer.state ?? [] {
        #expect(storage.values(at: position).enumerated().allSatisfy { mask[$0] || $1 == 0 })
      }
    }
    let end = try sparse.values("window.weight")
    #expect(zip(start, end).count { $0 != $1 } > start.count / 5)
    if sparse.training?.optimizer.average != nil {
      try sparse.applyMovingAverage()
      #expect(try zeros(sparse, "window") == start.count { $0 == 0 })
    }
  }

  /// A run that is stopped and resumed from a file ends in the same bits, and has the same masks.
  @Test func aFileHasTheMasks() throws {
    let data = try imageData(18), directory = try TemporaryDirectory()
    func compiled() throws -> Model {
      let model = try model().sparsified(options: SparsityOptions(sparsity: 0.7, pattern: .blocks))
      try model.compile(#"{"optimizer": {"name": "adam", "learning_rate": 0.01, "ema_decay": 0.9}, "seed": 11}"#)
      return model
    }
    var options = FitOptions()
    (options.batchSize, options.epochs) = (4, 3)
    let whole = try compiled(), first = try compiled()
    // A kept weight that happens to be 0 is no masked one.
    let kept = try #require(try first.values("window.weight").firstIndex { $0 != 0 })
    for model in [whole, first] {
      var values = try model.values("window.weight")
      values[kept] = 0
      try model.set("window.weight", values)
    }
    try whole.fit(data.x.view, data.y.view, options: options)
    try first.fit(data.x.view, data.y.view, options: options) { (progress) throws(CNNError) in progress.step < 7 }
    try first.write(to: directory.file("checkpoint"), includingTrainingState: true)
    let second = try Model(contentsOf: directory.file("checkpoint"))
    #expect(second.graph.parameters.map(\.mask) == first.graph.parameters.map(\.mask))
    options.resumes = true
    try second.fit(data.x.view, data.y.view, options: options)
    #expect(try second.bits() == whole.bits())
    #expect(try second.values("window.weight")[kept] != 0)

    try second.write(to: directory.file("model"))
    let third = try Model(contentsOf: directory.file("model"))
    #expect(
      try third.bits() == second.bits() && third.graph.parameters.map(\.mask) == second.graph.parameters.map(\.mask))
    // Weights alone are the zeros alone, into a dense model.
    let dense = try model()
    try dense.loadWeights(from: directory.file("model"))
    #expect(try dense.bits() == second.bits() && mask(dense, "window") == nil)
  }

  @Test func damagedMasksAreRefused() throws {
    let directory = try TemporaryDirectory(), path = directory.file("model")
    try model().sparsified().write(to: path)
    let file = try SafetensorsFile(path: path)
    func written(_ change: (inout [SafetensorsWriter.Tensor]) -> Void) throws {
      var memory: [Memory] = [], tensors: [SafetensorsWriter.Tensor] = []
      for tensor in file.tensors {
        let bytes = try Memory(byteCount: tensor.byteRange.count, for: "a tensor")
        memory.append(bytes)
        let all = UnsafeMutableRawBufferPointer(start: bytes.base, count: bytes.byteCount)
        try file.readBytes(tensor.name, into: all)
        tensors.append(
          .init(
            name: tensor.name, shape: tensor.shape, type: tensor.type == .uint8 ? .uint8 : .float32,
            bytes: UnsafeRawBufferPointer(all)))
      }
      change(&tensors)
      try SafetensorsWriter.write(to: path, tensors: tensors, metadata: file.metadata)
      withExtendedLifetime(memory) {}
      _ = try Model(contentsOf: path)
    }
    func at(_ name: String, _ tensors: [SafetensorsWriter.Tensor]) -> Int {
      tensors.firstIndex { $0.name == name } ?? 0
    }
    let name = "swiftcnn.mask.expand.weight"
    #expect(throws: Never.self) { try written { _ in } }
    expectError(.malformedFile, "expected U8 of shape [93]") {
      try written { tensors in
        let old = tensors[at(name, tensors)]
        tensors[at(name, tensors)] = .init(
          name: name, shape: [92], type: .uint8, bytes: UnsafeRawBufferPointer(rebasing: old.bytes[..<92]))
      }
    }
    expectError(.malformedFile, "'swiftcnn.mask.nowhere' is a mask of 'nowhere'") {
      try written { tensors in
        tensors.append(
          .init(
            name: "swiftcnn.mask.nowhere", shape: [0], type: .uint8, bytes: UnsafeRawBufferPointer(start: nil, count: 0)
          ))
      }
    }
    let ones = [UInt8](repeating: 255, count: 93)
    try ones.withUnsafeBytes { ones in
      expectError(.malformedFile, "has bits behind those of its 740 numbers") {
        try written { $0[at(name, $0)] = .init(name: name, shape: [93], type: .uint8, bytes: ones) }
      }
    }
  }

  /// Whatever is written to a weight is 0 where its mask says so; copies share nothing.
  @Test func writtenValuesAreMasked() throws {
    let sparse = try model().sparsified(), copy = try sparse.copy()
    let mask = try #require(try mask(sparse, "project"))
    try sparse.set("project.weight", Array(repeating: 2, count: mask.count))
    #expect(try sparse.values("project.weight").enumerated().allSatisfy { $1 == (mask[$0] ? 2 : 0) })
    let other = try model(seed: 8)
    try other.copyState(of: sparse)
    #expect(try self.mask(other, "project") == mask && other.bits() == sparse.bits())
    try sparse.setSparsity(SparsityOptions(sparsity: 0))
    #expect(try self.mask(copy, "project") == mask)
    // A mask of another size is none.
    var graph = copy.graph
    graph.setMasks { _ in SparsityMask(count: 5) { _ in false } }
    #expect(graph.parameters.allSatisfy { $0.mask == nil })
    // Parameters of a network with masks that are drawn anew have them too.
    let fresh = try Model(copy.graph, name: "fresh", seed: 9)
    #expect(try zeros(fresh, "project") == mask.count - mask.keptCount)
  }

  private static func pointwise() throws -> Graph {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [9, 9, 32])
    for (name, channels) in [("a", 64), ("b", 80), ("c", 48)] {
      x = try builder.convolution(x, name, outputChannels: channels, kernel: (1, 1), bias: name == "c")
      x = try builder.activation(.relu, builder.batchNormalization(x, "\(name).bn"), "\(name).relu")
    }
    try builder.graph.addOutput("y", builder.apply(GlobalPooling2D(.average), x))
    return builder.graph
  }

  /// Steps that skip zeros are those of the masks that there are, whichever model has changed them: what is written where
  /// there is no mask any more counts, also in a model that only shares the weights.
  @Test(arguments: [SparsityPattern.unstructured, .blocks]) func predictionsFollowTheMasks(_ pattern: SparsityPattern)
    throws
  {
    let model = try Model(Self.pointwise(), name: "sparse", seed: 4)
    var tensors: [String: ParameterTensor] = [:]
    for (parameter, tensor) in zip(model.parameters.parameters, model.parameters.tensors) {
      tensors[parameter.name] = tensor
    }
    let shared = try Model(
      uninitialized: Self.pointwise(), name: "shared", mean: nil, deviation: nil, sharing: tensors)
    let x = try Tensor(Formula.values("x", 3 * 81 * 32), shape: [3, 9, 9, 32])
    func check(_ what: String, isSparse: Bool) throws {
      let plain = try Model(Self.pointwise(), name: "plain")
      for parameter in model.parameterList { try plain.set(parameter.name, model.values(parameter.name)) }
      let expected = try plain.predict(x).values
      expectClose(try model.predict(x).values, expected, 1e-5, what)
      expectClose(try shared.predict(x).values, expected, 1e-5, "\(what), shared")
      guard CodeTarget.host != nil else { return }
      let steps = try model.planForOne().stepCosts.map(\.cost.algorithm)
      #expect(steps.contains { $0.hasPrefix("sparse") } == isSparse, "\(what): \(steps)")
    }
    try check("dense", isSparse: false)
    try model.setSparsity(SparsityOptions(sparsity: 0.95, pattern: pattern, scope: .layer, include: ["a", "c"]))
    try check("sparse", isSparse: true)
    for name in ["a.weight", "b.weight", "c.weight"] {
      try model.set(name, Formula.values(name, model.values(name).count, scale: 0.1))
    }
    try check("other weights", isSparse: true)
    try model.setSparsity(SparsityOptions(sparsity: 0, include: ["a", "c"]))
    for name in ["a.weight", "b.weight", "c.weight"] {
      try model.set(name, Formula.values("\(name) 2", model.values(name).count, scale: 0.1))
    }
    try check("without masks", isSparse: false)
    try shared.setSparsity(
      SparsityOptions(sparsity: 0.9, pattern: .blocks, scope: .layer, skip: ["b"], include: ["a", "c"]))
    try check("masks of the other", isSparse: true)
  }

  /// Models in integers, and those that are trained for them, have the masks and the zeros.
  @Test func masksAreQuantized() throws {
    let x = try imageData(18).x, sparse = try model().sparsified(options: SparsityOptions(pattern: .blocks))
    let trained = try sparse.quantizationAware(calibration: x), integers = try sparse.quantized(calibration: x)
    for layer in Self.usual {
      let expected = try #require(try mask(sparse, layer))
      #expect(try mask(trained, layer) == expected && mask(integers, layer) == expected)
      #expect(try zeros(integers, layer) >= expected.count - expected.keptCount)
    }
    try trained.setSparsity(SparsityOptions(sparsity: 0.95, pattern: .blocks))
    #expect(try zeros(trained, "window") > zeros(sparse, "window"))
    expectError(.invalidState, "quantised") { try integers.setSparsity(SparsityOptions()) }
  }

  /// In steps, as a schedule asks for it, what is gone stays gone.
  @Test func sparsityGrows() throws {
    let data = try imageData(18), model = try model()
    try model.compile(#"{"optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}, "seed": 1}"#)
    var before: SparsityMask?
    for sparsity in [0.2, 0.5, 0.7] {
      try model.setSparsity(SparsityOptions(sparsity: sparsity, scope: .layer))
      let now = try #require(try mask(model, "window"))
      #expect((now.sparsity - sparsity).magnitude < 0.001)
      if let before { #expect((0..<now.count).allSatisfy { before[$0] || !now[$0] }) }
      before = now
      try model.trainOnBatch(data.x, data.y)
    }
  }

  @Test func mistakesAreNamed() throws {
    let model = try model(), before = try model.bits()
    func refused(_ code: CNNError.Code, _ text: String, _ options: SparsityOptions) {
      expectError(code, text) { _ = try model.sparsified(options: options) }
    }
    for sparsity in [-0.1, 1.01, .nan, .infinity] {
      refused(.invalidArgument, "sparsity is", SparsityOptions(sparsity: sparsity))
    }
    for (kept, among) in [(5, 4), (0, 4), (1, 1), (1, 65), (-1, 4)] {
      refused(
        .invalidArgument, "pattern is '\(kept):\(among)'", SparsityOptions(pattern: .fewOf(kept: kept, among: among)))
    }
    refused(
      .invalidArgument, "with the pattern '2:4'", SparsityOptions(sparsity: 0.5, pattern: .fewOf(kept: 2, among: 4)))
    refused(.unknownName, "did you mean 'expand'", SparsityOptions(skip: ["expnd"]))
    refused(.unknownName, "did you mean 'fc'", SparsityOptions(include: ["fcc"]))
    refused(.unknownName, "include has 'relu'", SparsityOptions(include: ["relu"]))
    refused(.invalidArgument, "stem: first layer", SparsityOptions(skip: Self.usual))
    for (word, text) in [
      ("unstructurd", "did you mean 'unstructured'"), ("16x2", "did you mean '16x1'"), ("2:", "did you mean '2:4'"),
      ("a:b", "unknown pattern"),
    ] {
      expectError(.unknownName, text) { _ = try SparsityPattern(named: word) }
    }
    expectError(.unknownName, "'99999999999999999999:4'") {
      _ = try SparsityOptions(json: JSONObject([("pattern", "99999999999999999999:4")]))
    }
    #expect(try model.bits() == before)
    var values = try model.values("expand.weight")
    values[5] = .nan
    try model.set("expand.weight", values)
    refused(.invalidArgument, "'expand.weight' has numbers that are not finite", SparsityOptions())
    refused(.invalidArgument, "not finite", SparsityOptions(pattern: .fewOf(kept: 2, among: 4)))
  }

  @Test func reportsAreTold() throws {
    let sparse = try model().sparsified(options: SparsityOptions(sparsity: 0.5, scope: .layer))
    let report = sparse.sparsityReport()
    #expect(sparse.graph.text.contains("project.weight = parameter weight kept=296 : float32[16, 37, 1, 1]"))
    #expect(report.zeroCount == report.layers.reduce(0) { $0 + $1.zeroCount } && report.zeroCount > 0)
    #expect(report.text.contains("stem (first layer)") && report.text.contains("50.0 %"))
    let json = try #require(try JSON(parsing: report.json).objectValue)
    #expect(try json.integer("zeros") == report.zeroCount && json.array("layers").count == 6)
    expectError(.unknownName, "format") { _ = try report.formatted("svg") }
  }
}
