import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Whole numbers that stand for others. What is computed with them in the file is computed in float32 here, rounded to
  /// the same levels.
  static let quantization: [String: ImportedOperation] = [
    "QuantizeLinear": { importer, node throws(CNNError) in try importer.quantize(&node) },
    "DequantizeLinear": { importer, node throws(CNNError) in try importer.dequantize(&node) },
    "QLinearConv": { importer, node throws(CNNError) in try importer.convolutionOfLevels(&node) },
    "QLinearMatMul": { importer, node throws(CNNError) in try importer.productOfLevels(&node) },
    // Those that ONNX Runtime's quantiser writes.
    "com.microsoft.QuantizeLinear": { importer, node throws(CNNError) in try importer.quantize(&node) },
    "com.microsoft.DequantizeLinear": { importer, node throws(CNNError) in try importer.dequantize(&node) },
    "com.microsoft.QGemm": { importer, node throws(CNNError) in try importer.gemmOfLevels(&node) },
    "com.microsoft.QLinearConcat": { importer, node throws(CNNError) in try importer.concatenationOfLevels(&node) },
    "com.microsoft.QLinearAdd": ofTwo("Add"), "com.microsoft.QLinearMul": ofTwo("Mul"),
    "com.microsoft.QLinearGlobalAveragePool": ofOne("GlobalAveragePool"),
    "com.microsoft.QLinearAveragePool": ofOne("AveragePool"), "com.microsoft.QLinearSigmoid": ofOne("Sigmoid"),
    "com.microsoft.QLinearLeakyRelu": ofOne("LeakyRelu"), "com.microsoft.QLinearSoftmax": ofOne("Softmax"),
    "com.microsoft.QLinearReduceMean": ofOne("ReduceMean"),
  ]

  private static func ofOne(_ name: String) -> ImportedOperation {
    { importer, node throws(CNNError) in try importer.unaryOfLevels(name, &node) }
  }

  private static func ofTwo(_ name: String) -> ImportedOperation {
    { importer, node throws(CNNError) in try importer.binaryOfLevels(name, &node) }
  }
}

/// Levels of whole numbers: `value = (level - zero) * scale`.
struct Quantization: Hashable {
  /// One of each, or one for each index along an axis.
  let scale, zero: [Float]
  let range: ClosedRange<Int>

  /// - Parameters:
  ///   - scale: one number, or a list.
  ///   - zero: as many, or nil for zeros.
  ///   - type: of the levels, where something else than the zero point says so.
  init(_ scale: Constant, _ zero: Constant?, type: Int?) throws(CNNError) {
    guard scale.shape.count <= 1, zero?.shape.count ?? 0 <= 1 else {
      throw CNNError(
        .invalidArgument,
        "the scale has the shape \(describe(scale.shape)) and the zero point \(describe(zero?.shape ?? [])); expected one "
          + "number or a list")
    }
    // Without a zero point they are unsigned bytes.
    let code = type ?? zero?.element ?? ElementCode.uint8
    guard let range = ElementCode.levels(code) else {
      throw CNNError(
        .invalidArgument, "the levels are \(ElementCode.name(code)); expected whole numbers of 4 to 32 bits")
    }
    self.range = range
    self.scale = Array(try scale.scales())
    self.zero = try zero.map { (zero) throws(CNNError) in Array(try zero.zeroPoints(of: code)) } ?? [0]
    guard [1, count].contains(self.scale.count), [1, count].contains(self.zero.count), count >= 1 else {
      throw CNNError(
        .shapeMismatch, "there are \(self.scale.count) scales and \(self.zero.count) zero points; expected as many")
    }
  }

  /// One for each, though given once.
  func scale(_ index: Int) -> Float { scale[scale.count == 1 ? 0 : index] }
  func zero(_ index: Int) -> Float { zero[zero.count == 1 ? 0 : index] }

  /// How many there are; 1 for a whole tensor.
  var count: Int { max(scale.count, zero.count) }
}

/// A tensor of levels in the network, and the one of floats whose levels they are.
struct Quantized {
  let real: Value
  let quantization: Quantization
  /// The axis in memory along which there is more than one scale.
  let place: Int?
}

/// A tensor that is rounded, with its scales along the last axis in memory.
struct Rounding: Hashable {
  let value: Value
  let quantization: Quantization
}

/// A weight that is rounded to signed bytes, with scales along its first axis.
struct RoundedWeight: Hashable {
  let parameter: Value
  let scale: [Double]
}

extension GraphImporter {
  // MARK: Nodes

  fileprivate mutating func quantize(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    node.pass("saturate", "precision")
    guard try node.integer("block_size", default: 0) == 0 else {
      throw CNNError(.invalidArgument, "block_size is set; blocks are read of constants alone")
    }
    let type = try node.integer("output_dtype", default: 0), given = try node.integer("axis", default: 1)
    let quantization = try quantization(node, 1, type: type == 0 ? nil : type)
    switch try node.input(0) {
    case .constant(let constant):
      let levels = try constant.quantized(quantization, axis: given)
      try charge(levels.count)
      return [.constant(levels)]
    case .tensor(let x): return [.tensor(try quantized(x, quantization, axis: given))]
    }
  }

  fileprivate mutating func dequantize(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    node.pass("output_dtype")
    let axis = try node.integer("axis", default: 1), block = try node.integer("block_size", default: 0)
    switch try node.input(0) {
    case .constant(let constant):
      let scale = try node.constant(1, "the scale"), zero = try node.optionalConstant(2, "the zero point")
      return [.constant(try dequantized(constant, scale, zero, axis: axis, block: block))]
    case .tensor(let levels):
      guard block == 0 else {
        throw CNNError(.invalidArgument, "block_size is set; blocks are read of constants alone")
      }
      return [.tensor(try dequantized(levels, quantization(node, 1, type: nil), axis: axis))]
    }
  }

  // MARK: Operations on levels, as those on floats

  /// The floats that an input's levels stand for; its scale and zero point are the two inputs behind it.
  private mutating func real(_ node: ImportedNode, _ index: Int, axis: Int = 1) throws(CNNError) -> Known {
    switch try node.input(index) {
    case .tensor(let levels):
      return .tensor(try dequantized(levels, quantization(node, index + 1, type: nil), axis: axis))
    case .constant(let constant):
      let zero = try node.optionalConstant(index + 2, "the zero point")
      return .constant(
        try dequantized(constant, node.constant(index + 1, "the scale"), zero, axis: axis, block: 0))
    }
  }

  /// A sum's whole numbers, whose scale is the product of those at two inputs.
  private mutating func bias(_ node: ImportedNode, _ index: Int, factors: [Int], times: Float = 1) throws(CNNError)
    -> Known?
  {
    guard let bias = try node.optionalConstant(index, "the bias") else { return nil }
    var scale = try Constant(shape: [], .floats(try ONNXFloats([times])))
    for factor in factors { scale = try scale.combined(.multiply, with: node.constant(factor, "a scale")) }
    if scale.count == 1 { scale = try scale.reshaped([]) }
    return .constant(try dequantized(bias, scale, nil, axis: -1, block: 0))
  }

  fileprivate mutating func convolutionOfLevels(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let x = try real(node, 0), weight = try real(node, 3, axis: 0), bias = try bias(node, 8, factors: [1, 4])
    return try requantized(&node, as: [x, weight, bias], to: 6, by: "Conv")
  }

  fileprivate mutating func productOfLevels(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let a = try real(node, 0), b = try real(node, 3, axis: -1)
    return try requantized(&node, as: [a, b], to: 6, by: "MatMul")
  }

  fileprivate mutating func gemmOfLevels(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let alpha = Float(try node.number("alpha", default: 1)), isTransposed = try node.flag("transB", default: false)
    let a = try real(node, 0), b = try real(node, 3, axis: isTransposed ? 0 : 1)
    // The scale of the sum has alpha in it.
    let sum = try bias(node, 6, factors: [1, 4], times: alpha)
    return try requantized(&node, as: [a, b, sum], to: 7, by: "Gemm")
  }

  fileprivate mutating func concatenationOfLevels(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    var parts: [Known?] = []
    for index in stride(from: 2, to: node.inputs.count, by: 3) { parts.append(try real(node, index)) }
    return try requantized(&node, as: parts, to: 0, by: "Concat")
  }

  fileprivate mutating func binaryOfLevels(_ name: String, _ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let a = try real(node, 0), b = try real(node, 3)
    return try requantized(&node, as: [a, b], to: 6, by: name)
  }

  fileprivate mutating func unaryOfLevels(_ name: String, _ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let x = try real(node, 0)
    guard try !node.flag("channels_last", default: false) else {
      throw CNNError(.invalidArgument, "channels_last is set; expected the channels second")
    }
    // The operator set of a softmax of its own.
    node.pass("opset")
    return try requantized(&node, as: [x], to: 3, by: name)
  }

  /// What an operation on floats makes of these inputs, as levels whose scale and zero point are the inputs from `index`
  /// on; as floats where there are none.
  private mutating func requantized(
    _ node: inout ImportedNode, as inputs: [Known?], to index: Int, by name: String
  ) throws(CNNError) -> [Known] {
    guard let operation = ImportedOperations.table[name] else {
      throw CNNError(.internalFault, "there is no operation '\(name)'")
    }
    let target = node.has(index) ? try quantization(node, index, type: nil) : nil
    node.inputs = inputs
    let results = try operation(&self, &node)
    guard let target, case .tensor(let result)? = results.first else { return results }
    return [.tensor(try quantized(result, target, axis: 1))]
  }

  // MARK: Levels

  /// The scale at an input and the zero point behind it, of levels of a type.
  private func quantization(_ node: ImportedNode, _ index: Int, type: Int?) throws(CNNError) -> Quantization {
    try Quantization(
      node.constant(index, "the scale"), node.optionalConstant(index + 1, "the zero point"), type: type)
  }

  /// The levels of a computed tensor, made once.
  private mutating func quantized(_ x: Traced, _ quantization: Quantization, axis given: Int) throws(CNNError) -> Traced
  {
    let x = try laidOut(x, quantization, given), key = Rounding(value: x.value, quantization: quantization)
    if let levels = roundings[key] { return Traced(value: levels, order: x.order) }
    let real = try add(
      FakeQuantize(
        scale: quantization.scale.map { Double($0) }, zeroPoint: quantization.zero.map { Double($0) },
        minimum: Double(quantization.range.lowerBound), maximum: Double(quantization.range.upperBound)), [x.value])
    let levels = try add(
      Rescaling(scale: quantization.scale.map { 1 / Double($0) }, offset: quantization.zero.map { Double($0) }), [real])
    let place = quantization.count == 1 ? nil : graph.type(of: real).rank - 1
    quantized[levels] = Quantized(real: real, quantization: quantization, place: place)
    roundings[key] = levels
    return Traced(value: levels, order: x.order)
  }

  /// What the levels of one tensor are, where they are known: also behind what only moves them, which then moves what they
  /// stand for.
  private mutating func known(_ levels: Value) throws(CNNError) -> Quantized? {
    if let known = quantized[levels] { return known }
    guard let node = graph.node(defining: levels), node.operands.count == 1, node.operation.movesElements,
      let before = try known(node.operands[0]), before.place == nil
    else { return nil }
    let real = try add(node.operation, [before.real])
    let moved = Quantized(real: real, quantization: before.quantization, place: nil)
    quantized[levels] = moved
    return moved
  }

  /// The floats for which computed levels stand.
  private mutating func dequantized(_ levels: Traced, _ quantization: Quantization, axis given: Int) throws(CNNError)
    -> Traced
  {
    let place = quantization.count == 1 ? nil : levels.order[try axis(given, of: rank(levels))]
    if let known = try known(levels.value), known.place == place, known.quantization.scale == quantization.scale,
      known.quantization.zero == quantization.zero
    {
      return Traced(value: known.real, order: levels.order)
    }
    let levels = try laidOut(levels, quantization, given)
    let offset = (0..<quantization.count).map { -Double(quantization.zero($0)) * Double(quantization.scale($0)) }
    let real = try add(Rescaling(scale: quantization.scale.map { Double($0) }, offset: offset), [levels.value])
    return Traced(value: real, order: levels.order)
  }

  /// The tensor with the axis of several scales as the last in memory.
  private mutating func laidOut(_ x: Traced, _ quantization: Quantization, _ given: Int) throws(CNNError) -> Traced {
    guard quantization.count > 1 else { return x }
    let position = try axis(given, of: rank(x))
    let x = try withLast(position, x)
    guard case .known(quantization.count) = sizes(x)[position] else {
      throw CNNError(
        .shapeMismatch, "the scale has \(quantization.count) numbers; axis \(position) has another size")
    }
    try charge(quantization.count)
    return x
  }

  /// The floats for which constant levels stand, still by the initializer's name.
  private mutating func dequantized(
    _ levels: Constant, _ scale: Constant, _ zero: Constant?, axis given: Int, block: Int
  ) throws(CNNError) -> Constant {
    guard levels.element != nil || levels.isWhole else {
      throw CNNError(.invalidArgument, "the input is made of floats; expected whole numbers")
    }
    let scales = try scale.scales(), zeros = try zero?.zeroPoints(of: levels.element)
    guard zeros?.count ?? scales.count == scales.count else {
      throw CNNError(
        .shapeMismatch, "there are \(scales.count) scales and \(zeros?.count ?? 0) zero points; expected as many")
    }
    constantsOfLevels += 1
    let numbers = try levels.numbers("the input")
    try charge(numbers.count)
    if scales.count == 1 {
      let (scale, zero) = (scales[0], zeros?[0] ?? 0)
      return try levels.replacing(
        ONNXFloats(count: numbers.count, "a weight") { target throws(CNNError) in
          for (index, level) in numbers.enumerated() { target[index] = (level - zero) * scale }
        }, levels.rounding([scale], axis: 0) { _ in zero })
    }
    let axis = try axis(given, of: levels.shape.count), length = levels.shape[axis]
    let isBlocked = scale.shape.count == levels.shape.count && scale.shape.count > 1
    let groups = isBlocked ? scale.shape[axis] : scales.count
    let size = isBlocked ? (block > 0 ? block : (length + groups - 1) / max(groups, 1)) : 1
    var expected = isBlocked ? levels.shape : [length]
    if isBlocked { expected[axis] = (length + size - 1) / max(size, 1) }
    guard scale.shape == expected, size >= 1 else {
      throw CNNError(
        .shapeMismatch,
        "the scale has shape \(describe(scale.shape)) along axis \(axis) of \(describe(levels.shape))")
    }
    let inner = levels.shape[(axis + 1)...].reduce(1, *)
    return try levels.replacing(
      ONNXFloats(count: numbers.count, "a weight") { target throws(CNNError) in
        for index in 0..<numbers.count {
          let along = index / inner % length
          let position =
            isBlocked ? (index / (inner * length) * groups + along / size) * inner + index % inner : along
          target[index] = (numbers[index] - (zeros?[position] ?? 0)) * scales[position]
        }
      },
      isBlocked
        ? nil : levels.rounding(Array(scales), axis: axis) { index in zeros?[index / inner % length] ?? 0 })
  }

  /// A parameter rounded as it is in the file, made once.
  mutating func rounded(_ parameter: Value, as rounding: FakeQuantize?) throws(CNNError) -> Value {
    guard let rounding else { return parameter }
    let key = RoundedWeight(parameter: parameter, scale: rounding.scale)
    if let made = roundedWeights[key] { return made }
    let value = try add(rounding, [parameter])
    roundedWeights[key] = value
    return value
  }
}

extension Constant {
  /// Other floats in place of these numbers, which come from the same initializer.
  fileprivate func replacing(_ floats: ONNXFloats, _ rounding: FakeQuantize?) throws(CNNError) -> Constant {
    var result = try Constant(shape: shape, .floats(floats), source: source)
    result.rounding = rounding
    return result
  }

  /// The rounding to signed bytes around 0 that leaves these levels as they are; nil where there is none.
  /// - Parameter zero: the zero point of the element at a position.
  fileprivate func rounding(_ scale: [Float], axis: Int, zero: (Int) -> Float) -> FakeQuantize? {
    guard element == ElementCode.int8 || element == ElementCode.uint8, case .levels(let levels) = content,
      levels.indices.allSatisfy({ (-128...127).contains(levels[$0] - zero($0)) })
    else { return nil }
    return FakeQuantize(scale: scale.map(\.shortest), axis: axis, minimum: -128, maximum: 127)
  }

  /// Whether these are whole numbers.
  fileprivate var isWhole: Bool { if case .floats = content { false } else { true } }

  /// How far levels lie apart, checked.
  fileprivate func scales() throws(CNNError) -> ONNXFloats {
    let scales = try floats("the scale")
    if let wrong = scales.first(where: { !($0 > 0 && $0.isFinite && (1 / $0).isFinite) }) {
      throw CNNError(.invalidArgument, "the scale is \(wrong); expected numbers above 0 whose reciprocals are finite")
    }
    return scales
  }

  /// Which level of a type stands for 0, checked.
  /// - Parameter code: the levels' type; nil where it is not known.
  fileprivate func zeroPoints(of code: Int?) throws(CNNError) -> ONNXFloats {
    let numbers = try numbers("the zero point")
    guard isWhole, element == nil || code == nil || element == code else {
      throw CNNError(
        .invalidArgument,
        "the zero point is \(ElementCode.name(element ?? ElementCode.float32)); expected "
          + "\(code.map(ElementCode.name) ?? "whole numbers"), as its levels are")
    }
    if let range = code.flatMap(ElementCode.levels),
      let wrong = numbers.first(where: { !(Float(range.lowerBound)...Float(range.upperBound)).contains($0) })
    {
      throw CNNError(
        .invalidArgument, "the zero point is \(wrong); expected \(range.lowerBound) to \(range.upperBound)")
    }
    return numbers
  }

  /// The levels of these floats.
  fileprivate func quantized(_ quantization: Quantization, axis given: Int) throws(CNNError) -> Constant {
    let floats = try floats("the input")
    var inner = floats.count, length = 1
    if quantization.count > 1 {
      let axis = given < 0 ? given &+ shape.count : given
      guard shape.indices.contains(axis), shape[axis] == quantization.count else {
        throw CNNError(
          .shapeMismatch,
          "the scale has \(quantization.count) numbers; they do not fit axis \(given) of \(describe(shape))")
      }
      (inner, length) = (shape[(axis + 1)...].reduce(1, *), shape[axis])
    }
    let (lowest, highest) = (Float(quantization.range.lowerBound), Float(quantization.range.upperBound))
    let levels = try ONNXFloats(count: floats.count, "a weight") { target throws(CNNError) in
      for index in 0..<floats.count {
        let along = length == 1 ? 0 : index / inner % length
        let level = (floats[index] / quantization.scale(along)).rounded(.toNearestOrEven) + quantization.zero(along)
        target[index] = min(max(level, lowest), highest)
      }
    }
    let code = ElementCode.code(of: quantization.range)
    return try Constant(shape: shape, .levels(levels), source: source, element: code)
  }
}

extension FakeQuantize {
  /// The same rounding with its scales, times a factor, along another axis.
  func along(_ axis: Int, times factor: Double = 1) -> FakeQuantize {
    FakeQuantize(
      scale: scale.map { $0 * factor }, zeroPoint: zeroPoint, axis: axis, minimum: minimum, maximum: maximum)
  }
}
