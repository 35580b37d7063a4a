import CNNCore
import CNNKernels
import CNNRuntime

/// What the models of a compression are trained and measured with.
public protocol CompressionData {
  /// How many steps of training an epoch has.
  var stepsPerEpoch: Int { get }

  /// Trains a model.
  /// - Parameters:
  ///   - model: it is compiled.
  ///   - steps: for so many steps.
  ///   - seconds: that it may take; where they are over it ends earlier.
  func train(_ model: Model, steps: Int, seconds: Double) throws(CNNError)

  /// Says of each validation sample, in the same order each time, whether a model classifies it right.
  func areRight(_ model: Model) throws(CNNError) -> [Bool]

  /// Is told what begins.
  func begin(_ stage: CompressionStage) throws(CNNError)
}

/// What a compression does at a time.
public struct CompressionStage: Sendable, Equatable {
  /// What it is.
  public let name: String
  /// How many steps of training belong to it; 0 for none.
  public let steps: Int
  /// The seconds that the compression has taken, and is expected to take from now on.
  public let elapsed, left: Double

  /// The stage as JSON: `stage`, `steps`, `elapsed` and `left`.
  package var json: JSON {
    [
      "stage": .string(name), "steps": .integer(Int64(steps)), "elapsed": .number(elapsed), "left": .number(left),
    ]
  }
}

/// Arrays that models are trained and measured with.
struct ArrayCompressionData: CompressionData {
  let x: Samples, y: TensorView
  let validation: Validation
  let fit: FitOptions
  let onStage: (CompressionStage) throws(CNNError) -> Void

  var stepsPerEpoch: Int { max(1, (x.count + fit.batchSize - 1) / fit.batchSize) }

  func train(_ model: Model, steps: Int, seconds: Double) throws(CNNError) {
    var options = fit
    options.epochs = options.initialEpoch + max(1, (steps + stepsPerEpoch - 1) / stepsPerEpoch)
    let deadline = Stopwatch(), run = try TrainingRun(model, x, y, options: options)
    for _ in 0..<steps {
      if try run.step().finished || deadline.seconds >= seconds { return }
    }
  }

  func areRight(_ model: Model) throws(CNNError) -> [Bool] {
    try model.lock.reading { () throws(CNNError) in try validation.areRight(model) }
  }

  func begin(_ stage: CompressionStage) throws(CNNError) { try onStage(stage) }
}

/// The seconds since it was made.
struct Stopwatch {
  private let start = monotonicNanoseconds()

  var seconds: Double { Double(monotonicNanoseconds() - start) * 1e-9 }
}

/// Which of the validation samples decide: one half, drawn at random. The other is held back from all decisions.
struct CompressionSplit {
  let decides: [Bool]

  init(count: Int, seed: UInt64) {
    var order = [Int32](repeating: 0, count: count)
    order.withUnsafeMutableBufferPointer { Augmentation.shuffle($0, seed: seed, stream: 0) }
    decides = order.map { $0 % 2 == 0 }
  }
}
