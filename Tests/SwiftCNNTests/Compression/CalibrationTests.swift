import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import Testing
import X86Assembler

@testable import SwiftCNN

/// What is learned of calibration images, and images of which nothing can be.
@Suite struct CalibrationTests {
  private static func model() throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [20, 18, 3])
    x = try builder.convolution(x, "stem", outputChannels: 20, kernel: (3, 3), padding: .same, bias: true)
    x = try builder.activation(.silu, x, "silu")
    x = try builder.depthwiseConvolution(x, "depthwise", kernel: (3, 3), padding: .same, bias: true)
    x = try builder.activation(.relu, x, "relu")
    x = try builder.convolution(x, "point", outputChannels: 33, kernel: (1, 1), bias: true)
    x = try builder.apply(GlobalPooling2D(.average), x)
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 5))
    return try Model(builder.graph, name: "small", seed: 4)
  }

  private static func images(_ count: Int, _ value: (Int) -> Float = { Float(($0 &* 7919) % 257) / 128 - 1 }) throws
    -> Tensor
  {
    let x = try Tensor(zeros: [count, 20, 18, 3])
    for index in x.floats.indices { x.floats[index] = value(index) }
    return x
  }

  /// Statistics of every value, run by run, are the same by portable kernels and by generated code.
  @Test func everyTargetLearnsTheSame() throws {
    let model = try Self.model(), x = try Self.images(3)
    let names = model.network.nodes.map { model.network.name(of: $0.results[0]) } + [model.network.inputs[0].name]
    let (observed, places) = try model.network.observing(names, hasHistograms: true, means: names)
    #expect(Set(places.keys) == Set(names))
    func states(_ target: CodeTarget?) throws -> [String: [Float]] {
      let own = zip(model.parameters.parameters, model.parameters.tensors).map { ($0.name, $1) }
      let storage = try ParameterStorage(observed.parameters, sharing: Dictionary(uniqueKeysWithValues: own))
      let plan = try Compiler.inferencePlan(
        observed, inputs: [TensorType(.float32, x.shape)], normalization: model.pixelNormalization, threads: 2,
        target: target)
      let context = try ExecutionContext(plan)
      for _ in 0..<2 {
        try context.run(parameters: storage, inputs: [UnsafeRawPointer(try #require(x.floats.baseAddress))])
        context.applyUpdates(to: storage)
      }
      return try places.mapValues { place in
        Array(storage.values(at: try #require(storage.position(of: place.parameter))))
      }
    }
    let expected = try states(nil)
    let sets: [InstructionSet] = [.avx2, .avx512, Processor.host.instructionSet]
    for set in sets where Processor.host.instructionSet.isSuperset(of: set) && set.contains(.avx2) {
      let found = try states(CodeTarget(set))
      for (name, place) in places {
        let a = try #require(expected[name]), b = try #require(found[name]), state = place.state
        let counts = [a, b].map { numbers in numbers.withUnsafeBufferPointer { state.counts($0).reduce(0, +) } }
        #expect(counts[0] == counts[1] && counts[0] > 0, "\(name) \(set)")
        let size = max(a[1], -a[0], 1e-3)
        #expect(abs(a[0] - b[0]) <= 1e-4 * size && abs(a[1] - b[1]) <= 1e-4 * size, "\(name) \(set)")
        let means = [a, b].map { numbers in numbers.withUnsafeBufferPointer { state.means($0) } }
        #expect(
          zip(means[0], means[1]).allSatisfy { abs($0 - $1) <= 1e-4 * size } && !means[0].isEmpty, "\(name) \(set)")
      }
    }
  }

  /// Each image is looked at once where all are, and none twice where some are.
  @Test func imagesAreLookedAtOnce() throws {
    for count in 1...13 {
      let samples = try Self.model().served(Self.images(count))
      for wanted in 1...count {
        for atOnce in 1...wanted {
          let seen = samples.spread(wanted, atOnce: atOnce).flatMap { Array($0) }
          #expect(seen.count == wanted && Set(seen).count == wanted && seen.allSatisfy { $0 < count })
          #expect(samples.spread(wanted, atOnce: atOnce).allSatisfy { $0.count <= atOnce })
        }
      }
    }
  }

  /// So are images of which each has one color.
  @Test(arguments: CalibrationMethod.allCases) func oneImageIsEnough(_ method: CalibrationMethod) throws {
    let model = try Self.model(), options = QuantizationOptions(method: method)
    for x in [
      try Self.images(1), try Self.images(3) { $0 < 20 * 18 * 3 ? 0 : 0.5 },
      try Self.images(1) { $0 == 7 ? 0 : -1e-30 },
    ] {
      let expected = try model.predict(x), result = try model.quantized(calibration: x, options: options).predict(x)
      let size = expected.floats.reduce(Float(1e-3)) { max($0, $1.magnitude) }
      #expect(zip(expected.floats, result.floats).allSatisfy { abs($0 - $1) <= 0.1 * size }, "\(method)")
    }
  }

  @Test(arguments: CalibrationMethod.allCases) func imagesThatTellNothingAreRefused(_ method: CalibrationMethod) throws
  {
    let model = try Self.model(), options = QuantizationOptions(method: method)
    func refusal(_ x: Tensor) -> CNNError? {
      do throws(CNNError) {
        _ = try model.quantized(calibration: x, options: options)
        return nil
      } catch { return error }
    }
    for number in [Float.nan, .infinity, -.infinity, 3e38] {
      // The last of several, so that what was known before does not hide it.
      let error = refusal(try Self.images(5) { $0 == 5 * 20 * 18 * 3 - 7 ? number : $0 == 9 ? -number : 0.5 })
      #expect(
        error?.code == .invalidArgument && error?.message.contains("finite") == true,
        "\(number) \(String(describing: error))")
    }
    for number: Float in [0, 0.5, -1e-30] {
      let error = refusal(try Self.images(3) { _ in number })
      #expect(error?.code == .invalidArgument, "\(String(describing: error))")
      #expect(error?.message.hasPrefix("calibration is constant: every number is \(number); expected images") == true)
      #expect(throws: CNNError.self) { try model.quantizationAware(calibration: Self.images(2) { _ in number }) }
    }
    let other = refusal(try Tensor(zeros: [2, 20, 18, 4]))
    #expect(other?.code == .shapeMismatch && other?.message.contains("18") == true)
    #expect(refusal(try Tensor(zeros: [2, 20]))?.code == .shapeMismatch)
  }
}
