import CNNCore
import CNNGraph
import Glibc

/// A network whose first layers read pixels as they come.
struct PixelReading {
  let graph: Graph
  /// The value that is pixels less one of each channel, and their levels.
  let name: String
  let levels: PixelLevels
  /// The parameters that are not as they were.
  let values: [String: [Float]]

  /// How far pixels lie apart, a power of two, where the weights that read them have about the size of those that read
  /// normalised ones: training goes on with the same learning rate.
  static func step(_ deviation: [Double]) -> Double {
    let mean = deviation.reduce(0) { $0 + log2($1 * 255) } / Double(max(1, deviation.count))
    return Double(sign: .plus, exponent: -Int(min(max(mean.rounded(), -64), 64)), significand: 1)
  }
}

extension Graph {
  /// The network whose layers that read pixels read them as they come: the normalisation `(pixel / 255 - mean) / deviation`
  /// goes into their weights and biases, but for a whole pixel of each channel, which then stands for 0 around the picture.
  /// - Parameters:
  ///   - step: how far pixels are to lie apart.
  ///   - numbers: those of a parameter of that name.
  ///   - isLayer: whether a node's weight is quantised.
  /// - Returns: nil where there are no pixels, or not such layers alone read them.
  func readingPixels(
    _ normalization: (mean: [Double], deviation: [Double]), step: Double, numbers: (String) -> [Float],
    isLayer: (Node) -> Bool
  ) throws(CNNError) -> PixelReading? {
    guard let input = pixelInput, type(of: input.value).rank == 4 else { return nil }
    let channels = normalization.mean.count, consumers = consumers()
    let readers = consumers[input.value.index].map { nodes[$0] }
    guard channels > 1, !readers.isEmpty, !isKept(input.value),
      readers.allSatisfy({ node in
        (node.operation as? Convolution2D)?.groups == 1 && isLayer(node)
          && node.operands[1...].allSatisfy { consumers[$0.index].count == 1 && parameter(defining: $0) != nil }
      })
    else { return nil }
    let zeroPoints = normalization.mean.map { min(max(($0 * 255).rounded(), 0), 255) }
    guard let levels = PixelLevels(scale: Float(step), zeroPoints: zeroPoints.map { UInt8($0) }) else { return nil }
    let rests = (0..<channels).map { (normalization.mean[$0] * 255 - zeroPoints[$0]) * step }
    let scale = normalization.deviation.map { $0 * 255 * step }
    var values: [String: [Float]] = [:], pixelName = ""
    let readerNames = Set(readers.map(\.name))
    let graph = try rewriting { rewriter, node throws(CNNError) in
      guard readerNames.contains(node.name) else { return false }
      if pixelName.isEmpty {
        pixelName = rewriter.result.uniqueName("\(input.name).pixels")
        let image = try rewriter.result.addSingle(
          Rescaling(scale: scale, offset: rests), [rewriter.image(of: input.value)], name: pixelName)
        rewriter.map(input.value, to: image)
      }
      let weightName = name(of: node.operands[1]), shape = type(of: node.operands[1]).shape
      let taps = shape[2] * shape[3]
      var weight = numbers(weightName), bias = [Float](repeating: 0, count: shape[0]), biasName = ""
      if let given = node.operands.dropFirst(2).first {
        biasName = name(of: given)
        bias = numbers(biasName)
      } else {
        biasName = rewriter.result.uniqueName("\(node.name).bias")
        let isTrainable = parameter(defining: node.operands[1])?.isTrainable ?? true
        _ = try rewriter.result.addParameter(
          Parameter(name: biasName, shape: [shape[0]], role: .bias, initializer: .zeros).trainable(isTrainable))
      }
      for output in 0..<shape[0] {
        var sum = 0.0
        for index in 0..<channels * taps {
          let place = output * channels * taps + index
          weight[place] = Float(Double(weight[place]) / scale[index / taps])
          sum += Double(weight[place]) * rests[index / taps]
        }
        bias[output] -= Float(sum)
      }
      (values[weightName], values[biasName]) = (weight, bias)
      guard let biasValue = rewriter.result.value(named: biasName) else {
        throw CNNError(.internalFault, "there is no parameter '\(biasName)'")
      }
      let result = try rewriter.result.addSingle(
        node.operation,
        [rewriter.image(of: input.value), rewriter.image(of: node.operands[1]), biasValue], name: node.name)
      rewriter.map(node.results[0], to: result)
      return true
    }
    return PixelReading(graph: graph, name: pixelName, levels: levels, values: values)
  }
}
