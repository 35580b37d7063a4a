import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

/// The examples that gradients are checked on with finite differences: awkward shapes, and operations that the golden
/// file does not have.
enum FiniteDifferenceCases {
  typealias Operand = OperationCase.Operand

  static let all: [OperationCase] =
    convolutions + transposedConvolutions + pools + normalizations + activations + shapes + arithmetic + choices
    + resizing + random + losses

  /// Seeded random convolutions: 1 pixel, 1, 3 and 17 channels, odd sizes, strides, every kind of padding, groups.
  static let convolutions: [OperationCase] = {
    var random = PhiloxGenerator(seed: 3, stream: 0)
    func pick<Element>(_ choices: [Element]) -> Element { choices[Int.random(in: 0..<choices.count, using: &random)] }
    var cases: [OperationCase] = []
    while cases.count < 60 {
      let kernel = [pick([1, 2, 3, 5]), pick([1, 3, 4])], size = [pick([1, 2, 5, 7, 8]), pick([1, 3, 6, 9])]
      let stride = pick([[1, 1], [2, 2], [1, 2], [3, 1]]), dilation = pick([[1, 1], [1, 1], [2, 1], [2, 3]])
      let padding = pick([
        Padding.none, .same, .all(1), .explicit(top: 0, left: 1, bottom: 2, right: 3),
        .explicit(top: 3, left: 0, bottom: 0, right: 1),
      ])
      let (groups, input, output) = pick([
        (1, 1, 1), (1, 3, 17), (1, 17, 3), (1, 3, 4), (2, 4, 6), (3, 3, 3), (17, 17, 17), (3, 3, 6), (2, 2, 34),
      ])
      let batch = pick([1, 2, 3]), bias = pick([true, false])
      let operation = Convolution2D(stride: stride, dilation: dilation, groups: groups, padding: padding)
      let x = [batch] + size + [input], weight = [output, input / groups] + kernel
      guard let types = try? [TensorType(.float32, x), TensorType(.float32, weight)],
        (try? operation.resultTypes(types)) != nil
      else { continue }
      var operands = [
        Operand(name: "x", shape: x), Operand(name: "weight", shape: weight, kind: .parameter(.weight)),
      ]
      if bias { operands.append(Operand(name: "bias", shape: [output], kind: .parameter(.bias))) }
      // Linear in each operand: a large step costs nothing but rounding.
      cases.append(
        OperationCase(
          name: "conv2d \(cases.count): \(x) \(weight) \(stride) \(dilation) \(padding) groups \(groups)",
          operands: operands, step: 0.5, tolerance: 2e-5,
          build: { graph, values in try graph.addSingle(operation, values) }))
    }
    return cases
  }()

  /// Every kind of stride, padding and group, with weights in the layout of the convolution that they undo.
  static let transposedConvolutions: [OperationCase] = [
    (x: [2, 3, 4, 6], weight: [6, 5, 3, 3], Convolution2D(stride: [2, 2], padding: .all(1)), added: [1, 0]),
    (x: [1, 1, 1, 3], weight: [3, 17, 2, 2], Convolution2D(stride: [2, 3]), added: [0, 2]),
    (x: [3, 5, 4, 4], weight: [4, 3, 3, 2], Convolution2D(dilation: [2, 1], groups: 2), added: [0, 0]),
    (
      x: [2, 3, 5, 17], weight: [17, 1, 4, 3],
      Convolution2D(stride: [3, 1], groups: 17, padding: .explicit(top: 2, left: 0, bottom: 1, right: 1)),
      added: [2, 0]
    ),
  ].map { example in
    OperationCase(
      name: "conv2d_transpose \(example.x) \(example.weight) \(example.2.stride) \(example.added)",
      operands: [
        Operand(name: "x", shape: example.x),
        Operand(name: "weight", shape: example.weight, kind: .parameter(.weight)),
      ], step: 0.5, tolerance: 2e-5,
      build: { graph, values in
        try graph.addSingle(ConvolutionTranspose2D(example.2, outputPadding: example.added), values)
      })
  }

  /// A case of one operation on inputs of these shapes.
  private static func one(
    _ operation: any Operation, _ shapes: [[Int]], linear: Bool = false,
    values: (@Sendable (Int) -> [Float])? = nil
  ) -> OperationCase {
    OperationCase(
      name: "\(type(of: operation).name) \(shapes) \(operation.attributes.entries.map(\.value.text))",
      operands: shapes.enumerated().map { Operand(name: "x\($0)", shape: $1, values: values) },
      step: linear ? 0.5 : 0.01, tolerance: linear ? 2e-5 : 2e-3,
      build: { graph, values in try graph.addSingle(operation, values) })
  }

  /// Distinct values at a distance of 0.1, in an order without a pattern: a small step changes no maximum.
  @Sendable private static func distinct(_ count: Int) -> [Float] {
    let keys = randomValues("distinct", count)
    let ranks = keys.indices.sorted { keys[$0] < keys[$1] }
    var values = Array(repeating: Float(0), count: count)
    for (rank, index) in ranks.enumerated() { values[index] = (Float(rank) - Float(count) / 2) * 0.1 }
    return values
  }

  static let pools: [OperationCase] = {
    var cases: [OperationCase] = []
    for shape in [[1, 1, 1, 1], [2, 5, 7, 3], [1, 8, 6, 17]] {
      for kind in PoolingKind.allCases {
        for keeps in [false, true] {
          cases.append(
            one(GlobalPooling2D(kind, keepsAxes: keeps), [shape], linear: kind == .average, values: distinct))
        }
        var rounded: Attributes = [
          "kind": .text(kind.rawValue), "kernel": .integers([2, 3]), "stride": .integers([2, 4]),
          "count_include_pad": .flag(false), "ceil_mode": .flag(true),
        ]
        if shape != [1, 1, 1, 1], let pooling = try? Pooling2D(&rounded) {
          cases.append(one(pooling, [shape], linear: kind == .average, values: distinct))
        }
        for (kernel, stride, padding) in [
          ([1, 1], [1, 1], Padding.none), ([2, 2], [2, 2], .same), ([3, 3], [2, 2], .all(1)),
          ([3, 2], [1, 2], .explicit(top: 2, left: 0, bottom: 1, right: 1)), ([3, 3], [1, 1], .same),
        ] {
          for counts in kind == .max ? [true] : [true, false] {
            let pooling = Pooling2D(kind, kernel: kernel, stride: stride, padding: padding, countsPadding: counts)
            guard let type = try? TensorType(.float32, shape), (try? pooling.resultTypes([type])) != nil else {
              continue
            }
            cases.append(one(pooling, [shape], linear: kind == .average, values: distinct))
          }
        }
      }
    }
    return cases
  }()

  /// Batch normalisation of `[..., C]`, alone and with what is fused into it.
  static let normalizations: [OperationCase] = {
    @Sendable func positive(_ count: Int) -> [Float] { randomValues("positive", count).map { 1 + $0 / 2 } }
    func example(_ shape: [Int], trains: Bool, unbiased: Bool = true, frozen: Bool = false) -> OperationCase {
      let channels = shape[shape.count - 1]
      var layer = BatchNormalization()
      (layer.unbiased, layer.frozen) = (unbiased, frozen)
      return OperationCase(
        name: "batch_norm \(shape) \(trains ? "training" : "inference") unbiased \(unbiased) frozen \(frozen)",
        operands: [
          Operand(name: "x", shape: shape),
          Operand(name: "gamma", shape: [channels], kind: .parameter(.normalizationScale)),
          Operand(name: "beta", shape: [channels], kind: .parameter(.normalizationShift)),
          Operand(name: "mean", shape: [channels], kind: .parameter(.statistic)),
          Operand(name: "variance", shape: [channels], kind: .parameter(.statistic), values: positive),
        ], trains: trains,
        // With one row the difference from the mean is rounding alone, and divided by the root of epsilon.
        tolerance: trains && !frozen && shape.dropLast().allSatisfy { $0 == 1 } ? 0.1 : 4e-3,
        build: { [layer] graph, values in try graph.addSingle(layer, values) })
    }
    return [[3, 5, 7, 3], [2, 1, 3, 17], [9, 1, 1, 1], [7, 4]].flatMap { shape in
      [
        example(shape, trains: true), example(shape, trains: false), example(shape, trains: true, unbiased: false),
        example(shape, trains: true, frozen: true),
      ]
    }
      + [[1, 4], [1, 1, 1, 3]].flatMap { shape in
        // One row per channel: with its own mean nothing is left of it but beta.
        [example(shape, trains: true, unbiased: false), example(shape, trains: true, frozen: true)]
      } + [pair(frozen: 0), pair(frozen: 1), fixedScale]
  }()

  /// Two normalisations, of which one is frozen, with an activation between them.
  private static func pair(frozen: Int) -> OperationCase {
    @Sendable func positive(_ count: Int) -> [Float] { randomValues("positive", count).map { 1 + $0 / 2 } }
    let operands = (0..<2).flatMap { layer in
      [
        Operand(name: "gamma\(layer)", shape: [3], kind: .parameter(.normalizationScale), values: positive),
        Operand(name: "beta\(layer)", shape: [3], kind: .parameter(.normalizationShift)),
        Operand(name: "mean\(layer)", shape: [3], kind: .parameter(.statistic)),
        Operand(name: "variance\(layer)", shape: [3], kind: .parameter(.statistic), values: positive),
      ]
    }
    return OperationCase(
      name: "two batch_norm, \(frozen) frozen", operands: [Operand(name: "x", shape: [3, 4, 5, 3])] + operands,
      trains: true, tolerance: 6e-3,
      build: { graph, values in
        var x = values[0]
        for layer in 0..<2 {
          var normalization = BatchNormalization()
          normalization.frozen = layer == frozen
          x = try graph.addSingle(normalization, [x] + values[1 + 4 * layer..<5 + 4 * layer])
          if layer == 0 { x = try graph.addSingle(Activation(.gelu), [x]) }
        }
        return x
      })
  }

  /// Neither gamma nor beta is a parameter, as in Keras with neither scale nor center.
  private static let fixedScale = OperationCase(
    name: "batch_norm without gamma and beta",
    operands: [
      Operand(name: "x", shape: [4, 3, 2, 5]), Operand(name: "mean", shape: [5], kind: .parameter(.statistic)),
      Operand(name: "variance", shape: [5], kind: .parameter(.statistic)),
    ], trains: true, tolerance: 4e-3,
    build: { graph, values in
      let ones = try graph.addSingle(Fill(1, shape: [5]), []), zeros = try graph.addSingle(Fill(0, shape: [5]), [])
      return try graph.addSingle(BatchNormalization(), [values[0], ones, zeros, values[1], values[2]])
    })

  /// Values at least 0.05 away from where a function has a kink.
  static let activations: [OperationCase] =
    (ActivationFunction.allCases.map { Activation($0) } + [
      Activation(.leakyRelu, ["alpha": -0.5, "threshold": 1, "maximum": 4]), Activation(.elu, ["alpha": 2]),
      Activation(.clip, ["minimum": -1, "maximum": 1]), Activation(.clip, ["maximum": 0]),
    ]).flatMap { activation in
      [[1, 1], [2, 3, 5, 17]].map { shape in
        one(activation, [shape]) { count in
          randomValues(activation.function.rawValue, count).map { value in
            let scaled = value * 8
            let kink: Float = [-3, -1, 0, 1, 3, 4, 6].min { abs($0 - scaled) < abs($1 - scaled) } ?? 0
            if activation.function == .logarithm { return abs(scaled) + 0.5 }
            return abs(scaled - kink) < 0.05 ? kink + 0.1 : scaled
          }
        }
      }
    }

  /// Values of which some are equal, and none but these near each other.
  @Sendable private static func repeated(_ count: Int) -> [Float] {
    randomValues("repeated", count).map { ($0 * 4).rounded() }
  }

  /// What chooses between elements, with values apart from each other where a step would change the choice.
  static let choices: [OperationCase] = {
    @Sendable func shifted(_ count: Int) -> [Float] { distinct(count).map { $0 + 0.03 } }
    func pair(_ operation: any Operation, _ a: [Int], _ b: [Int]) -> OperationCase {
      OperationCase(
        name: "\(type(of: operation).name) \(a) \(b)",
        operands: [Operand(name: "a", shape: a, values: distinct), Operand(name: "b", shape: b, values: shifted)],
        build: { graph, values in try graph.addSingle(operation, values) })
    }
    func select(_ mask: [Int], _ a: [Int], _ b: [Int]) -> OperationCase {
      OperationCase(
        name: "select \(mask) \(a) \(b)",
        operands: [
          Operand(
            name: "mask", shape: mask, kind: .constant(.float32),
            values: { randomValues("mask", $0).map { $0 > 0 ? $0 : 0 } }), Operand(name: "a", shape: a),
          Operand(name: "b", shape: b),
        ], step: 0.5, tolerance: 2e-5, build: { graph, values in try graph.addSingle(Select(), values) })
    }
    // No gradient flows through a mask or a position: what is multiplied by them has one.
    func times(_ operation: any Operation, _ shapes: [[Int]]) -> OperationCase {
      OperationCase(
        name: "\(type(of: operation).name) \(shapes) \(operation.attributes.entries.map(\.value.text))",
        operands: shapes.enumerated().map {
          Operand(name: "x\($0)", shape: $1, kind: .constant(.float32), values: repeated)
        } + [Operand(name: "factor", shape: [1])], step: 0.5, tolerance: 2e-5,
        build: { graph, values in
          try graph.addSingle(Multiply(), [graph.addSingle(operation, values.dropLast()), values[values.count - 1]])
        })
    }
    return [
      pair(Maximum(), [2, 3, 17], [2, 3, 17]), pair(Maximum(), [2, 3, 4, 5], [4, 1]), pair(Minimum(), [7], [7]),
      pair(Minimum(), [1, 5], [2, 3, 1]), pair(Maximum(), [2, 1, 1, 3], [2, 5, 4, 3]),
      select([3, 50], [3, 50], [3, 50]), select([2, 1, 4], [2, 3, 1], [4]), select([5], [], [2, 5]),
    ]
      + ComparisonKind.allCases.flatMap {
        [times(Comparison($0), [[3, 17], [3, 17]]), times(Comparison($0), [[5], [2, 1]])]
      }
      + [
        times(ArgMax(axis: -1), [[3, 17]]), times(ArgMax(axis: 1, keepsAxis: true), [[2, 5, 3]]),
        times(ArgMax(axis: 1, choosesLast: true), [[2, 7, 3]]),
        one(Reduction(.max, axes: [1], keepsAxes: true), [[2, 5, 3]], values: distinct),
        one(Reduction(.max, axes: [-1], keepsAxes: false), [[2, 3, 35]], values: distinct),
        one(Reduction(.max, axes: [1, 3], keepsAxes: false), [[2, 3, 4, 5]], values: distinct),
      ]
  }()

  /// Larger and smaller, by every rule.
  static let resizing: [OperationCase] = {
    var cases: [OperationCase] = []
    for interpolation in Interpolation.allCases {
      for (index, rule) in CoordinateRule.allCases.enumerated() {
        let extents: [Resize.Extent] = [.size(7), .scale(0.6), .size(1), .scale(2)]
        var resize = Resize(axis: [1, 2, -1][index % 3], to: extents[index % 4])
        (resize.interpolation, resize.coordinates) = (interpolation, rule)
        resize.nearest = NearestRule.allCases[index % 4]
        resize.excludesOutside = index % 2 == 0
        resize.antialiases = index % 3 == 0
        cases.append(one(resize, [[2, 5, 3, 4]], linear: true))
      }
    }
    var shrunk = Resize(axis: 1, to: .size(2))
    shrunk.antialiases = true
    return cases + [
      one(shrunk, [[2, 9, 17]], linear: true), one(Resize(axis: 1, to: .size(64)), [[1, 1, 1]], linear: true),
    ]
  }()

  static let shapes: [OperationCase] = [
    one(Reshape([3, -1]), [[2, 2, 6]], linear: true),
    one(Reshape.flatten, [[1, 1, 1, 1]], linear: true),
    one(Concatenate(axis: 1), [[2, 3, 4, 5], [2, 1, 4, 5], [2, 2, 4, 5]], linear: true),
    one(Concatenate(axis: 2), [[2, 3, 1, 1], [2, 3, 3, 1]], linear: true),
    one(Concatenate(axis: -1), [[2, 17], [2, 1]], linear: true),
    one(Slice(axis: 1, start: 1, length: 2), [[2, 4, 3, 2]], linear: true),
    one(Slice(axis: -1, start: 0, length: 3), [[2, 17]], linear: true),
    one(Slice(axis: 2, start: 2, length: 3), [[1, 2, 5, 3]], linear: true),
    one(Slice(axis: 1, start: 0, length: 4), [[2, 4]], linear: true),
    one(ZeroPadding2D([0, 1, 2, 3]), [[2, 1, 3, 5]], linear: true),
    one(Crop2D([1, 0, 2, 1]), [[2, 5, 3, 3]], linear: true),
    one(Permute([0, 3, 1, 2]), [[2, 3, 4, 5]], linear: true),
    one(Permute([1, 0]), [[3, 17]], linear: true),
    one(Permute([0, 2, 1]), [[1, 7, 1]], linear: true),
    one(Permute([0, 3, 1, 4, 2]), [[2, 3, 4, 1, 5]], linear: true),
    one(Permute([2, 0, 1, 5, 4, 3]), [[2, 3, 2, 2, 3, 4]], linear: true),
    one(Gather(axis: 1, indices: [3, 0, 0, 2]), [[2, 4, 3, 2]], linear: true),
    one(Gather(axis: -1, indices: [16, 3]), [[3, 17]], linear: true),
    one(Gather(axis: 2, indices: [1]), [[1, 2, 5, 3]], linear: true),
    one(Softmax(), [[3, 1]]), one(Softmax(), [[2, 3, 17]]),
    one(LogSoftmax(), [[3, 1]]), one(LogSoftmax(), [[2, 3, 17]]),
  ]

  static let arithmetic: [OperationCase] = [
    one(Add(), [[2, 3], [2, 3]], linear: true),
    one(Add(), [[2, 5, 3, 17], [2, 1, 1, 17]], linear: true),
    one(Multiply(), [[1, 1, 1, 1], [1, 1, 1, 1]], linear: true),
    one(Multiply(), [[2, 1, 1, 3], [2, 7, 5, 3]], linear: true),
    one(Multiply(), [[2, 7, 1, 17], [2, 1, 1, 17]], linear: true),
    one(Add(), [[2, 3, 17], [17]], linear: true), one(Add(), [[], [2, 3]], linear: true),
    one(Add(), [[3, 1, 5], [3, 4, 1]], linear: true), one(Multiply(), [[4, 3, 2, 5], [3, 1, 5]], linear: true),
    one(Multiply(), [[2, 5, 3], [2, 1, 3]], linear: true), one(Multiply(), [[1, 1], [3, 2, 4, 3]], linear: true),
    one(Reduction(.sum, axes: [1], keepsAxes: true), [[2, 5, 3]], linear: true),
    one(Reduction(.mean, axes: [-1], keepsAxes: false), [[2, 3, 35]], linear: true),
    one(Reduction(.mean, axes: [1, 3], keepsAxes: false), [[2, 3, 4, 5]], linear: true),
    one(Reduction(.sum, axes: [2, 1], keepsAxes: true), [[3, 2, 300, 17]], linear: true),
    one(Reduction(.mean, axes: [0, 1], keepsAxes: true), [[2, 3, 4]], linear: true),
    one(Rescaling(scale: [-0.5], offset: [3]), [[5]], linear: true),
    one(Rescaling(scale: [2, -1, 0.5], offset: [1]), [[2, 3, 3]], linear: true),
    one(Rescaling(scale: [1.5], offset: Array(repeating: 0.5, count: 17)), [[3, 17]], linear: true),
    regularized([3, 17], l1: 0.3, l2: 0), regularized([2, 5, 3], l1: 0, l2: 0.2), regularized([7], l1: 0.1, l2: 0.5),
    prelu([3, 17]), prelu([2, 3, 5, 3]), prelu([1, 1]),
    dense([3, 17], 5, bias: true), dense([1, 1], 1, bias: false), dense([2, 3, 7], 4, bias: true),
    // One value read twice, once through a view of its memory.
    OperationCase(
      name: "x * reshape(relu(x)) + x", operands: [Operand(name: "x", shape: [2, 3, 4])],
      build: { graph, values in
        let relu = try graph.addSingle(Activation(.gelu), values)
        let view = try graph.addSingle(Reshape([12]), [relu])
        let product = try graph.addSingle(
          Multiply(), [graph.addSingle(Reshape([12]), values), view])
        let again = try graph.addSingle(Add(), [product, view])
        return try graph.addSingle(Multiply(), [again, again])
      }),
  ]

  private static func dense(_ shape: [Int], _ units: Int, bias: Bool) -> OperationCase {
    var operands = [
      Operand(name: "x", shape: shape),
      Operand(name: "weight", shape: [units, shape[shape.count - 1]], kind: .parameter(.weight)),
    ]
    if bias { operands.append(Operand(name: "bias", shape: [units], kind: .parameter(.bias))) }
    return OperationCase(
      name: "dense \(shape) \(units)", operands: operands, step: 0.5, tolerance: 2e-5,
      build: { graph, values in try graph.addSingle(Dense(), values) })
  }

  /// With inputs away from 0, where PReLU has a kink.
  private static func prelu(_ shape: [Int]) -> OperationCase {
    OperationCase(
      name: "prelu \(shape)",
      operands: [
        Operand(name: "x", shape: shape, values: { distinct($0).map { $0 + 0.02 } }),
        Operand(name: "slope", shape: [shape[shape.count - 1]], kind: .parameter(.weight)),
      ], build: { graph, values in try graph.addSingle(ParametricRelu(), values) })
  }

  /// The penalty of a parameter, with values away from the kink at 0.
  private static func regularized(_ shape: [Int], l1: Double, l2: Double) -> OperationCase {
    OperationCase(
      name: "regularization \(shape) \(l1) \(l2)",
      operands: [
        Operand(name: "w", shape: shape, kind: .parameter(.weight), values: { distinct($0).map { $0 + 0.02 } })
      ],
      tolerance: 5e-3,
      build: { graph, values in try graph.addSingle(Regularization(Regularizer(l1: l1, l2: l2)), values) })
  }

  /// Linear for one mask, and all runs of a test have the same one.
  static let random: [OperationCase] = [
    one(Dropout(rate: 0.4, stream: 3), [[3, 5, 7, 3]], linear: true),
    one(Dropout(rate: 0, stream: 3), [[3, 5]], linear: true),
    one(Dropout(rate: 1, stream: 3), [[3, 5]], linear: true),
    one(StochasticDepth(rate: 0.5, stream: 4), [[7, 2, 3, 2]], linear: true),
    one(StochasticDepth(rate: 1, stream: 4), [[3, 2]], linear: true),
    one(RandomFlip(stream: 5), [[9, 3, 4, 2]], linear: true),
    one(RandomFlip(vertical: false, stream: 5), [[7, 2, 5, 3]], linear: true),
    one(RandomFlip(horizontal: false, stream: 5), [[7, 5, 1, 1]], linear: true),
    one(RandomCrop(height: 3, width: 2, stream: 6), [[7, 5, 4, 3]], linear: true),
    one(RandomCrop(height: 3, width: 4, stream: 6), [[2, 3, 4, 1]], linear: true),
    one(RandomCrop(height: 1, width: 4, stream: 6), [[5, 6, 5, 2]], linear: true),
  ]

  static let losses: [OperationCase] = {
    @Sendable func shares(_ count: Int) -> [Float] { randomValues("shares", count).map { 0.5 + $0 * 0.4 } }
    @Sendable func targets(_ count: Int) -> [Float] { randomValues("targets", count).map { 0.5 + $0 * 0.4 } }
    func example(_ loss: Loss, _ shape: [Int]) -> OperationCase {
      let classes = shape[shape.count - 1]
      let isSparse = loss.function == .sparseCategoricalCrossEntropy
      return OperationCase(
        name: "loss \(loss.function.rawValue) \(shape) logits \(loss.fromLogits) smoothing \(loss.labelSmoothing)",
        operands: [
          Operand(name: "prediction", shape: shape, values: loss.fromLogits ? nil : shares),
          Operand(
            name: "target", shape: isSparse ? shape.dropLast() : shape, kind: .constant(isSparse ? .int32 : .float32),
            values: isSparse ? { count in (0..<count).map { Float($0 * 7 % classes) } } : targets),
        ], tolerance: 5e-3,
        build: { graph, values in try graph.addSingle(loss, values) })
    }
    var cases: [OperationCase] = []
    for function in LossFunction.allCases {
      for shape in [[5, 4], [2, 3, 17]] {
        cases.append(example(Loss(function), shape))
        guard function.hasLogitsForm else { continue }
        cases.append(example(Loss(function, fromLogits: true), shape))
        cases.append(example(Loss(function, fromLogits: true, labelSmoothing: 0.2), shape))
        cases.append(example(Loss(function, labelSmoothing: 0.2), shape))
      }
    }
    return cases
  }()
}
