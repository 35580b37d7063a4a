import CNNCore

extension FakeQuantize {
  /// The levels of a byte that it rounds to, those of a signed one shifted by 128; nil where one byte does not hold them, or
  /// there are several scales.
  public var byteLevels: ByteLevels? {
    guard scale.count == 1, zeroPoint.count == 1 else { return nil }
    let shift: Double = minimum >= 0 ? 0 : 128
    let numbers = [zeroPoint[0] + shift, minimum + shift, maximum + shift]
    guard numbers.allSatisfy({ (0...255).contains($0) && $0 == $0.rounded() }) else { return nil }
    return ByteLevels(
      scale: Float(scale[0]), zeroPoint: UInt8(numbers[0]), minimum: UInt8(numbers[1]), maximum: UInt8(numbers[2]))
  }

  /// The levels of pixels, of which one of each channel stands for 0; nil where it rounds to others.
  public var pixelLevels: PixelLevels? {
    guard scale.count == 1, zeroPoint.count > 1, axis == -1, minimum == 0, maximum == 255,
      zeroPoint.allSatisfy({ (0...255).contains($0) && $0 == $0.rounded() })
    else { return nil }
    return PixelLevels(scale: Float(scale[0]), zeroPoints: zeroPoint.map { UInt8($0) })
  }

  /// The signed bytes that a weight is rounded to; nil where it is not.
  public var weightLevels: WeightLevels? {
    guard axis == 0 || scale.count == 1, zeroPoint.allSatisfy({ $0 == 0 }), maximum == 127,
      minimum == -127 || minimum == -128
    else { return nil }
    return WeightLevels(scales: scale.map { Float($0) }, minimum: Int8(minimum))
  }
}

extension Graph {
  /// The parameter that a value is, or that it is rounded from; nil where it is computed otherwise.
  public func parameter(behind value: Value) -> Parameter? {
    guard let node = node(defining: value) else { return parameter(defining: value) }
    return isRoundingOfParameter(node) ? parameter(defining: node.operands[0]) : nil
  }

  /// Whether a node only rounds a parameter, for those that read it.
  public func isRoundingOfParameter(_ node: Node) -> Bool {
    node.operation is FakeQuantize && parameter(defining: node.operands[0]) != nil
  }

  /// The signed bytes that parameters are rounded to wherever they are read, by name.
  public var weightLevels: [String: WeightLevels] {
    var result: [String: WeightLevels] = [:]
    var others: Set<String> = []
    for node in nodes {
      for operand in node.operands {
        guard let parameter = parameter(defining: operand), parameter.shape.count > 1 else { continue }
        let levels = (node.operation as? FakeQuantize)?.weightLevels
        if let levels, result[parameter.name] ?? levels == levels {
          result[parameter.name] = levels
        } else {
          others.insert(parameter.name)
        }
      }
    }
    return result.filter { !others.contains($0.key) }
  }
}

extension Operation {
  /// Whether each element of the result is one of the operand's, found by its place or by being the largest, so that it makes
  /// no difference whether these are levels or what they stand for.
  public var movesElements: Bool {
    switch self {
    case is Reshape: true
    case let permute as Permute: permute.order.count <= Permute.largestRankOfBytes
    case let pooling as Pooling2D: pooling.kind == .max
    case let pooling as GlobalPooling2D: pooling.kind == .max
    default: false
    }
  }
}
