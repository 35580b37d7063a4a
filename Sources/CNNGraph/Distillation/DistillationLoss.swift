// The protocol's own members are documented where it is declared.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The loss of a network that learns of another: `studentWeight` times its own and, for each term, its weight times what
/// the two networks differ by.
///
/// All of it is a number for each sample, so that sample weights count for all. What the teacher gives are inputs of the
/// graph behind the target and the weights, one for each of `teacherResults`; no gradient flows there.
public struct DistillationLoss: TrainingLoss {
  /// A result of the teacher that terms read.
  public struct TeacherResult: Sendable, Equatable {
    /// Its name in the teacher's network.
    public let name: String
    /// Its shape without the batch.
    public let shape: [Int]

    /// A result.
    public init(name: String, shape: [Int]) { (self.name, self.shape) = (name, shape) }
  }

  /// A term, with the places that it compares.
  public struct Comparison: Sendable, Equatable {
    /// The term.
    public let term: DistillationTerm
    /// The name of the student's value; nil for its logits.
    public let student: String?
    /// The place in `teacherResults`.
    public let teacher: Int
    /// Whether logits are a yes or no each, or classes; nil where the student's own loss tells.
    public let isBinary: Bool?

    /// A comparison.
    public init(_ term: DistillationTerm, student: String?, teacher: Int, isBinary: Bool? = nil) {
      (self.term, self.student, self.teacher, self.isBinary) = (term, student, teacher, isBinary)
    }
  }

  let own: any TrainingLoss
  let studentWeight: Double
  let comparisons: [Comparison]
  let teacherResults: [TeacherResult]

  /// The loss of a network with another's results.
  public init(
    _ own: any TrainingLoss, studentWeight: Double, _ comparisons: [Comparison], teacherResults: [TeacherResult]
  ) {
    (self.own, self.studentWeight) = (own, studentWeight)
    (self.comparisons, self.teacherResults) = (comparisons, teacherResults)
  }

  public var title: String { own.title }
  public var lossFunction: LossFunction? { own.lossFunction }
  public var fromLogits: Bool { own.fromLogits }

  public func targetType(for prediction: TensorType) throws(CNNError) -> TensorType {
    try own.targetType(for: prediction)
  }

  public func add(to graph: inout Graph, prediction: Value, target: Value) throws(CNNError) -> Value {
    guard let batch = graph.type(of: prediction).shape.first else {
      throw CNNError(.shapeMismatch, "the prediction is a scalar; expected a batch")
    }
    var given: [Value] = []
    for result in teacherResults {
      let name = graph.uniqueName("teacher.\(result.name)")
      given.append(try graph.addInput(name, TensorType(.float32, [batch] + result.shape)))
    }
    var total: Value?
    func join(_ costs: Value, _ weight: Double, _ graph: inout Graph) throws(CNNError) {
      let weighted = try graph.rescaled(graph.meanOfSample(costs), by: weight)
      total = try total.map { (sum) throws(CNNError) in try graph.sum(sum, weighted) } ?? weighted
    }
    if studentWeight > 0 {
      try join(own.add(to: &graph, prediction: prediction, target: target), studentWeight, &graph)
    }
    let logits = graph.logits(of: prediction).value
    for comparison in comparisons {
      let term = comparison.term, isBinary = comparison.isBinary ?? (own.lossFunction?.isBinary == true)
      do throws(CNNError) {
        let student = try comparison.student.map { (name) throws(CNNError) in
          guard let value = graph.value(named: name) else {
            throw CNNError(.internalFault, "'\(name)' is not in the training graph")
          }
          return value
        }
        guard given.indices.contains(comparison.teacher) else {
          throw CNNError(.internalFault, "the teacher has no result \(comparison.teacher)")
        }
        let teacher = given[comparison.teacher]
        let costs =
          switch term.method {
          case .softTargets:
            try graph.softTargets(term, student ?? logits, teacher, isBinary: isBinary)
          case .decoupled:
            try graph.decoupled(
              term, student ?? logits, teacher, label: graph.isLabel(target, isBinary: isBinary, like: teacher))
          case .hint: try graph.squaredDifference(student ?? prediction, teacher)
          case .attentionTransfer:
            try graph.squaredDifference(graph.attention(of: student ?? prediction), graph.attention(of: teacher))
          }
        try join(costs, term.weight, &graph)
      } catch { throw error.prefixed(term.method.rawValue) }
    }
    guard let total else {
      throw CNNError(.invalidArgument, "there is nothing to learn of: no term, and the student's own loss weighs 0")
    }
    return total
  }
}

extension Graph {
  fileprivate mutating func give(_ operation: any Operation, _ operands: Value...) throws(CNNError) -> Value {
    try addSingle(operation, operands, name: uniqueName("distillation"))
  }

  fileprivate mutating func rescaled(_ x: Value, by scale: Double) throws(CNNError) -> Value {
    scale == 1 ? x : try give(Rescaling(scale: [scale]), x)
  }

  fileprivate mutating func sum(_ a: Value, _ b: Value) throws(CNNError) -> Value { try give(Add(), a, b) }

  fileprivate mutating func difference(_ a: Value, _ b: Value) throws(CNNError) -> Value {
    try sum(a, rescaled(b, by: -1))
  }

  fileprivate mutating func exponential(_ x: Value) throws(CNNError) -> Value { try give(Activation(.exponential), x) }

  fileprivate mutating func sumOfLastAxis(_ x: Value) throws(CNNError) -> Value {
    try give(Reduction(.sum, axes: [-1], keepsAxes: false), x)
  }

  /// `[N, ...]` to `[N]`.
  fileprivate mutating func meanOfSample(_ x: Value) throws(CNNError) -> Value {
    let rank = type(of: x).rank
    return rank > 1 ? try give(Reduction(.mean, axes: Array(1..<rank), keepsAxes: false), x) : x
  }

  /// `p (log p - log q)` of logarithms of probabilities.
  fileprivate mutating func divergence(ofTeacher p: Value, student q: Value) throws(CNNError) -> Value {
    try give(Multiply(), exponential(p), difference(p, q))
  }

  /// `T² KL(softmax(t / T) || softmax(s / T))`, over the last axis; the factor keeps gradients as large as they are at 1
  /// (Hinton et al. 2015, section 2.1). Of yes and no predictions the mean of that of each.
  fileprivate mutating func softTargets(
    _ term: DistillationTerm, _ student: Value, _ teacher: Value, isBinary: Bool
  ) throws(CNNError) -> Value {
    guard isBinary || type(of: teacher).shape.last != 1 else {
      throw CNNError(
        .invalidArgument,
        "the networks predict one number, whose probability is 1; expected two classes or more, or a sigmoid or a binary "
          + "loss for a yes or no")
    }
    let temperature = term.temperature
    func logarithms(_ logits: Value, _ graph: inout Graph) throws(CNNError) -> [Value] {
      let cooled = try graph.rescaled(logits, by: 1 / temperature)
      guard isBinary else { return [try graph.give(LogSoftmax(), cooled)] }
      // log σ(x) = -softplus(-x), of yes and of no.
      return try [-1.0, 1.0].map { (sign) throws(CNNError) in
        try graph.rescaled(graph.give(Activation(.softplus), graph.rescaled(cooled, by: sign)), by: -1)
      }
    }
    let ofTeacher = try logarithms(teacher, &self), ofStudent = try logarithms(student, &self)
    var costs = try divergence(ofTeacher: ofTeacher[0], student: ofStudent[0])
    if isBinary {
      costs = try sum(costs, divergence(ofTeacher: ofTeacher[1], student: ofStudent[1]))
      costs = try give(Reduction(.mean, axes: [-1], keepsAxes: false), costs)
    } else {
      costs = try sumOfLastAxis(costs)
    }
    return try rescaled(costs, by: temperature * temperature)
  }

  /// 1 where the target's class is, else 0, shaped as the logits.
  fileprivate mutating func isLabel(_ target: Value, isBinary: Bool, like logits: Value) throws(CNNError) -> Value {
    let type = type(of: logits)
    guard !isBinary, let classes = type.shape.last, classes > 1 else {
      throw CNNError(
        .invalidArgument,
        "the predictions are yes or no, each by itself; expected two classes or more, of which one is right"
      )
    }
    if self.type(of: target).element == .float32 {
      guard self.type(of: target) == type else {
        throw CNNError(.shapeMismatch, "the targets are no classes; expected labels, or a number for each class")
      }
      return try give(
        CNNGraph.Comparison(.equal), target, give(Reduction(.max, axes: [-1], keepsAxes: true), target))
    }
    // The gradient of a cross-entropy, where all logits are 0: below 0 at the label, above it elsewhere.
    let zeros = try give(Fill(0, shape: type.shape)), ones = try give(Fill(1, shape: Array(type.shape.dropLast())))
    let loss = Loss(.sparseCategoricalCrossEntropy, fromLogits: true)
    return try give(CNNGraph.Comparison(.greater), zeros, give(LossGradient(loss), zeros, target, ones))
  }

  /// `T² (alpha TCKD + beta NCKD)` (Zhao et al. 2022, equation 7): the divergence of the label's probability and its
  /// complement, and that of the other classes' probabilities among themselves.
  fileprivate mutating func decoupled(
    _ term: DistillationTerm, _ student: Value, _ teacher: Value, label: Value
  ) throws(CNNError) -> Value {
    let others = try give(Rescaling(scale: [-1], offset: [1]), label)
    // exp(-1e30) is 0, and what it is multiplied by is finite.
    let excluded = try give(Fill(-1e30, shape: []))
    typealias Logarithms = (right: Value, wrong: Value, among: Value)
    func logarithms(_ logits: Value, _ graph: inout Graph) throws(CNNError) -> Logarithms {
      let cooled = try graph.rescaled(logits, by: 1 / term.temperature)
      let all = try graph.give(LogSoftmax(), cooled)
      let among = try graph.give(LogSoftmax(), graph.give(Select(), others, cooled, excluded))
      // Of any other class j, log(1 - p) = log p_j - log(p_j / (1 - p)): without a difference of numbers near 1.
      let classes = graph.type(of: logits).shape.last ?? 2
      let zero = try graph.give(Fill(0, shape: []))
      let complements = try graph.give(Select(), others, graph.difference(all, among), zero)
      return (
        try graph.sumOfLastAxis(graph.give(Multiply(), all, label)),
        try graph.rescaled(graph.sumOfLastAxis(complements), by: 1 / Double(classes - 1)), among
      )
    }
    let t = try logarithms(teacher, &self), s = try logarithms(student, &self)
    let target = try sum(
      divergence(ofTeacher: t.right, student: s.right), divergence(ofTeacher: t.wrong, student: s.wrong))
    let rest = try sumOfLastAxis(give(Multiply(), divergence(ofTeacher: t.among, student: s.among), others))
    let costs = try sum(rescaled(target, by: term.alpha), rescaled(rest, by: term.beta))
    return try rescaled(costs, by: term.temperature * term.temperature)
  }

  /// The mean of squared differences for each sample.
  fileprivate mutating func squaredDifference(_ a: Value, _ b: Value) throws(CNNError) -> Value {
    guard type(of: a) == type(of: b) else {
      throw CNNError(
        .shapeMismatch,
        "the student's layer gives \(describe(type(of: a).shape)), the teacher's \(describe(type(of: b).shape)); expected "
          + "the same")
    }
    return try meanOfSample(give(Activation(.power), difference(a, b)))
  }

  /// The sum of squares over the channels, at each place of a map, as a vector of length 1 (Zagoruyko and Komodakis 2017,
  /// equations 1 and 2).
  fileprivate mutating func attention(of map: Value) throws(CNNError) -> Value {
    try type(of: map).require(rank: 4, as: "the layer's result")
    let flat = try give(Reshape.flatten, sumOfLastAxis(give(Activation(.power), map)))
    let square = try give(Reduction(.sum, axes: [-1], keepsAxes: true), give(Activation(.power), flat))
    // Where all is 0 the vector stays 0.
    let tiny = try give(Fill(1e-24, shape: []))
    return try give(Multiply(), flat, give(Activation(.power, ["exponent": -0.5]), give(Maximum(), square, tiny)))
  }
}
