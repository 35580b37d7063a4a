import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime
import Glibc

extension ParameterStorage {
  /// Draws the first value of every parameter that is not another model's too. It depends on the seed and the parameter's
  /// name and shape alone. For a storage that nobody has read yet: what is shared is neither changed nor locked.
  func initialize(seed: UInt64, where isDrawn: (Parameter) -> Bool = { _ in true }) {
    for (position, parameter) in parameters.enumerated() where !isShared(at: position) && isDrawn(parameter) {
      let values = values(at: position)
      let random = Philox(seed: seed, stream: RandomStream.initialValue(of: parameter.name))
      // Both layouts, OIHW and [out, in], have the outputs first.
      let outputs = parameter.shape.first ?? 1
      let receptiveField = parameter.shape.dropFirst(2).reduce(1, *)
      let fanIn = Double(values.count / max(outputs, 1)), fanOut = Double(outputs * receptiveField)
      switch parameter.initializer {
      case .zeros: values.update(repeating: 0)
      case .ones: values.update(repeating: 1)
      case .heNormalFanOut: values.fillNormal(deviation: (2 / fanOut).squareRoot(), random)
      case .heNormalDepthwise: values.fillNormal(deviation: (2 / Double(receptiveField)).squareRoot(), random)
      case .uniformFanIn: values.fillUniform(limit: (1 / fanIn).squareRoot(), random)
      case .uniformFanOut: values.fillUniform(limit: (1 / fanOut).squareRoot(), random)
      case .glorotUniform: values.fillUniform(limit: (6 / (fanIn + fanOut)).squareRoot(), random)
      }
      tensors[position].holdMask()
    }
  }
}

extension UnsafeMutableBufferPointer<Float> {
  /// Uniform in `-limit..<limit`.
  fileprivate func fillUniform(limit: Double, _ random: Philox) { fillUniform(from: -limit, to: limit, random) }

  /// Uniform in `low..<high`.
  func fillUniform(from low: Double, to high: Double, _ random: Philox) {
    let middle = Float((low + high) / 2), half = Float((high - low) / 2)
    fill { block in
      let words = random.words(at: block)
      var values = SIMD4<Float>()
      for index in 0..<4 { values[index] = middle + (Philox.unit(words[index]) * 2 - 1) * half }
      return values
    }
  }

  /// Normal; where `isTruncated`, what lies beyond two deviations is drawn again.
  func fillNormal(mean: Double = 0, deviation: Double, isTruncated: Bool = false, _ random: Philox) {
    fill { block in
      var values = normal(random.words(at: block))
      var again: UInt64 = 1
      while isTruncated, values.min() < -2 || values.max() > 2 {
        // There are fewer blocks than 2^48.
        values.replace(with: normal(random.words(at: block | again << 48)), where: (values .< -2) .| (values .> 2))
        again += 1
      }
      return SIMD4<Float>(mean + deviation * values)
    }
  }

  /// Four numbers for each block; in parallel, since each block is a function of its position.
  private func fill(_ numbers: (UInt64) -> SIMD4<Float>) {
    let blocks = (count + 3) / 4
    Workers(count: Threads.count).forEachRange(of: blocks, grain: 4096) { range, _ in
      for block in range {
        let values = numbers(UInt64(block))
        for index in block * 4..<Swift.min(count, block * 4 + 4) { self[index] = values[index - block * 4] }
      }
    }
  }
}

/// Four normal numbers, by the Box-Muller transform of two words for each pair.
private func normal(_ words: SIMD4<UInt32>) -> SIMD4<Double> {
  var values = SIMD4<Double>()
  for pair in [0, 2] {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    let radius = (-2 * log(1 - Double(Philox.unit(words[pair])))).squareRoot()
    let angle = 2 * Double.pi * Double(Philox.unit(words[pair + 1]))
    values[pair] = radius * cos(angle)
    values[pair + 1] = radius * sin(angle)
  }
  return values
}
