import CNNCore
import CNNGraph
import Glibc
import Testing

@testable import SwiftCNN

/// Cross-layer equalisation: the network computes what it did, and weights have ranges of one size.
@Suite struct EqualizationTests {
  /// Layers of every kind that can be a pair, and what must be left alone. Channels differ a hundredfold in their weights.
  private static func network(_ function: ActivationFunction = .relu) throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [12, 10, 3])
    x = try builder.convolution(x, "stem", outputChannels: 12, kernel: (3, 3), bias: true)
    x = try builder.activation(function, x, "stem_function")
    x = try builder.depthwiseConvolution(x, "depthwise", kernel: (3, 3), padding: .same, bias: true)
    x = try builder.activation(function, x, "depthwise_function")
    x = try builder.convolution(x, "project", outputChannels: 8, kernel: (1, 1))
    let shortcut = x
    x = try builder.convolution(x, "narrow", outputChannels: 16, kernel: (1, 1), bias: true)
    x = try builder.convolution(x, "wide", outputChannels: 8, kernel: (3, 3), padding: .same, bias: true)
    x = try builder.apply(Add(), x, shortcut)
    x = try builder.convolution(x, "last", outputChannels: 20, kernel: (1, 1), bias: true)
    x = try builder.activation(.leakyRelu, x, "leaky")
    x = try builder.apply(Pooling2D(.max, kernel: [2, 2], stride: [2, 2]), x)
    x = try builder.apply(GlobalPooling2D(.average), x)
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 5))
    let model = try Model(builder.graph, name: "pairs", seed: 3)
    var random = PhiloxGenerator(seed: 9, stream: 1)
    for (position, parameter) in model.parameters.parameters.enumerated() {
      let values = model.parameters.values(at: position), size = values.count / parameter.shape[0]
      if parameter.role == .bias { for index in values.indices { values[index] = random.unit() - 0.5 } }
      if parameter.shape.count == 4 {
        for channel in 0..<parameter.shape[0] {
          let factor = expf(4.6 * (random.unit() - 0.5))
          for index in channel * size..<(channel + 1) * size { values[index] *= factor }
        }
      }
    }
    return model
  }

  private static func images() throws -> Tensor {
    let x = try Tensor(zeros: [6, 12, 10, 3])
    for index in x.floats.indices { x.floats[index] = Float((index &* 7919) % 257) / 128 - 1 }
    return x
  }

  private static func folded(_ model: Model) throws -> FoldedNetwork {
    try FoldedNetwork(model.network) { name in
      model.parameters.position(of: name).map { model.parameters.values(at: $0) }
    }
  }

  /// The parameters that are others than the model's.
  private static func changed(_ folded: FoldedNetwork, _ model: Model) -> Set<String> {
    Set(
      folded.values.filter { name, values in
        model.parameters.position(of: name).map { !model.parameters.values(at: $0).elementsEqual(values) } ?? true
      }.keys)
  }

  private func error(_ a: Tensor, _ b: Tensor) -> Float {
    let noise = zip(a.floats, b.floats).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return (noise / a.floats.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  @Test(arguments: [ActivationFunction.relu, .leakyRelu]) func theNetworkComputesWhatItDid(
    _ function: ActivationFunction
  ) throws {
    let model = try Self.network(function), x = try Self.images()
    var folded = try Self.folded(model)
    folded.equalize()
    // All that is between two layers, but for what is added.
    #expect(
      Self.changed(folded, model) == [
        "stem.weight", "stem.bias", "depthwise.weight", "depthwise.bias", "project.weight", "narrow.weight",
        "narrow.bias", "wide.weight", "last.weight", "last.bias", "fc.weight",
      ])
    let other = try model.model(of: folded.graph, folded.values)
    let expected = try model.predict(x), result = try other.predict(x)
    let size = expected.floats.reduce(Float(0)) { max($0, $1.magnitude) }
    #expect(zip(expected.floats, result.floats).allSatisfy { abs($0 - $1) <= 1e-5 * size })
  }

  /// Equation 11 holds when factors have converged: both weights of a pair have one range in each channel.
  @Test func rangesAreOfOneSize() throws {
    let model = try Self.network()
    var folded = try Self.folded(model)
    func ranges(_ name: String, _ count: Int, byInput: Bool = false) -> [Float] {
      let values = folded.numbers(name), size = values.count / count
      return (0..<count).map { channel in
        values.indices.reduce(0) { (largest: Float, index) in
          let own = byInput ? index % count : index / size
          return own == channel ? max(largest, values[index].magnitude) : largest
        }
      }
    }
    let before = ranges("stem.weight", 12)
    folded.equalize()
    let stem = ranges("stem.weight", 12), depthwise = ranges("depthwise.weight", 12)
    let project = ranges("project.weight", 12, byInput: true)
    for channel in 0..<12 {
      #expect(abs(logf(stem[channel] / depthwise[channel])) < 0.01)
      #expect(abs(logf(depthwise[channel] / project[channel])) < 0.01)
    }
    #expect((stem.max() ?? 0) / (stem.min() ?? 1) < (before.max() ?? 0) / (before.min() ?? 1))
  }

  /// What is not multiplied as its operand is, is no bridge.
  @Test(arguments: [ActivationFunction.relu6, .silu, .hardSwish, .sigmoid]) func otherFunctionsAreLeftAlone(
    _ function: ActivationFunction
  ) throws {
    let model = try Self.network(function)
    var folded = try Self.folded(model)
    folded.equalize()
    #expect(
      Self.changed(folded, model) == [
        "narrow.weight", "narrow.bias", "wide.weight", "last.weight", "last.bias", "fc.weight",
      ])
  }

  @Test func channelsThatAreNothingStayFinite() throws {
    let model = try Self.network(), x = try Self.images()
    for name in ["stem.weight", "depthwise.weight"] {
      let position = try #require(model.parameters.position(of: name)), values = model.parameters.values(at: position)
      for index in 0..<values.count / 12 * 2 { values[index] = name == "stem.weight" ? 0 : values[index] }
      if name == "depthwise.weight" { for index in 27..<36 { values[index] = 0 } }
    }
    var folded = try Self.folded(model)
    folded.equalize()
    #expect(folded.values.values.allSatisfy { $0.allSatisfy(\.isFinite) })
    let other = try model.model(of: folded.graph, folded.values)
    #expect(error(try model.predict(x), try other.predict(x)) < 1e-5)
  }

  /// Channels that differ a hundredfold in what layers between them compute, and matter alike, share one range of levels;
  /// equalised they do not lose all of theirs.
  @Test func integersAreNearer() throws {
    let model = try Self.network(), x = try Self.images()
    for (first, second) in [("stem", "depthwise"), ("narrow", "wide")] {
      for name in ["\(first).weight", "\(first).bias", "\(second).weight"] {
        let position = try #require(model.parameters.position(of: name)), values = model.parameters.values(at: position)
        let shape = model.parameters.parameters[position].shape
        for index in values.indices {
          let channel = name == "wide.weight" ? index / 9 % 16 : index / (values.count / shape[0])
          let factor = expf(Float(channel % 3 - 1) * 3)
          values[index] *= name.hasPrefix(first) ? factor : 1 / factor
        }
      }
    }
    let expected = try model.predict(x)
    for perChannel in [true, false] {
      let errors = try [false, true].map { equalizes in
        error(
          expected,
          try model.quantized(
            calibration: x,
            options: QuantizationOptions(method: .minmax, perChannel: perChannel, equalizes: equalizes)
          ).predict(x))
      }
      #expect(errors[1] < errors[0] / 2 && errors[1] < 0.1, "\(perChannel): \(errors)")
    }
  }

  /// Noise is measured against floats that are equalised too, whether the reference is kept or given again.
  @Test func theReportComparesWhatIsAlike() throws {
    let model = try Self.network(), x = try Self.images()
    let quantized = try model.quantized(calibration: x, options: QuantizationOptions(equalizes: true))
    let copy = try quantized.copy()
    #expect(copy.knownQuantization?.isEqualized == true)
    let known = try quantized.quantizationReport().steps
    for steps in [known, try copy.quantizationReport(x, reference: model).steps] {
      for step in steps {
        #expect((step.signalToNoise ?? 40) > 15, "\(step.layers): \(step.signalToNoise.map { String($0) } ?? "none")")
      }
    }
  }
}
