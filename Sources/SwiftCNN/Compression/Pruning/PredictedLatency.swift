import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

/// How long networks take that are made of one which was measured on this machine: each step in the ratio of the cycles
/// that placement expects of it now to those of before.
struct PredictedLatency {
  /// Seconds for a cycle, by step and on the whole.
  private var rates: [String: Double] = [:]
  private var rate = 0.0
  /// The seconds of steps of which placement expects nothing.
  private var others: [String: Double] = [:]
  /// The time of one prediction of an image, measured.
  let measured: Double
  private let normalization: Compiler.PixelNormalization
  private let precision: Precision

  /// Measures a model, which nobody changes meanwhile.
  init(measuring model: Model) throws(CNNError) {
    (normalization, precision) = (model.pixelNormalization, model.chosenPrecision.prediction)
    let steps = try model.lockedStepTimes()
    var cycles = 0.0, seconds = 0.0
    for step in steps {
      if step.cycles > 0 {
        rates[step.name] = step.seconds / step.cycles
        (cycles, seconds) = (cycles + step.cycles, seconds + step.seconds)
      } else {
        others[step.name] = step.seconds
      }
    }
    rate = cycles > 0 ? seconds / cycles : 0
    measured = steps.reduce(0) { $0 + $1.seconds }
  }

  /// The time of a prediction of an image by a network that was made of the measured one.
  func seconds(of graph: Graph) throws(CNNError) -> Double {
    var sum = 0.0
    let steps = try Compiler.predictedCycles(
      of: graph, inputs: graph.typesOfOneImage(), normalization: normalization, threads: Threads.count,
      precision: precision)
    for step in steps {
      sum += step.cycles > 0 ? step.cycles * (rates[step.name] ?? rate) : others[step.name] ?? 0
    }
    return sum
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
}
