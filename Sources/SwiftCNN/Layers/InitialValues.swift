import CNNCore
import CNNRuntime

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

  /// Reads a JSON object with a "name" and options, as `include/swiftcnn.h` lists them.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the option.
  public init(json: JSONObject) throws(CNNError) {
    self = try NamedInitialValues(.object(json), "initializer").values
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
