import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

/// Where the time of a prediction or of a training step goes, step by step.
public struct Profile: Sendable, Equatable {
  /// The parts of a training step.
  public enum Pass: String, Sendable, CaseIterable {
    /// The prediction and its loss.
    case forward
    /// The gradients.
    case backward
    /// What changes statistics and weights.
    case update
  }

  /// One step: a layer, or several that are computed in one.
  public struct Step: Sendable, Equatable {
    /// The part of a training step; nil in a prediction.
    public let pass: Pass?
    /// The names of the layers that the step computes.
    public let layers: [String]
    /// How it is computed.
    public let algorithm: String
    /// The type of its numbers; `int8` for the levels of a quantised model.
    public let element: ElementType
    /// The instruction of its products, as `vpdpbusd`, where the instructions that it is computed with have but one for
    /// them; else these, as `LayerPrecision` says them.
    public let instruction: String
    /// The sizes of one image.
    public let shape: String
    /// The median time.
    public let seconds: Double
    /// The time by the model that the implementation was chosen by, at the processor's clock; nil where nothing was chosen.
    public let predictedSeconds: Double?
    /// Multiplications and additions that the step carries out in convolutions and dense layers; 0 elsewhere.
    public let operations: Int
    /// Bytes of what it reads and writes, weights too.
    public let byteCount: Int
    /// The time in which the machine could do this at best, by what carries out its operations on numbers of its type:
    /// tiles, or vectors.
    public let shortestSeconds: Double

    /// The layers in one text, as `conv1 + bn1 + relu`.
    public var name: String { layers.joined(separator: " + ") }
    /// Billions of multiplications and additions in a second.
    public var gigaflops: Double { Double(operations) / seconds * 1e-9 }
    /// Billions of bytes in a second.
    public var gigabytesPerSecond: Double { Double(byteCount) / seconds * 1e-9 }
    /// How near the step comes to the machine's limit, 1 being at it. What lies in the caches can be read faster than
    /// memory, so that this can be more than 1.
    public var shareOfLimit: Double { shortestSeconds / seconds }
  }

  /// The model's name.
  public let model: String
  /// The number of images in the batch.
  public let imageCount: Int
  /// The number of threads.
  public let threadCount: Int
  /// What the model is to compute in; float32 in training.
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

  /// The sum of the steps' times.
  public var seconds: Double { steps.reduce(0) { $0 + $1.seconds } }
}

extension Profile.Timing {
  init(_ time: ExecutionContext.StepTime) { self.init(start: time.start, end: time.end, stretches: time.stretches) }
}

extension Profile: CustomStringConvertible {
  /// The table.
  public var description: String { text }

  /// A table with a row for each step and one for the sum; of a training step one for each pass, too.
  public var text: String {
    // Names last, since those of many layers are long.
    let head = [
      "step", "ms", "predicted", "time", "GFLOP/s", "limit", "bytes", "GB/s", "algorithm", "type",
      "instruction", "shape", "layers",
    ]
    let total = seconds
    var rows = steps.enumerated().map { index, step in
      [
        "\(index + 1)", decimal(step.seconds * 1e3, 4), predicted([step]), percent(step.seconds / total),
        step.operations == 0 ? "" : decimal(step.gigaflops, 1), percent(step.shareOfLimit), bytes(step.byteCount),
        decimal(step.gigabytesPerSecond, 1), step.algorithm, step.element.rawValue, step.instruction, step.shape,
        step.name,
      ]
    }
    func predicted(_ steps: [Step]) -> String {
      let seconds = steps.compactMap(\.predictedSeconds)
      return seconds.isEmpty ? "" : decimal(seconds.reduce(0, +) * 1e3, 4)
    }
    func sum(_ title: String, _ steps: [Step]) -> [String] {
      let seconds = max(steps.reduce(0) { $0 + $1.seconds }, 1e-9)
      let operations = steps.reduce(0) { $0 + $1.operations }, byteCount = steps.reduce(0) { $0 + $1.byteCount }
      let shortest = steps.reduce(0) { $0 + $1.shortestSeconds }
      return [
        title, decimal(seconds * 1e3, 4), predicted(steps), percent(seconds / total),
        decimal(Double(operations) / seconds * 1e-9, 1), percent(shortest / seconds), bytes(byteCount),
        decimal(Double(byteCount) / seconds * 1e-9, 1), "", "", "", "", "",
      ]
    }
    var sums = isOfTraining ? Pass.allCases.map { pass in sum("", steps.filter { $0.pass == pass }) } : []
    sums.append(sum("all", steps))
    rows = [head] + rows + sums
    let firstText = 8
    if isOfTraining {
      let passes = ["pass"] + steps.map { $0.pass?.rawValue ?? "" } + Pass.allCases.map(\.rawValue) + [""]
      for (index, pass) in passes.enumerated() { rows[index].insert(pass, at: firstText) }
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = aligned(rows, firstText: firstText)
    let rule = String(repeating: "-", count: lines[0].count - (rows[0].last?.count ?? 0) + 20)
    let images = "\(imageCount) image\(imageCount == 1 ? "" : "s")"
    let title =
      "\(model): \(isOfTraining ? "a training step on \(images)" : "\(images) at once"), \(threadCount) "
      + "thread\(threadCount == 1 ? "" : "s"), median of \(repeats)"
      + (precision == .float32 ? "\n" : ", precision \(precision.rawValue)\n")
      + "limit of this machine: \(decimal(operationsPerSecond * 1e-9, 1)) GFLOP/s, "
      + (integerOperationsPerSecond.map { "\(decimal($0 * 1e-9, 1)) GOP/s of int8, " } ?? "")
      + (tileOperationsPerSecond.map { "\(decimal($0 * 1e-9, 1)) GFLOP/s by tiles of bfloat16, " } ?? "")
      + "\(decimal(bytesPerSecond * 1e-9, 1)) GB/s"
    let body = lines.dropFirst().dropLast(sums.count)
    return ([title, rule, lines[0], rule] + body + [rule] + lines.suffix(sums.count)).joined(separator: "\n")
  }

  /// The numbers as JSON.
  public var json: String {
    let rows = steps.map { step in
      object([
        ("pass", step.pass.map { .string($0.rawValue) } ?? .null), ("layers", .array(step.layers.map(JSON.string))),
        ("algorithm", .string(step.algorithm)), ("dtype", .string(step.element.rawValue)),
        ("instruction", .string(step.instruction)), ("shape", .string(step.shape)), ("seconds", .number(step.seconds)),
        ("predicted_seconds", step.predictedSeconds.map { .number($0) } ?? .null),
        ("operations", .integer(Int64(step.operations))), ("bytes", .integer(Int64(step.byteCount))),
        ("gigaflops", .number(step.gigaflops)), ("gigabytes_per_second", .number(step.gigabytesPerSecond)),
        ("share_of_limit", .number(step.shareOfLimit)),
      ])
    }
    return serialized(
      object([
        ("model", .string(model)), ("images", .integer(Int64(imageCount))), ("threads", .integer(Int64(threadCount))),
        ("precision", .string(precision.rawValue)), ("repeats", .integer(Int64(repeats))),
        ("operations_per_second", .number(operationsPerSecond)),
        ("integer_operations_per_second", integerOperationsPerSecond.map { .number($0) } ?? .null),
        ("tile_operations_per_second", tileOperationsPerSecond.map { .number($0) } ?? .null),
        ("bytes_per_second", .number(bytesPerSecond)), ("seconds", .number(seconds)), ("steps", .array(rows)),
      ]))
  }

  /// The fastest of the runs as trace events, which chrome://tracing and Perfetto open: a track with the steps, and
  /// one for each thread with when it was at work.
  public var trace: String {
    func name(_ kind: String, _ name: String, track: Int = 1) -> JSON {
      object([
        ("name", .string(kind)), ("ph", .string("M")), ("pid", .integer(1)), ("tid", .integer(Int64(track))),
        ("args", object([("name", .string(name))])),
      ])
    }
    let begin = fastest.first?.start ?? 0
    func event(_ step: Step, track: Int, _ start: Int, _ end: Int, _ arguments: JSON) -> JSON {
      object([
        ("name", .string(step.name)), ("cat", .string(step.algorithm)), ("ph", .string("X")),
        ("ts", .number(Double(start - begin) / 1000)), ("dur", .number(Double(max(end - start, 1)) / 1000)),
        ("pid", .integer(1)), ("tid", .integer(Int64(track))), ("args", arguments),
      ])
    }
    let ofSteps = 1
    var events = [
      name("process_name", "\(model), \(imageCount) at once"), name("thread_name", "steps", track: ofSteps),
    ]
    events += (1...threadCount).map { name("thread_name", "thread \($0)", track: ofSteps + $0) }
    for (step, time) in zip(steps, fastest) {
      let arguments = object([
        ("pass", step.pass.map { .string($0.rawValue) } ?? .null),
        ("algorithm", .string(step.algorithm)), ("dtype", .string(step.element.rawValue)),
        ("instruction", .string(step.instruction)), ("shape", .string(step.shape)),
        ("GFLOP/s", .number(step.gigaflops)), ("GB/s", .number(step.gigabytesPerSecond)),
        ("share of limit", .number(step.shareOfLimit)), ("bytes", .integer(Int64(step.byteCount))),
      ])
      events.append(event(step, track: ofSteps, time.start, time.end, arguments))
      events += time.stretches.map { event(step, track: ofSteps + 1 + $0.worker, $0.start, $0.end, object([])) }
    }
    return serialized(object([("traceEvents", .array(events)), ("displayTimeUnit", .string("ms"))]))
  }

  /// One of the three: `text`, `json` or `trace`.
  /// - Throws: `.unknownName` for another format.
  package func formatted(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return text
    case "json": return json
    case "trace": return trace
    default: throw unknownName("format", format, among: ["text", "json", "trace"])
    }
  }
}

private func object(_ members: [(String, JSON)]) -> JSON {
  var object = JSONObject()
  for (key, value) in members { object[key] = value }
  return .object(object)
}

/// All numbers here are finite: times are at least a nanosecond.
private func serialized(_ json: JSON) -> String { (try? json.serialized()) ?? "{}" }

private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

private func bytes(_ count: Int) -> String {
  if count < 1_000_000 { return "\(decimal(Double(count) * 1e-3, 1)) kB" }
  return "\(decimal(Double(count) * 1e-6, 1)) MB"
}
