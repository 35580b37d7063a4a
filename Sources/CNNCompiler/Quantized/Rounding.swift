import CNNCore
import CNNGraph

extension Graph {
  /// The network with the roundings of activations and weights that `quantizedForm` computes in integers.
  /// - Parameters:
  ///   - levels: by the name of a value, how it is rounded.
  ///   - pixels: by the name of a value that is pixels less one of each channel, their levels.
  ///   - weights: by the name of a layer, how its weight is.
  public func rounding(
    _ levels: [String: ByteLevels], pixels: [String: PixelLevels] = [:], weights: [String: WeightLevels]
  ) throws(CNNError) -> Graph {
    try rounding { name in
      (pixels[name].map { FakeQuantize($0) } ?? levels[name].map { FakeQuantize($0) }).map { ($0, []) }
    } weight: { layer in
      weights[layer].map { levels in
        let scales = levels.scales.map(\.shortest)
        return (FakeQuantize(scale: scales, axis: 0, minimum: Double(levels.minimum), maximum: 127), [])
      }
    }
  }

  /// The network with roundings.
  /// - Parameters:
  ///   - activation: by the name of a value, what rounds it for those who read it, and the parameters that this reads as
  ///     well; nil for none.
  ///   - weight: by the name of a layer, the same for its weight.
  func rounding(
    _ activation: (String) -> (any Operation, [Parameter])?, weight: (String) -> (any Operation, [Parameter])?
  ) throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(self)
    /// Rounds what a value has become.
    func round(
      _ value: Value, _ rounding: (any Operation, [Parameter]), _ rewriter: inout GraphRewriter
    ) throws(CNNError) -> Value {
      var operands = [try rewriter.image(of: value)]
      for parameter in rounding.1 {
        if let known = rewriter.result.value(named: parameter.name) {
          operands.append(known)
        } else {
          operands.append(try rewriter.result.addParameter(parameter))
        }
      }
      return try rewriter.result.addSingle(
        rounding.0, operands, name: rewriter.result.uniqueName("\(name(of: value)).levels"))
    }
    var rounded: [Value: Value] = [:]
    func roundForReaders(_ value: Value, _ rewriter: inout GraphRewriter) throws(CNNError) {
      if let rounding = activation(name(of: value)) { rounded[value] = try round(value, rounding, &rewriter) }
    }
    for input in inputs { try roundForReaders(input.value, &rewriter) }
    for node in nodes {
      var operands: [Value] = []
      for operand in node.operands {
        if let image = rounded[operand] {
          operands.append(image)
        } else {
          operands.append(try rewriter.image(of: operand))
        }
      }
      if let rounding = weight(node.name) { operands[1] = try round(node.operands[1], rounding, &rewriter) }
      let results = try rewriter.result.add(node.operation, operands, name: node.name)
      for (old, new) in zip(node.results, results) { rewriter.map(old, to: new) }
      for result in node.results { try roundForReaders(result, &rewriter) }
    }
    return try rewriter.finished()
  }
}

extension FakeQuantize {
  /// The rounding to these pixels.
  init(_ levels: PixelLevels) {
    self.init(
      scale: [levels.scale.shortest], zeroPoint: levels.zeroPoints.map { Double($0) }, minimum: 0, maximum: 255)
  }

  /// The rounding to these levels.
  init(_ levels: ByteLevels) {
    self.init(
      scale: [levels.scale.shortest], zeroPoint: [Double(levels.zeroPoint)], minimum: Double(levels.minimum),
      maximum: Double(levels.maximum))
  }
}
