import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Normalisations.
  static let normalizations: [String: ImportedOperation] = [
    "BatchNormalization": { importer, node throws(CNNError) in try importer.batchNormalization(&node) },
    "LayerNormalization": { importer, node throws(CNNError) in try importer.layerNormalization(&node) },
    "Softmax": { importer, node throws(CNNError) in try importer.softmax(Softmax(), &node) },
    "LogSoftmax": { importer, node throws(CNNError) in try importer.softmax(LogSoftmax(), &node) },
    "InstanceNormalization": { importer, node throws(CNNError) in try importer.instanceNormalization(&node) },
    "GroupNormalization": { importer, node throws(CNNError) in try importer.groupNormalization(&node) },
    "MeanVarianceNormalization": { importer, node throws(CNNError) in try importer.meanVariance(&node) },
    "LpNormalization": { importer, node throws(CNNError) in try importer.lpNormalization(&node) },
    "LRN": { importer, node throws(CNNError) in try importer.localResponse(&node) },
  ]
}

extension GraphImporter {
  fileprivate mutating func batchNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let epsilon = try node.number("epsilon", default: 1e-5), momentum = try node.number("momentum", default: 0.9)
    guard try !node.flag("training_mode", default: false) else {
      throw CNNError(
        .invalidArgument, "training_mode is set; export the model for inference, the library trains it itself")
    }
    node.pass("spatial", "is_test")
    let tensor = try node.tensor(0)
    guard rank(tensor) >= 2 else {
      throw CNNError(.invalidArgument, "the input has \(rank(tensor)) axes; expected batch and channels at least")
    }
    let x = try withLast(1, tensor)
    var operands = [x.value]
    let roles: [(String, Parameter.Role, Initializer)] = [
      ("scale", .normalizationScale, .ones), ("bias", .normalizationShift, .zeros), ("mean", .statistic, .zeros),
      ("variance", .statistic, .ones),
    ]
    for (position, (what, role, initializer)) in roles.enumerated() {
      let constant = try node.constant(position + 1, "the \(what)")
      // A constant that serves two purposes becomes two parameters, since each gets values of its own in training.
      operands.append(try parameter(constant, role, initializer, key: "batch norm \(what)", what: what))
    }
    let operation = BatchNormalization(epsilon: epsilon, momentum: 1 - momentum)
    return [.tensor(Traced(value: try add(operation, operands), order: x.order))]
  }

  fileprivate mutating func layerNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let epsilon = try node.number("epsilon", default: 1e-5)
    node.pass("stash_type")
    let x = try node.tensor(0), first = try axis(node.integer("axis", default: -1), of: rank(x))
    let places = (first..<rank(x)).map { x.order[$0] }
    guard !places.contains(0) else { throw mixesBatch("a normalisation") }
    let mean = Reduction(.mean, axes: places.sorted(), keepsAxes: true)
    let (value, center, inverse) = try normalized(x.value, epsilon: epsilon) { importer, x throws(CNNError) in
      try importer.add(mean, [x])
    }
    var y = Traced(value: value, order: x.order)
    if node.has(1) { y = try combined(.multiply, y, node.constant(1, "the scale")) }
    if node.has(2) { y = try combined(.add, y, node.constant(2, "the bias")) }
    return [.tensor(y)] + [center, inverse].map { .tensor(Traced(value: $0, order: x.order)) }
  }

  fileprivate mutating func softmax(_ operation: any Operation, _ node: inout ImportedNode) throws(CNNError) -> [Known]
  {
    let x = try node.tensor(0), given = try node.integer("axis", default: version < 13 ? 1 : -1)
    let position = try axis(given, of: rank(x))
    if version < 13 && position != rank(x) - 1 {
      // All axes from this one on count as one.
      let sizes = sizes(x), tail = sizes[position...].reduce(Size.known(1), *)
      let rows = try reshaped(x, to: Array(sizes[..<position]) + [tail])
      let last = try withLast(position, rows)
      return [.tensor(try reshaped(Traced(value: add(operation, [last.value]), order: last.order), to: sizes))]
    }
    let last = try withLast(position, x)
    return [.tensor(Traced(value: try add(operation, [last.value]), order: last.order))]
  }

  /// `(x - mean) / √(variance + epsilon)`, the mean, and the inverse of the root.
  private mutating func normalized(
    _ x: Value, epsilon: Double, mean: (inout GraphImporter, Value) throws(CNNError) -> Value
  ) throws(CNNError) -> (result: Value, mean: Value, inverse: Value) {
    let center = try mean(&self, x)
    let centered = try add(Add(), [x, add(Rescaling(scale: [-1]), [center])])
    let variance = try mean(&self, add(Activation(.power, ["exponent": 2]), [centered]))
    let inverse = try add(
      Activation(.power, ["exponent": -0.5]), [add(Rescaling(offset: [epsilon]), [variance])])
    return (try add(Multiply(), [centered, inverse]), center, inverse)
  }

  fileprivate mutating func instanceNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let epsilon = try node.number("epsilon", default: 1e-5), x = try node.tensor(0)
    node.pass("consumed_inputs")
    let y = try normalizedGroups(x, groups: nil, epsilon: epsilon)
    return [.tensor(try scaled(y, node.constant(1, "the scale"), node.constant(2, "the bias")))]
  }

  fileprivate mutating func groupNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let epsilon = try node.number("epsilon", default: 1e-5), x = try node.tensor(0)
    guard let groups = try node.integer("num_groups") else {
      throw CNNError(.malformedFile, "attribute 'num_groups' is missing")
    }
    node.pass("stash_type")
    let y = try normalizedGroups(x, groups: groups, epsilon: epsilon)
    let channels = try knownSize(x, 1, "a normalisation")
    var parameters: [Constant] = []
    for (index, what) in [(1, "the scale"), (2, "the bias")] {
      var constant = try node.constant(index, what)
      // Before operator set 21 there is one for each group.
      if version < 21 && groups != channels && constant.shape == [groups] {
        try charge(channels)
        constant = try constant.taking((0..<channels).map { $0 / (channels / groups) }, along: 0)
      }
      parameters.append(constant)
    }
    return [.tensor(try scaled(y, parameters[0], parameters[1]))]
  }

  /// Every group of channels with mean 0 and variance 1, in each sample; nil where every channel is a group.
  ///
  /// The mean of a group is that of its channels' means: height and width, which may vary, need not be joined.
  private mutating func normalizedGroups(_ tensor: Traced, groups: Int?, epsilon: Double) throws(CNNError) -> Traced {
    guard rank(tensor) >= 3 else {
      throw CNNError(.invalidArgument, "the input has \(rank(tensor)) axes; expected batch, channels and one more")
    }
    let channels = try knownSize(tensor, 1, "a normalisation"), groups = groups ?? channels
    guard groups >= 1, channels % groups == 0 else {
      throw CNNError(.shapeMismatch, "num_groups is \(groups), which does not divide the \(channels) channels")
    }
    let x = try withLast(1, tensor)
    let places = x.order[2...].sorted()
    guard !places.contains(0) else { throw mixesBatch("a normalisation") }
    let result = try normalized(x.value, epsilon: epsilon) { importer, x throws(CNNError) in
      let isImage = importer.graph.type(of: x).rank == 4 && places == [1, 2]
      let pooling: any Operation =
        isImage ? GlobalPooling2D(.average, keepsAxes: true) : Reduction(.mean, axes: places, keepsAxes: true)
      let mean = try importer.add(pooling, [x])
      if groups == channels { return mean }
      let shape = importer.graph.shape(of: mean)
      let parts = try importer.reshape(mean, to: shape.dropLast() + [groups, channels / groups])
      let means = try importer.add(Reduction(.mean, axes: [-1], keepsAxes: false), [parts])
      if groups == 1 { return means }
      try importer.charge(channels)
      return try importer.add(Gather(axis: -1, indices: (0..<channels).map { $0 / (channels / groups) }), [means])
    }
    return Traced(value: result.result, order: x.order)
  }

  /// Times a factor and plus an offset for each channel.
  private mutating func scaled(_ x: Traced, _ scale: Constant, _ bias: Constant) throws(CNNError) -> Traced {
    let channels = try knownSize(x, 1, "a normalisation")
    for (constant, what) in [(scale, "scale"), (bias, "bias")] where constant.shape != [channels] {
      throw CNNError(
        .shapeMismatch, "the \(what) has the shape \(describe(constant.shape)); expected \(describe([channels]))")
    }
    let shape = [channels] + Array(repeating: 1, count: rank(x) - 2)
    return try combined(.add, combined(.multiply, x, scale.reshaped(shape)), bias.reshaped(shape))
  }

  fileprivate mutating func meanVariance(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let x = try node.tensor(0)
    let places = try axes(node.integers("axes") ?? [0, 2, 3], of: rank(x)).map { x.order[$0] }.sorted()
    guard !places.contains(0) else { throw mixesBatch("a normalisation over axis \(x.batch ?? 0)") }
    let mean = Reduction(.mean, axes: places, keepsAxes: true)
    let (value, _, _) = try normalized(x.value, epsilon: 1e-18) { importer, x throws(CNNError) in
      try importer.add(mean, [x])
    }
    return [.tensor(Traced(value: value, order: x.order))]
  }

  fileprivate mutating func lpNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let power = try node.integer("p", default: 2), x = try node.tensor(0)
    let position = try axis(node.integer("axis", default: -1), of: rank(x)), place = x.order[position]
    guard place != 0 else { throw mixesBatch("a normalisation along axis \(position)") }
    guard power == 1 || power == 2 else { throw CNNError(.malformedFile, "p is \(power); expected 1 or 2") }
    let terms = power == 1 ? try magnitude(x) : try applying(Activation(.power, ["exponent": 2]), x)
    let sum = try applying(Reduction(.sum, axes: [place], keepsAxes: true), terms)
    // What is 0 everywhere stays so.
    let held = try applying(Activation(.clip, ["minimum": Double(Float.leastNormalMagnitude)]), sum)
    let inverse = try applying(Activation(.power, ["exponent": power == 1 ? -1 : -0.5]), held)
    return [.tensor(Traced(value: try add(Multiply(), [x.value, inverse.value]), order: x.order))]
  }

  fileprivate mutating func localResponse(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let alpha = try node.number("alpha", default: 1e-4), beta = try node.number("beta", default: 0.75)
    let bias = try node.number("bias", default: 1), tensor = try node.tensor(0)
    guard let size = try node.integer("size"), (1...(1 << 16)).contains(size) else {
      throw CNNError(.malformedFile, "size is missing, or not 1 to \(1 << 16)")
    }
    let x = try image(tensor, "the input")
    let squares = try add(Activation(.power, ["exponent": 2]), [x.value])
    // The channels become the width, along which neighbours are averaged, zeros outside.
    let pooling = Pooling2D(
      .average, kernel: [1, size], stride: [1, 1],
      padding: .explicit(top: 0, left: (size - 1) / 2, bottom: 0, right: size / 2))
    let means = try add(pooling, [add(Permute([0, 2, 3, 1]), [squares])])
    let energy = try add(Rescaling(scale: [alpha], offset: [bias]), [add(Permute([0, 3, 1, 2]), [means])])
    let factor = try add(Activation(.power, ["exponent": -beta]), [energy])
    return [.tensor(try row(Traced(value: add(Multiply(), [x.value, factor]), order: x.order), like: tensor))]
  }
}
