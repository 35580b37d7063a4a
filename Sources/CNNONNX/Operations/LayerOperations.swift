import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Convolutions and products with weights.
  static let layers: [String: ImportedOperation] = [
    "Conv": { importer, node throws(CNNError) in try importer.convolution(&node) },
    "Gemm": { importer, node throws(CNNError) in try importer.gemm(&node) },
    "MatMul": { importer, node throws(CNNError) in try importer.product(&node) },
    "Dropout": { importer, node throws(CNNError) in try importer.dropout(&node) },
  ]
}

/// The window of a convolution or pooling as a file gives it, with height and width, or width alone.
struct ImportedWindow {
  var kernel: [Int]
  var stride: [Int]
  var dilation: [Int]
  /// Top, left, bottom, right.
  var padding: [Int]
  let automatic: String

  /// - Parameter axes: how many spatial axes there are, 1 or 2.
  init(_ node: inout ImportedNode, axes: Int, kernel: [Int]? = nil) throws(CNNError) {
    guard (1...2).contains(axes) else {
      throw CNNError(.invalidArgument, "there are \(axes) spatial axes; expected 1 or 2")
    }
    func list(_ values: [Int]?, _ name: String, _ fallback: Int, _ count: Int) throws(CNNError) -> [Int] {
      let values = values ?? Array(repeating: fallback, count: count)
      guard values.count == count, values.allSatisfy({ (-(1 << 24)...(1 << 24)).contains($0) }) else {
        throw CNNError(.malformedFile, "\(name) has \(values.count) numbers; expected \(count)")
      }
      return values
    }
    let given = try node.integers("kernel_shape")
    guard let size = given ?? kernel else { throw CNNError(.malformedFile, "attribute 'kernel_shape' is missing") }
    self.kernel = try list(size, "kernel_shape", 1, axes)
    if let kernel, kernel != self.kernel {
      throw CNNError(
        .malformedFile, "kernel_shape is \(describe(self.kernel)); the weight's is \(describe(kernel))")
    }
    stride = try list(node.integers("strides"), "strides", 1, axes)
    dilation = try list(node.integers("dilations"), "dilations", 1, axes)
    padding = try list(node.integers("pads"), "pads", 0, 2 * axes)
    guard padding.allSatisfy({ $0 >= 0 }) else {
      throw CNNError(.invalidArgument, "pads are \(describe(padding)); expected 0 or more")
    }
    automatic = try node.text("auto_pad", default: "NOTSET")
    guard ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""].contains(automatic) else {
      throw CNNError(.malformedFile, "auto_pad is '\(automatic)'; expected SAME_UPPER, SAME_LOWER or VALID")
    }
    if automatic == "VALID" { padding = Array(repeating: 0, count: 2 * axes) }
    if axes == 1 {
      self.kernel.insert(1, at: 0)
      stride.insert(1, at: 0)
      dilation.insert(1, at: 0)
      padding = [0, padding[0], 0, padding[1]]
    }
  }

  /// The padding for an input of this height and width, nil where they vary.
  func placed(on size: [Int?]) throws(CNNError) -> Padding {
    guard automatic.hasPrefix("SAME") else {
      return .explicit(top: padding[0], left: padding[1], bottom: padding[2], right: padding[3])
    }
    if automatic == "SAME_UPPER" { return .same }
    guard let height = size[0], let width = size[1] else {
      throw CNNError(.invalidArgument, "auto_pad SAME_LOWER of an input whose size varies")
    }
    // An odd row or column goes to the top and left.
    let upper = try Window(kernel: kernel, stride: stride, dilation: dilation, padding: .same)
      .placed(onHeight: height, width: width)
    return .explicit(top: upper.bottom, left: upper.right, bottom: upper.top, right: upper.left)
  }
}

extension GraphImporter {
  fileprivate mutating func convolution(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let (tensor, x, weight, window) = try convolved(&node)
    let operation = Convolution2D(
      stride: window.stride, dilation: window.dilation, groups: try node.integer("group", default: 1),
      padding: try window.placed(on: Array(graph.shape(of: x.value)[1...2])))
    var operands = [x.value, try rounded(filter(weight), as: weight.rounding(outputs: 0))]
    if let bias = try node.optionalConstant(2, "the bias") {
      operands.append(try parameter(bias, .bias, key: "vector", what: "bias"))
    }
    let y = Traced(value: try add(operation, operands), order: Traced.image)
    return [.tensor(try row(y, like: tensor))]
  }

  /// What a convolution of either kind has: its input, as it is and as an image, its weight and its window.
  mutating func convolved(_ node: inout ImportedNode) throws(CNNError) -> (
    tensor: Traced, image: Traced, weight: Constant, window: ImportedWindow
  ) {
    let tensor = try node.tensor(0), weight = try node.constant(1, "the weight")
    let axes = weight.shape.count - 2
    guard axes >= 1, axes <= 2, rank(tensor) == weight.shape.count else {
      throw CNNError(
        .invalidArgument,
        "the input has \(rank(tensor)) axes and the weight \(describe(weight.shape)); expected 1 or 2 spatial axes")
    }
    let window = try ImportedWindow(&node, axes: axes, kernel: Array(weight.shape.dropFirst(2)))
    return (tensor, try image(tensor, "the input"), weight, window)
  }

  /// The weight of a convolution, of which one with a width alone gets a height of 1.
  mutating func filter(_ weight: Constant) throws(CNNError) -> Value {
    try parameter(weight, .weight, .heNormalFanOut, key: "conv", what: "weight") { (weight) throws(CNNError) in
      weight.shape.count == 3 ? try weight.reshaped([weight.shape[0], weight.shape[1], 1, weight.shape[2]]) : weight
    }
  }

  fileprivate mutating func gemm(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let alpha = try node.number("alpha", default: 1), beta = try node.number("beta", default: 1)
    let transposesA = try node.flag("transA", default: false), transposesB = try node.flag("transB", default: false)
    node.pass("broadcast")
    var x = try node.tensor(0)
    let weight = try node.constant(1, "the second factor")
    guard rank(x) == 2, weight.shape.count == 2 else {
      throw CNNError(.invalidArgument, "the factors have \(rank(x)) and \(weight.shape.count) axes; expected 2")
    }
    if transposesA { x = Traced(value: x.value, order: [x.order[1], x.order[0]]) }
    let units = transposesB ? weight.shape[0] : weight.shape[1]
    var sum = node.has(2) ? try node.input(2) : nil, bias: Constant?
    if case .constant(let constant)? = sum {
      if beta != 1 { try charge(constant.count) }
      let scaled = try constant.scaled(Float(beta))
      if constant.count == units && constant.shape.last == units {
        (bias, sum) = (try scaled.reshaped([units]), nil)
      } else {
        sum = .constant(scaled)
      }
    }
    let y = try dense(x, weight, isTransposed: transposesB, scale: Float(alpha), bias: bias)
    switch sum {
    case nil: return [.tensor(y)]
    case .constant(let constant)?: return [.tensor(try combined(.add, y, constant))]
    case .tensor(let tensor)?:
      let scaled =
        beta == 1 ? tensor : Traced(value: try add(Rescaling(scale: [beta]), [tensor.value]), order: tensor.order)
      return [.tensor(try combined(.add, y, scaled))]
    }
  }

  fileprivate mutating func product(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    guard case .tensor(let x) = try node.input(0) else {
      throw CNNError(.invalidArgument, "the first factor is a constant; expected the second to be one")
    }
    var weight = try node.constant(1, "the second factor")
    while weight.shape.count > 2, weight.shape[0] == 1, weight.shape.count <= rank(x) {
      weight = try weight.reshaped(Array(weight.shape.dropFirst()))
    }
    let isVector = weight.shape.count == 1
    if isVector { weight = try weight.reshaped([weight.shape[0], 1]) }
    guard weight.shape.count == 2, rank(x) >= 1 else {
      throw CNNError(
        .invalidArgument, "the second factor has shape \(describe(weight.shape)); expected one matrix for all samples")
    }
    let y = try dense(x, weight, isTransposed: false, scale: 1, bias: nil)
    return [.tensor(isVector ? try removing([rank(y) - 1], from: y) : y)]
  }

  /// The product of the last axis with a matrix `[in, out]`, or `[out, in]` where it is transposed.
  mutating func dense(_ x: Traced, _ weight: Constant, isTransposed: Bool, scale: Float, bias: Constant?)
    throws(CNNError) -> Traced
  {
    let operand = try withLast(rank(x) - 1, x)
    let matrix = try parameter(
      weight, .weight, .uniformFanIn, key: "dense \(isTransposed) \(scale)", what: "weight"
    ) { (weight) throws(CNNError) in
      let laidOut = isTransposed ? weight : try weight.transposed([1, 0])
      return try laidOut.scaled(scale)
    }
    let rounding = weight.rounding(outputs: isTransposed ? 0 : 1, times: scale)
    var operands = [operand.value, try rounded(matrix, as: rounding)]
    if let bias { operands.append(try parameter(bias, .bias, key: "vector", what: "bias")) }
    return Traced(value: try add(Dense(), operands), order: operand.order)
  }

  fileprivate mutating func dropout(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    var rate = try node.number("ratio", default: 0.5)
    if let given = try node.optionalScalar(1, "the ratio") { rate = given }
    node.pass("seed", "is_test")
    if let isTraining = try node.optionalConstant(2, "training_mode"), try isTraining.integers("training_mode") != [0] {
      throw CNNError(
        .invalidArgument, "training_mode is set; a file is read as it predicts, the library trains it itself")
    }
    guard (0...1).contains(rate) else { throw CNNError(.malformedFile, "the ratio is \(rate); expected 0 to 1") }
    guard case .tensor(let x) = try node.input(0) else { return [try node.input(0)] }
    // In prediction nothing; in training the library's own.
    let operation = Dropout(rate: rate, stream: graph.nodes.count)
    return [.tensor(Traced(value: try add(operation, [x.value]), order: x.order))]
  }
}

extension Constant {
  /// The same numbers times a factor.
  func scaled(_ factor: Float) throws(CNNError) -> Constant {
    if factor == 1 { return self }
    let floats = try floats("the constant")
    let product = try ONNXFloats(count: floats.count, "a constant") { target throws(CNNError) in
      for (index, value) in floats.enumerated() { target[index] = value * factor }
    }
    return try Constant(shape: shape, .floats(product), source: source)
  }

  /// The rounding of a weight whose axis of outputs comes first, as this one's `outputs` is, and which is multiplied by a
  /// factor; nil where its scales lie along another axis.
  func rounding(outputs axis: Int, times factor: Float = 1) -> FakeQuantize? {
    guard let rounding, rounding.scale.count == 1 || rounding.axis == axis, factor > 0 else { return nil }
    return rounding.along(0, times: Double(factor))
  }

  /// The axes in another order: axis `i` of the result is axis `order[i]`.
  func transposed(_ order: [Int]) throws(CNNError) -> Constant {
    if order == Array(shape.indices) { return self }
    if order == [1, 0], case .floats(let floats) = content {
      // A matrix may be large.
      let (rows, columns) = (shape[0], shape[1])
      let result = try ONNXFloats(count: floats.count, source ?? "a constant") { target throws(CNNError) in
        for row in 0..<rows {
          for column in 0..<columns { target[column * rows + row] = floats[row * columns + column] }
        }
      }
      var transposed = try Constant(shape: [columns, rows], .floats(result), source: source)
      transposed.rounding = rounding.map { $0.along(1 - $0.axis) }
      return transposed
    }
    let strides = Strides.dense(shape)
    let result = try picking(
      Self.positions(order.map { shape[$0] }, strides: order.map { strides[$0] }), shape: order.map { shape[$0] })
    var transposed = try Constant(shape: result.shape, result.content, source: source, element: element)
    transposed.rounding = rounding.map { $0.along(order.firstIndex(of: $0.axis) ?? 0) }
    return transposed
  }

  /// Where the elements of a tensor of these sizes lie, whose neighbours along each axis are so far apart.
  static func positions(_ sizes: [Int], strides: [Int], start: Int = 0) -> [Int] {
    var result = [start]
    for (size, stride) in zip(sizes, strides) {
      var next: [Int] = []
      next.reserveCapacity(result.count * size)
      for base in result { for index in 0..<size { next.append(base + index * stride) } }
      result = next
    }
    return result
  }
}
