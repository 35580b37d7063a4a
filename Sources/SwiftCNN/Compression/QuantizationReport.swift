import CNNCompiler
import CNNCore
import CNNGraph

/// What a model computes in integers of 8 bits, with which levels, and what that does to its numbers.
public struct QuantizationReport: Sendable, Equatable {
  /// One step of a prediction: a layer, or several that are computed in one.
  public struct Step: Sendable, Equatable {
    /// The names of the layers.
    public let layers: [String]
    /// What the first of them computes, as `conv2d`.
    public let operation: String
    /// What it is computed in: `int8`, `float32` or `bfloat16`.
    public let type: String
    /// The instruction of its products, as `tdpbusd`, else the instructions that it is computed with, as `avx512`;
    /// `portable` where no code is generated for it.
    public let instruction: String
    /// How far the levels of its result lie apart; nil where its result is floats, or they differ between channels, as before
    /// depthwise convolutions in files of others.
    public let scale: Double?
    /// The level, 0 to 255, that stands for 0; nil where there is no scale.
    public let zeroPoint: Int?
    /// The smallest and the largest scale of its weight's output channels; nil where no weight is rounded.
    public let weightScales: ClosedRange<Double>?
    /// The power of its result over that of the noise that all roundings so far have brought, in decibels; nil where it was
    /// not measured, or there is no noise.
    public let signalToNoise: Double?
    /// The share of the logits' squared error that comes of rounding its weights and its result. To first order all shares
    /// together are 1; one that cancels others is negative. nil where it was not measured.
    public let errorShare: Double?
    /// Why it is computed in floats, where integers go into it or it was asked for; else empty.
    public let reason: String

    /// The layers in one text, as `conv1 + relu`.
    public var name: String { layers.joined(separator: " + ") }
  }

  /// How many validation samples were classified right.
  public struct Accuracy: Sendable, Equatable {
    /// The number of samples.
    public let samples: Int
    /// The share of them whose first class was right in floats, and as the model is.
    public let floats, integers: Double
  }

  /// The model's name.
  public let model: String
  /// What noise is measured against: the model it was made of, as it was then; the one that was given; or this one without
  /// the roundings of activations. nil where nothing was measured.
  public let reference: Reference?
  /// The number of images that noise was measured on; 0 where it was not.
  public let imageCount: Int
  /// The steps in the order in which they run.
  public let steps: [Step]
  /// Steps in floats though integers go into them and are made of what comes out.
  public let islands: [FloatIsland]
  /// The layers that were skipped because the caller asked for it.
  public let skipped: [String]
  /// The layers that have returned to floats so that the accuracy holds, the most harmful first.
  public let returned: [String]
  /// The accuracy that was looked at; nil where there was none.
  public let accuracy: Accuracy?

  /// What noise is measured against.
  public enum Reference: String, Sendable {
    /// The model that it was made of, over some of the calibration images.
    case original = "the model it was made of"
    /// The model that was given.
    case given = "the given model"
    /// The same weights, without the roundings of activations.
    case ownWeights = "its own weights, without the roundings of activations"
  }
}

extension QuantizationReport: CustomStringConvertible {
  /// The table.
  public var description: String { text }

  /// A table with a row for each step, and the islands of floats with their reasons.
  public var text: String {
    let head = ["scale", "zero", "weight scales", "S/N dB", "error", "type", "instruction", "layers"]
    let rows = steps.map { step in
      [
        step.scale.map(Self.short) ?? "", step.zeroPoint.map { String($0) } ?? "",
        step.weightScales.map {
          $0.lowerBound == $0.upperBound
            ? Self.short($0.lowerBound) : "\(Self.short($0.lowerBound))..\(Self.short($0.upperBound))"
        } ?? "",
        step.signalToNoise.map { decimal($0, 1) } ?? "", step.errorShare.map { "\(decimal($0 * 100, 1)) %" } ?? "",
        step.type, step.instruction, step.name,
      ]
    }
    let lines = aligned([head] + rows, firstText: 5)
    let rule = String(repeating: "-", count: min(120, lines.map(\.count).max() ?? 0))
    var result = ["\(model): \(title)"]
    if let reference {
      result.append("S/N and share of the logits' error on \(images), against \(reference.rawValue)")
    }
    if let accuracy {
      result.append(
        "top-1 on \(accuracy.samples) validation samples: \(decimal(accuracy.integers * 100, 2)) %, in floats "
          + "\(decimal(accuracy.floats * 100, 2)) %")
    }
    if !skipped.isEmpty { result.append("skipped: \(skipped.joined(separator: ", "))") }
    if !returned.isEmpty { result.append("returned to floats: \(returned.joined(separator: ", "))") }
    result += [rule, lines[0], rule] + lines.dropFirst() + [rule]
    result.append(islands.isEmpty ? "no floats between integers" : "floats between integers:")
    result += islands.map { "  \($0.layer) (\($0.operation)): \($0.reason)" }
    return result.joined(separator: "\n")
  }

  private var title: String {
    let integers = steps.count { $0.type == "int8" }
    return "\(integers) of \(steps.count) steps in integers of 8 bits"
  }

  private var images: String { "\(imageCount) image\(imageCount == 1 ? "" : "s")" }

  /// Four digits of a number above 0.
  private static func short(_ number: Double) -> String {
    guard (1e-3..<1e6).contains(number) else { return scientific(number, 3) }
    var digits = 3
    while digits < 6, number * (0..<digits).reduce(1) { power, _ in power * 10 } < 1000 { digits += 1 }
    return decimal(number, digits)
  }

  /// The numbers as JSON.
  public var json: String {
    let rows = steps.map { step in
      JSON.object(
        JSONObject([
          ("layers", .strings(step.layers)), ("operation", .string(step.operation)), ("dtype", .string(step.type)),
          ("instruction", .string(step.instruction)), ("scale", number(step.scale)),
          ("zero_point", step.zeroPoint.map { .integer(Int64($0)) } ?? .null),
          (
            "weight_scales",
            step.weightScales.map { .array([.number($0.lowerBound), .number($0.upperBound)]) } ?? .null
          ),
          ("signal_to_noise", number(step.signalToNoise)), ("error_share", number(step.errorShare)),
          ("reason", .string(step.reason)),
        ]))
    }
    func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
    let islands: [JSON] = islands.map {
      ["layer": .string($0.layer), "operation": .string($0.operation), "reason": .string($0.reason)]
    }
    let accuracy: JSON? = accuracy.map {
      ["samples": .integer(Int64($0.samples)), "float32": .number($0.floats), "int8": .number($0.integers)]
    }
    let object = JSONObject([
      ("model", .string(model)), ("reference", reference.map { .string($0.rawValue) } ?? .null),
      ("images", .integer(Int64(imageCount))), ("steps", .array(rows)), ("islands", .array(islands)),
      ("skipped", .strings(skipped)), ("returned", .strings(returned)), ("accuracy", accuracy ?? .null),
    ])
    return (try? JSON.object(object).serialized()) ?? "{}"
  }

  /// One of the three: `text`, `json` or `svg`.
  /// - Throws: `.unknownName` for another format.
  package func formatted(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return text
    case "json": return json
    case "svg": return chart
    default: throw unknownName("format", format, among: ["text", "json", "svg"])
    }
  }

  /// The report as a picture, an SVG document that browsers show: for each step a bar for its ratio of signal to noise and
  /// one for its share of the logits' error; steps in floats are grey, those between integers red.
  public var chart: String {
    let rowHeight = 17.0, top = 88.0, left = 20.0, nameWidth = 290.0, barWidth = 260.0, gap = 70.0
    let loudness = left + nameWidth + 12, share = loudness + barWidth + gap
    let height = top + Double(steps.count) * rowHeight + 16
    // Of what follows the layers, as a softmax, the ratio may be many times theirs: its bar ends with the axis.
    let layers = steps.filter { $0.type == "int8" }.compactMap(\.signalToNoise)
    let loudest = layers.max() ?? steps.compactMap(\.signalToNoise).max() ?? 60
    let most = min(max((loudest / 10).rounded(.up) * 10, 10), 200)
    let shares = steps.compactMap(\.errorShare)
    let largest = max(0.01, shares.max() ?? 1), smallest = min(0, shares.min() ?? 0)
    let zero = share + barWidth * (-smallest / (largest - smallest))
    let grey = "fill=\"#667085\"", end = " text-anchor=\"end\""
    var body = SVG.text("\(model): \(title)", left, 22, "fill=\"#101828\" font-size=\"13\"", limit: 110)
    let measured = reference.map { "on \(images), against \($0.rawValue)" } ?? "noise was not measured"
    body += SVG.text("\(measured); grey: in floats; red: floats between integers", left, 40, grey, limit: 140)
    body += SVG.text("signal to noise, dB", loudness, top - 22, grey)
    body += SVG.text("share of the logits' error, %", share, top - 22, grey)
    func line(_ x: Double, _ color: String) -> String {
      SVG.rectangle(x, top - 4, 1, Double(steps.count) * rowHeight + 4, "fill=\"\(color)\"", 0)
    }
    for tens in stride(from: 0, through: most, by: most > 60 ? 20 : 10) {
      let x = loudness + barWidth * tens / most
      body += line(x, "#e4e7ec") + SVG.text(decimal(tens, 0), x, top - 8, grey + " text-anchor=\"middle\"")
    }
    body += line(zero, "#98a2b3")
    for (index, step) in steps.enumerated() {
      let y = top + Double(index) * rowHeight, isInteger = step.type == "int8"
      let name = step.name.count <= 40 ? step.name : "\(step.layers[0]) + \(step.layers.count - 1) more"
      let isIsland = !isInteger && islands.contains { step.layers.contains($0.layer) }
      let color = isIsland ? "fill=\"#b42318\"" : isInteger ? "fill=\"#101828\"" : grey
      body += SVG.text(name, left + nameWidth, y + 11.5, color + end, limit: 43)
      if let decibels = step.signalToNoise {
        let width = barWidth * min(max(decibels, 0), most) / most
        body += SVG.rectangle(loudness, y + 2, max(width, 1), 12, "fill=\"\(isInteger ? "#84adff" : "#d0d5dd")\"", 2)
        body += SVG.text(decimal(decibels, 1), loudness + max(width, 1) + 4, y + 11.5, grey)
      }
      if let part = step.errorShare {
        let width = max(1, barWidth * (part.magnitude / (largest - smallest)))
        body += SVG.rectangle(
          part < 0 ? zero - width : zero, y + 2, width, 12, "fill=\"\(part < 0 ? "#a6f4c5" : "#fdb022")\"", 2)
        body += SVG.text(decimal(part * 100, 1), (part < 0 ? zero : zero + width) + 4, y + 11.5, grey)
      }
    }
    return SVG.document(width: Int(share + barWidth + 70), height: Int(height), body)
  }
}
