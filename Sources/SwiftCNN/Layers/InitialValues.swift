import CNNCore
import CNNKernels

/// Initial values of a weight, by the names and with the arguments of Keras's initializers.
///
/// Weights have Keras's shapes here: the axes of a window, the inputs, and last the outputs.
public enum InitialValues: Sendable, Equatable {
  /// The same value everywhere.
  case constant(Double)
  /// Uniform between two values.
  case uniform(from: Double, to: Double)
  /// Normal, where `isTruncated` with values beyond two deviations drawn again.
  case normal(mean: Double, deviation: Double, isTruncated: Bool)
  /// A variance of `scale` divided by the number of inputs, outputs or their mean.
  case varianceScaling(scale: Double, mode: Fan = .fanIn, distribution: Distribution = .truncatedNormal)
  /// Orthonormal rows or columns times `gain`, all axes but the last taken together (Saxe et al. 2014).
  case orthogonal(gain: Double)
  /// The identity matrix times `gain`.
  case identity(gain: Double)

  /// What a variance is divided by.
  public enum Fan: String, CaseIterable, Sendable {
    /// The number of inputs.
    case fanIn = "fan_in"
    /// The number of outputs.
    case fanOut = "fan_out"
    /// Their mean.
    case fanAverage = "fan_avg"
  }

  /// How values of a variance are distributed.
  public enum Distribution: String, CaseIterable, Sendable {
    /// Normal, cut off at two deviations.
    case truncatedNormal = "truncated_normal"
    /// The same.
    case normal
    /// Normal.
    case untruncatedNormal = "untruncated_normal"
    /// Uniform.
    case uniform
  }

  /// The names that are known, each with its usual options and what is made of them.
  private static let table: [(name: String, usual: JSON, make: @Sendable (JSONObject) throws(CNNError) -> Self)] = [
    ("constant", ["value": 0], { (o) throws(CNNError) in .constant(try o.number("value")) }),
    ("glorot_normal", [:], { _ in .varianceScaling(scale: 1, mode: .fanAverage) }),
    ("glorot_uniform", [:], { _ in .varianceScaling(scale: 1, mode: .fanAverage, distribution: .uniform) }),
    ("he_normal", [:], { _ in .varianceScaling(scale: 2) }),
    ("he_uniform", [:], { _ in .varianceScaling(scale: 2, distribution: .uniform) }),
    ("identity", ["gain": 1], { (o) throws(CNNError) in .identity(gain: try o.number("gain")) }),
    ("lecun_normal", [:], { _ in .varianceScaling(scale: 1) }),
    ("lecun_uniform", [:], { _ in .varianceScaling(scale: 1, distribution: .uniform) }),
    ("ones", [:], { _ in .constant(1) }),
    ("orthogonal", ["gain": 1], { (o) throws(CNNError) in .orthogonal(gain: try o.number("gain")) }),
    ("random_normal", ["mean": 0, "stddev": 0.05], { (o) throws(CNNError) in try normal(o, isTruncated: false) }),
    (
      "random_uniform", ["minval": -0.05, "maxval": 0.05],
      { (o) throws(CNNError) in .uniform(from: try o.number("minval"), to: try o.number("maxval")) }
    ),
    ("truncated_normal", ["mean": 0, "stddev": 0.05], { (o) throws(CNNError) in try normal(o, isTruncated: true) }),
    (
      "variance_scaling", ["scale": 1, "mode": "fan_in", "distribution": "truncated_normal"],
      { (o) throws(CNNError) in
        let scale = try o.number("scale")
        guard scale > 0 else { throw CNNError(.invalidArgument, "scale is \(scale); expected above 0") }
        return .varianceScaling(scale: scale, mode: try choice("mode", o), distribution: try choice("distribution", o))
      }
    ),
    ("zeros", [:], { _ in .constant(0) }),
  ]

  private static func normal(_ options: JSONObject, isTruncated: Bool) throws(CNNError) -> Self {
    .normal(mean: try options.number("mean"), deviation: try options.number("stddev"), isTruncated: isTruncated)
  }

  private static func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, _ options: JSONObject)
    throws(CNNError) -> Choice where Choice.RawValue == String
  {
    let word = try options.string(key)
    guard let choice = Choice(rawValue: word) else {
      throw unknownName(key, word, among: Choice.allCases.map(\.rawValue))
    }
    return choice
  }

  /// All of them by name with their usual options.
  static var description: JSON {
    var result = JSONObject()
    for row in table { result[row.name] = row.usual }
    return .object(result)
  }

  /// Reads a JSON object with a "name" and options, as `include/swiftcnn.h` lists them.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the option.
  public init(json: JSONObject) throws(CNNError) {
    guard let name = json["name"]?.stringValue else {
      throw CNNError(.invalidArgument, "the initializer has no name")
    }
    guard let row = Self.table.first(where: { $0.name == name }) else {
      throw unknownName("initializer", name, among: Self.table.map(\.name))
    }
    var options = row.usual.objectValue ?? JSONObject()
    for (key, value) in json.members where key != "name" {
      guard options[key] != nil else { throw unknownName("option", key, among: options.keys).prefixed("'\(name)'") }
      options[key] = value
    }
    do throws(CNNError) {
      self = try row.make(options)
    } catch {
      // The JSON readers speak of files; here the text is an argument.
      throw CNNError(error.code == .malformedFile ? .invalidArgument : error.code, "'\(name)': \(error.message)")
    }
  }

  /// Fills `values`, a weight of that shape, in row-major order.
  ///
  /// They are a function of the initializer, the shape and the seed.
  /// - Throws: `.shapeMismatch` where the shape has other elements, or there are no such values of it; `.outOfMemory`.
  public func fill(
    _ values: UnsafeMutableBufferPointer<Float>, shape: [Int], seed: UInt64
  ) throws(CNNError) {
    let count = try Checked.product(shape, "the weight")
    guard shape.allSatisfy({ $0 >= 0 }), values.count == count else {
      throw CNNError(.shapeMismatch, "shape \(describe(shape)) does not have \(values.count) elements")
    }
    let random = Philox(seed: seed, stream: RandomStream.initialValue(of: ""))
    switch self {
    case .constant(let value): values.update(repeating: Float(value))
    case .uniform(let low, let high): values.fillUniform(from: low, to: high, random)
    case .normal(let mean, let deviation, let isTruncated):
      values.fillNormal(mean: mean, deviation: deviation, isTruncated: isTruncated, random)
    case .varianceScaling(let scale, let mode, let distribution):
      let variance = scale / max(1, Self.fan(mode, of: shape))
      switch distribution {
      case .uniform:
        let limit = (3 * variance).squareRoot()
        values.fillUniform(from: -limit, to: limit, random)
      case .untruncatedNormal: values.fillNormal(deviation: variance.squareRoot(), random)
      case .normal, .truncatedNormal:
        // The standard deviation of a normal distribution cut off at two.
        let deviation = variance.squareRoot() / 0.87962566103423978
        values.fillNormal(deviation: deviation, isTruncated: true, random)
      }
    case .orthogonal(let gain):
      guard shape.count >= 2, let columns = shape.last else {
        throw CNNError(.shapeMismatch, "orthogonal values need two axes or more, got shape \(describe(shape))")
      }
      try values.fillOrthogonal(rows: columns == 0 ? 0 : count / columns, columns: columns, gain: gain, random)
    case .identity(let gain):
      guard shape.count == 2 else {
        throw CNNError(.shapeMismatch, "identity values need two axes, got shape \(describe(shape))")
      }
      values.update(repeating: 0)
      for index in 0..<min(shape[0], shape[1]) { values[index * shape[1] + index] = Float(gain) }
    }
  }

  /// The number of inputs, outputs or their mean of a weight.
  private static func fan(_ mode: Fan, of shape: [Int]) -> Double {
    var inputs = Double(shape.reduce(1, *)), outputs = inputs
    if shape.count >= 2 {
      let window = Double(shape.dropLast(2).reduce(1, *))
      (inputs, outputs) = (Double(shape[shape.count - 2]) * window, Double(shape[shape.count - 1]) * window)
    }
    switch mode {
    case .fanIn: return inputs
    case .fanOut: return outputs
    case .fanAverage: return (inputs + outputs) / 2
    }
  }
}

extension UnsafeMutableBufferPointer<Float> {
  /// A matrix with orthonormal rows or columns, whichever are fewer, times `gain`: the Gram-Schmidt process on normal
  /// numbers, which gives every such matrix the same chance.
  fileprivate func fillOrthogonal(rows: Int, columns: Int, gain: Double, _ random: Philox) throws(CNNError) {
    let vectors = Swift.min(rows, columns), length = Swift.max(rows, columns)
    guard vectors > 0 else { return }
    fillNormal(deviation: 1, random)
    let memory = try Memory(
      byteCount: Checked.product([count, MemoryLayout<Double>.stride], "orthogonal values"), for: "orthogonal values")
    memory.base.withMemoryRebound(to: Double.self, capacity: count) { matrix in
      for index in 0..<count { matrix[index] = Double(self[index]) }
      for done in 0..<vectors {
        let unit = UnsafeMutableBufferPointer<Double>(start: matrix + done * length, count: length)
        let norm = dot(unit, unit).squareRoot()
        for index in 0..<length { unit[index] /= norm }
        Workers(count: Threads.count).forEachRange(of: vectors - done - 1, grain: 1 + 16384 / length) { range, _ in
          for other in range {
            let vector = UnsafeMutableBufferPointer<Double>(start: matrix + (done + 1 + other) * length, count: length)
            let share = dot(unit, vector)
            for index in 0..<length { vector[index] -= share * unit[index] }
          }
        }
      }
      for index in 0..<count {
        let (row, column) = (index / columns, index % columns)
        self[index] = Float(gain * matrix[rows < columns ? row * length + column : column * length + row])
      }
    }
  }
}

/// The sum of products, in eight parts.
private func dot(_ a: UnsafeMutableBufferPointer<Double>, _ b: UnsafeMutableBufferPointer<Double>) -> Double {
  var sums = SIMD8<Double>(), index = 0
  while index + 8 <= a.count {
    var x = SIMD8<Double>(), y = SIMD8<Double>()
    for lane in 0..<8 { (x[lane], y[lane]) = (a[index + lane], b[index + lane]) }
    sums += x * y
    index += 8
  }
  var result = sums.sum()
  while index < a.count {
    result += a[index] * b[index]
    index += 1
  }
  return result
}
