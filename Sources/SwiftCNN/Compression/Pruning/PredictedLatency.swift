import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

/// How long networks take that are made of one which was measured on this machine. A step takes what any does, however
/// little there is to do, and above that a time in the ratio of the cycles that placement expects of it now to those of before.
struct PredictedLatency {
  /// The seconds of each step as it was measured, and the cycles that placement expected of it.
  private var steps: [String: (cycles: Double, seconds: Double)] = [:]
  /// The seconds of a step with next to nothing to do, and above those for a cycle, on the whole.
  private let leastOfStep: Double, rate: Double
  /// The time of one prediction of an image, measured.
  let measured: Double
  private let normalization: Compiler.PixelNormalization
  private let precision: Precision

  /// Measures a model, which nobody changes meanwhile.
  init(measuring model: Model) throws(CNNError) {
    (normalization, precision) = (model.pixelNormalization, model.chosenPrecision.prediction)
    let least = try Model.secondsOfShortStep()
    var cycles = 0.0, seconds = 0.0
    for step in try model.lockedStepTimes() {
      steps[step.name] = (step.cycles, step.seconds)
      if step.cycles > 0 { (cycles, seconds) = (cycles + step.cycles, seconds + max(0, step.seconds - least)) }
    }
    (leastOfStep, rate) = (least, cycles > 0 ? seconds / cycles : 0)
    measured = steps.values.reduce(0) { $0 + $1.seconds }
  }

  /// The time of a prediction of an image by a network that was made of the measured one.
  func seconds(of graph: Graph) throws(CNNError) -> Double {
    try Compiler.predictedCycles(
      of: graph, inputs: graph.typesOfOneImage(), normalization: normalization, threads: Threads.count,
      precision: precision
    ).reduce(0) { $0 + seconds(ofStep: $1.name, cycles: $1.cycles) }
  }

  private func seconds(ofStep name: String, cycles: Double) -> Double {
    guard let before = steps[name] else { return cycles > 0 ? leastOfStep + rate * cycles : 0 }
    guard cycles > 0, before.cycles > 0 else { return before.seconds }
    let least = min(leastOfStep, before.seconds)
    return least + (before.seconds - least) * cycles / before.cycles
  }
}

extension Graph {
  /// The types of the inputs for a batch of one.
  func typesOfOneImage() throws(CNNError) -> [TensorType] {
    var result: [TensorType] = []
    for input in inputs { result.append(try TensorType(.float32, [1] + type(of: input.value).shape.dropFirst())) }
    return result
  }
}

extension Model {
  /// The time of one prediction of an image, measured. The caller has the model.
  func lockedLatency(repeats: Int = 30) throws(CNNError) -> Double {
    try lockedStepTimes(repeats: repeats).reduce(0) { $0 + $1.seconds }
  }

  /// The median time of each step of the prediction of one image. The caller has the model.
  func lockedStepTimes(repeats: Int = 30) throws(CNNError) -> [(name: String, cycles: Double, seconds: Double)] {
    var images: [Tensor] = []
    for type in try network.typesOfOneImage() { images.append(try Tensor(zeros: type.shape)) }
    let x = try converted(samples(images))
    defer { withExtendedLifetime(x) {} }
    return try withPredictionContext(x, network.outputs.map(\.name)) { (context) throws(CNNError) in
      var measurements = Measurements()
      try context.measure(parameters: parameters, inputs: x.bases, repeats: repeats) { run in
        measurements.add(run.map(Profile.Timing.init))
      }
      return zip(context.plan.stepCosts, measurements.medians).map { step, median in
        (step.name, step.cost.cycles, Double(median) * 1e-9)
      }
    }
  }

  /// The median time of a step with next to nothing to do: what it takes to begin one and to wake the workers.
  fileprivate static func secondsOfShortStep() throws(CNNError) -> Double {
    var graph = Graph()
    var image = try graph.addInput("x", TensorType(.float32, [1, 16, 16, 16]))
    for layer in 0..<16 {
      let weight = Parameter(name: "weight\(layer)", shape: [16, 16, 1, 1], role: .weight, initializer: .zeros)
      image = try graph.addSingle(Convolution2D(), [image, graph.addParameter(weight)], name: "layer\(layer)")
    }
    try graph.addOutput("y", image)
    let model = try Model(uninitialized: graph, name: "short steps", mean: nil, deviation: nil)
    let times = try model.lockedStepTimes().map(\.seconds).sorted()
    return times[times.count / 2]
  }
}
