import CNNCore
import CNNGraph

/// What a compression has made.
public struct CompressionReport: Sendable, Equatable {
  /// A model on the way.
  public struct Point: Sendable, Equatable {
    /// What it is called, as its file is.
    public let name: String
    /// By what it was made of the model; empty for the model itself.
    public let methods: [CompressionMethod]
    /// Multiplications with additions of convolutions and dense layers for an image.
    public let macs: Int
    /// Learned parameters.
    public let parameters: Int
    /// Bytes of its file.
    public let bytes: Int
    /// Milliseconds of a prediction of one image, measured in turns with the model's.
    public let latency: Double
    /// The share of the validation samples that are classified right: of the half that decides, and of the half that is held
    /// back from all decisions.
    public let accuracy, heldBackAccuracy: Double
    /// When it was there, in seconds of the compression.
    public let seconds: Double

    var isQuantized: Bool { methods.contains(.quantize) }
    var megabytes: Double { Double(bytes) * 1e-6 }
  }

  /// The model's name.
  public let model: String
  /// Milliseconds, or where that is the target megabytes, that were to be reached.
  public let target: Double
  /// Whether that is megabytes.
  public let isOfSize: Bool
  /// How many points of a hundred could be lost.
  public let maximumDrop: Double
  /// The models on the way, the first of them the one that was given.
  public var points: [Point]
  /// Which of them was chosen.
  public var chosen: Int
  /// How many samples have decided, and how many were held back from that.
  public let decidingSamples, heldBackSamples: Int
  /// The seconds that it took.
  public var seconds: Double
  /// Why the target was not reached; empty where it was.
  public var reason: String

  /// Whether the target was reached within the drop on the samples that were held back.
  public var isReached: Bool { reason.isEmpty }

  /// How many points of a hundred a model on the way has lost on the samples that decide.
  public func drop(_ point: Int) -> Double { 100 * (points[0].accuracy - points[point].accuracy) }

  /// How many points of a hundred the chosen model has lost on the samples that were held back.
  public var heldBackDrop: Double { 100 * (points[0].heldBackAccuracy - points[chosen].heldBackAccuracy) }

  /// What a point takes of what the target is of.
  func cost(_ point: Int) -> Double { isOfSize ? points[point].megabytes : points[point].latency }
}

extension CompressionReport: CustomStringConvertible {
  private var unit: String { isOfSize ? "MB" : "ms" }

  /// A table with a row for each point.
  public var description: String {
    let best = points[chosen]
    var lines = [
      "\(model) towards \(decimal(target, 3)) \(unit) with \(decimal(maximumDrop, 2)) points lost at most: "
        + "\(decimal(cost(0), 3)) -> \(decimal(cost(chosen), 3)) \(unit), "
        + "\(decimal(points[0].latency / max(best.latency, 1e-9), 2)) times as fast"
    ]
    lines.append(
      "'\(best.name)': \(decimal(100 * best.heldBackAccuracy, 2)) % right of \(heldBackSamples) samples held back, "
        + "\(decimal(heldBackDrop, 2)) points lost; \(decimal(seconds, 0)) s")
    if !reason.isEmpty { lines.append("not reached: \(reason)") }
    let rows = points.enumerated().map { index, point in
      [
        decimal(point.latency, 3), decimal(point.megabytes, 3), grouped(point.macs), grouped(point.parameters),
        decimal(100 * point.accuracy, 2), decimal(drop(index), 2), decimal(point.seconds, 0),
        index == chosen ? "*" : "", point.name, point.methods.map(\.rawValue).joined(separator: " + "),
      ]
    }
    let head = ["ms", "MB", "MACs", "parameters", "% right", "lost", "s", "", "model", "by"]
    return (lines + aligned([head] + rows, firstText: 7)).joined(separator: "\n")
  }

  /// The report as `text`, `json` or `svg`.
  /// - Throws: `.unknownName` for another format.
  package func formatted(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return description
    case "json": return try json.serialized()
    case "svg": return chart
    default: throw unknownName("format", format, among: ["text", "json", "svg"])
    }
  }

  /// The report as JSON.
  public var json: JSON {
    [
      "model": .string(model), "target": .number(target), "unit": .string(unit), "max_drop": .number(maximumDrop),
      "reached": .bool(isReached), "reason": .string(reason), "chosen": .integer(Int64(chosen)),
      "held_back_drop": .number(heldBackDrop),
      "samples": ["deciding": .integer(Int64(decidingSamples)), "held_back": .integer(Int64(heldBackSamples))],
      "seconds": .number(seconds), "points": .array(points.map(\.json)),
    ]
  }
}

extension CompressionReport.Point {
  var json: JSON {
    [
      "name": .string(name), "methods": .strings(methods.map(\.rawValue)), "macs": .integer(Int64(macs)),
      "params": .integer(Int64(parameters)), "bytes": .integer(Int64(bytes)), "latency_ms": .number(latency),
      "accuracy": .number(accuracy), "held_back_accuracy": .number(heldBackAccuracy), "seconds": .number(seconds),
    ]
  }

  init(json: JSONObject) throws(CNNError) {
    name = try json.string("name")
    methods = try json.strings("methods").compactMap(CompressionMethod.init)
    (macs, parameters, bytes) = (try json.integer("macs"), try json.integer("params"), try json.integer("bytes"))
    (latency, seconds) = (try json.number("latency_ms"), try json.number("seconds"))
    (accuracy, heldBackAccuracy) = (try json.number("accuracy"), try json.number("held_back_accuracy"))
  }
}
