import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
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
    }
  }
}

extension UnsafeMutableBufferPointer<Float> {
  /// Uniform in `-limit..<limit`.
  fileprivate func fillUniform(limit: Double, _ random: Philox) {
    fill(random) { words in
      var values = SIMD4<Float>()
      for index in 0..<4 { values[index] = (Philox.unit(words[index]) * 2 - 1) * Float(limit) }
      return values
    }
  }

  /// Normal, by the Box-Muller transform of two words for each pair of numbers.
  fileprivate func fillNormal(deviation: Double, _ random: Philox) {
    fill(random) { words in
      var values = SIMD4<Float>()
      for pair in [0, 2] {
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = deviation * (-2 * log(1 - Double(Philox.unit(words[pair])))).squareRoot()
        let angle = 2 * Double.pi * Double(Philox.unit(words[pair + 1]))
        values[pair] = Float(radius * cos(angle))
        values[pair + 1] = Float(radius * sin(angle))
      }
      return values
    }
  }

  /// Four numbers for each block of random words; in parallel, since each block is a function of its position.
  private func fill(_ random: Philox, _ numbers: (SIMD4<UInt32>) -> SIMD4<Float>) {
    let blocks = (count + 3) / 4
    Workers(count: Threads.count).forEachRange(of: blocks, grain: 4096) { range, _ in
      for block in range {
        let values = numbers(random.words(at: UInt64(block)))
        for index in block * 4..<Swift.min(count, block * 4 + 4) { self[index] = values[index - block * 4] }
      }
    }
  }
}
