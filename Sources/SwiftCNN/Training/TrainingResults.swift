import CNNCore

/// The loss and the metrics of a batch, an epoch or a data set: a collection of the values, each of which has a name.
///
///     let results = try model.evaluate(images, labels)
///     print(results)                       // loss 0.2931, accuracy 0.9125
///     if results[.accuracy] ?? 0 > 0.9 { try model.write(to: "good.safetensors") }
public struct TrainingResults: Sendable, Equatable {
  /// What was measured: `loss`, then the metrics by the names under which they are reported, and where there is a
  /// validation, the same with `val_` before them.
  public let names: [String]
  /// The values, in the order of the names.
  public let values: [Double]

  init(_ names: [String] = [], _ values: [Double] = []) { (self.names, self.values) = (names, values) }

  /// The loss.
  public var loss: Double { values.first ?? .nan }

  /// The value of that name; nil where there is none.
  public subscript(name: String) -> Double? { names.firstIndex(of: name).map { values[$0] } }

  /// The value of a metric that is reported under its own name; nil where there is none.
  public subscript(metric: Metric) -> Double? { self[metric.name] }

  /// These results and those of a validation.
  func validated(_ other: TrainingResults) -> TrainingResults {
    TrainingResults(names + other.names.map { "val_" + $0 }, values + other.values)
  }
}

extension TrainingResults: RandomAccessCollection {
  /// 0, the place of the loss.
  public var startIndex: Int { 0 }
  /// The number of values.
  public var endIndex: Int { values.count }

  /// The value at that place.
  public subscript(position: Int) -> Double { values[position] }
}

extension TrainingResults: CustomStringConvertible {
  /// The names and values, as `loss 0.2931, accuracy 0.9125`.
  public var description: String {
    zip(names, values).map { "\($0) \(Self.rounded($1))" }.joined(separator: ", ")
  }

  /// Four digits behind the point, of what is so large that they say something.
  private static func rounded(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e9, abs(value) >= 1e-3 || value == 0 else { return "\(value)" }
    return "\((value * 1e4).rounded() / 1e4)"
  }
}
