import CNNCore
import CNNGraph

extension Graph {
  /// The network with the roundings of activations and weights that `quantizedForm` computes in integers.
  /// - Parameters:
  ///   - levels: by the name of a value, how it is rounded.
  ///   - pixels: by the name of a value that is pixels less a level of each channel, these levels.
  ///   - weights: by the name of a layer, how its weight is.
  public func rounding(
    _ levels: [String: ByteLevels], pixels: [String: [UInt8]] = [:], weights: [String: WeightLevels]
  ) throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(self)
    /// Rounds what a value has become, for those who read it.
    func round(_ value: Value, _ rewriter: inout GraphRewriter) throws(CNNError) {
      let name = name(of: value)
      guard let rounding = pixels[name].map({ FakeQuantize(pixels: $0) }) ?? levels[name].map({ FakeQuantize($0) })
      else {
        return
      }
      rounded[value] = try rewriter.result.addSingle(
        rounding, [rewriter.image(of: value)], name: rewriter.result.uniqueName("\(name).levels"))
    }
    var rounded: [Value: Value] = [:]
    for input in inputs { try round(input.value, &rewriter) }
    for node in nodes {
      var operands: [Value] = []
      for operand in node.operands {
        if let image = rounded[operand] {
          operands.append(image)
        } else {
          operands.append(try rewriter.image(of: operand))
        }
      }
      if let levels = weights[node.name] {
        let rounding = FakeQuantize(
          scale: levels.scales.map { Double($0) }, axis: 0, minimum: Double(levels.minimum), maximum: 127)
        operands[1] = try rewriter.result.addSingle(
          rounding, [operands[1]], name: rewriter.result.uniqueName("\(name(of: node.operands[1])).levels"))
      }
      let results = try rewriter.result.add(node.operation, operands, name: node.name)
      for (old, new) in zip(node.results, results) { rewriter.map(old, to: new) }
      for result in node.results { try round(result, &rewriter) }
    }
    return try rewriter.finished()
  }
}

extension FakeQuantize {
  /// The rounding to pixels of which one of each channel stands for 0.
  init(pixels zeroPoints: [UInt8]) {
    self.init(scale: [1], zeroPoint: zeroPoints.map { Double($0) }, minimum: 0, maximum: 255)
  }

  /// The rounding to these levels.
  init(_ levels: ByteLevels) {
    self.init(
      scale: [Double(levels.scale)], zeroPoint: [Double(levels.zeroPoint)], minimum: Double(levels.minimum),
      maximum: Double(levels.maximum))
  }
}
