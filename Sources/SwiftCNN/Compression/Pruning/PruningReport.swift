import CNNCore

/// What pruning has made of a network.
public struct PruningReport: Sendable, Equatable {
  /// A width of the network.
  public struct Group: Sendable, Equatable {
    /// The layers that make its channels.
    public let layers: [String]
    /// How many channels there were, and are.
    public let before, after: Int
    /// Why it kept all; empty where it did not, or nothing spoke against fewer.
    public let reason: String
  }

  /// What a network takes.
  public struct Amounts: Sendable, Equatable {
    /// Multiplications with additions of convolutions and dense layers for an image.
    public let macs: Int
    /// Learned parameters.
    public let parameters: Int
    /// The time of a prediction of an image in milliseconds, measured; nil where nobody has asked for one.
    public var latency: Double?
  }

  /// The model's name.
  public let model: String
  /// The groups of channels, in the order of the network.
  public let groups: [Group]
  /// What it took before, and takes now.
  public var before, after: Amounts
  /// The milliseconds that were expected; nil where there was no target for them.
  public var predictedLatency: Double?
}

extension PruningReport: CustomStringConvertible {
  /// A table with a row for each group.
  public var description: String {
    let rows = groups.map { group in
      [
        "\(group.before)", "\(group.after)",
        "\(decimal(100 * Double(group.after) / Double(max(1, group.before)), 0)) %",
        group.layers.joined(separator: " + "), group.reason,
      ]
    }
    var lines = [
      "\(model): \(share("multiplications with additions", before.macs, after.macs)), "
        + share("parameters", before.parameters, after.parameters)
    ]
    if let old = before.latency, let new = after.latency {
      let expected = predictedLatency.map { ", \(decimal($0, 2)) expected" } ?? ""
      lines.append("\(decimal(old, 2)) ms -> \(decimal(new, 2)) ms for an image\(expected)")
    }
    return (lines + aligned([["channels", "kept", "", "layers", "reason"]] + rows, firstText: 3))
      .joined(separator: "\n")
  }

  /// The report as `text` or `json`.
  /// - Throws: `.unknownName` for another format.
  package func formatted(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return description
    case "json": return try json.serialized()
    default: throw unknownName("format", format, among: ["text", "json"])
    }
  }

  private func share(_ what: String, _ old: Int, _ new: Int) -> String {
    "\(grouped(old)) -> \(grouped(new)) \(what) (\(decimal(100 * Double(new) / Double(max(1, old)), 1)) %)"
  }

  /// The report as JSON: `groups`, each with `layers`, `before`, `after` and `reason`; `macs`, `params` and, where it was
  /// measured, `latency_ms`, each `[before, after]`; `predicted_latency_ms`.
  public var json: JSON {
    var result = JSONObject()
    result["model"] = .string(model)
    result["groups"] = .array(
      groups.map { group in
        [
          "layers": .strings(group.layers), "before": .integer(Int64(group.before)),
          "after": .integer(Int64(group.after)), "reason": .string(group.reason),
        ]
      })
    result["macs"] = .integers([before.macs, after.macs])
    result["params"] = .integers([before.parameters, after.parameters])
    if let old = before.latency, let new = after.latency { result["latency_ms"] = .numbers([old, new]) }
    if let predictedLatency { result["predicted_latency_ms"] = .number(predictedLatency) }
    return .object(result)
  }
}
