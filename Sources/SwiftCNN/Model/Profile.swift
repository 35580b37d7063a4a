import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

/// Where the time of a prediction or of a training step goes, step by step.
public struct Profile: Sendable, Equatable {
  /// The passes of a training step.
  public enum Pass: String, Sendable, CaseIterable {
    /// The prediction and its loss.
    case forward
    /// The gradients.
    case backward
    /// What changes statistics and weights.
    case update
  }

  /// How much there was to do, and how long it took.
  public struct Figures: Sendable, Equatable {
    /// The median time.
    public let seconds: Double
    /// The time by the model that the implementation was chosen by, at the processor's clock; nil where nothing was chosen.
    public let predictedSeconds: Double?
    /// Multiplications and additions that are carried out in convolutions and dense layers; 0 elsewhere.
    public let operations: Int
    /// Bytes of what is read and written, weights too.
    public let byteCount: Int
    /// The time in which the machine could do this at best, by what carries out the operations on numbers of their type:
    /// tiles, or vectors.
    public let shortestSeconds: Double

    /// Billions of multiplications and additions in a second.
    public var gigaflops: Double { perSecond(Double(operations)) * 1e-9 }
    /// Billions of bytes in a second.
    public var gigabytesPerSecond: Double { perSecond(Double(byteCount)) * 1e-9 }
    /// How near it comes to the machine's limit, 1 being at it. What lies in the caches can be read faster than memory, so
    /// that this can be more than 1.
    public var shareOfLimit: Double { perSecond(shortestSeconds) }

    private func perSecond(_ amount: Double) -> Double { seconds > 0 ? amount / seconds : 0 }
  }

  /// What a step does for a layer.
  @dynamicMemberLookup
  public struct Part: Sendable, Equatable {
    /// The layer; several where these were made one before gradients were taken, as `bn1` and `relu`.
    public let layers: [String]
    /// What for.
    public let role: TrainingRole
    /// Its share of the step.
    public let figures: Figures

    /// A part has its figures' members.
    public subscript<Number>(dynamicMember path: KeyPath<Figures, Number>) -> Number { figures[keyPath: path] }
  }

  /// One step: a layer, or several that are computed in one.
  @dynamicMemberLookup
  public struct Step: Sendable, Equatable {
    /// The pass of a training step; nil in a prediction.
    public var pass: Pass? { parts.first?.role.pass }
    /// The names of the layers that the step computes, or whose gradients.
    public let layers: [String]
    /// How it is computed.
    public let algorithm: String
    /// The type of its numbers; `int8` for the levels of a quantised model.
    public let element: ElementType
    /// The instruction of its products, as `vpdpbusd`, where the instructions that it is computed with have but one for
    /// them; else these, as `LayerPrecision` says them.
    public let instruction: String
    /// Why it is not computed in the precision that was asked for; empty where it is.
    public let reason: String
    /// The sizes of one image.
    public let shape: String
    /// The time, and what was done in it.
    public let figures: Figures
    /// Of a training step, what it does for each layer; their sum is the step. Where it computes products, all of it is for
    /// these, and what is done to their results in the same pass has figures of 0. Other steps of several layers are shared
    /// out by the bytes that each would read and write alone. Empty in a prediction.
    public let parts: [Part]

    /// The layers in one text, as `conv1 + bn1 + relu`.
    public var name: String { layers.joined(separator: " + ") }
    /// What it is there for, the first part first.
    public var roles: [TrainingRole] { parts.filter { $0.seconds > 0 }.map(\.role).withoutRepetitions }

    /// A step has its figures' members.
    public subscript<Number>(dynamicMember path: KeyPath<Figures, Number>) -> Number { figures[keyPath: path] }
  }

  /// The model's name.
  public let model: String
  /// The number of images in the batch.
  public let imageCount: Int
  /// The number of threads.
  public let threadCount: Int
  /// What the prediction or the training step is to compute in.
  public let precision: Precision
  /// How often it was measured.
  public let repeats: Int
  /// Multiplications and additions of float32 that all threads can do in a second, as measured.
  public let operationsPerSecond: Double
  /// Those of integers of 8 bits that all threads can do in vector registers in a second, as measured; nil where no step
  /// computes by those.
  public let integerOperationsPerSecond: Double?
  /// Those of bfloat16 that all threads can do in tiles in a second, as measured; nil where no step computes by tiles.
  public let tileOperationsPerSecond: Double?
  /// Bytes that all threads can read from memory in a second, as measured.
  public let bytesPerSecond: Double
  /// The steps in the order in which they run.
  public let steps: [Step]
  /// When the steps of the fastest of the runs ran.
  let fastest: [Timing]

  /// When a step ran, by `monotonicNanoseconds`.
  struct Timing: Sendable, Equatable {
    var start, end: Int
    /// When each of the workers was at work, where that is known.
    var stretches: [WorkRecorder.Stretch] = []
  }

  /// Whether it is one of a training step.
  public var isOfTraining: Bool { steps.contains { $0.pass != nil } }

  /// The sum of the steps.
  public var total: Figures { Figures(sumOf: steps.map(\.figures)) }
  /// The sum of the steps' times.
  public var seconds: Double { total.seconds }
}

extension Profile.Timing {
  init(_ time: ExecutionContext.StepTime) { self.init(start: time.start, end: time.end, stretches: time.stretches) }
}
