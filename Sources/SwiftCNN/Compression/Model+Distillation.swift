import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// A model that trains this one by what another, its teacher, says of the same samples (Hinton et al. 2015). `compile` and
  /// `fit` train it as ever; it has the parameters of this model, which learn by it, and its predictions.
  ///
  ///     let learner = try student.distilled(from: teacher)
  ///     try learner.compile(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd(learningRate: 0.1))
  ///     try learner.fit(images, labels, options: FitOptions(epochs: 10))
  ///     try student.write(to: "student.safetensors")
  ///
  /// The loss is `studentWeight` times the model's own and, for each of `losses`, its weight times what the two differ by;
  /// sample weights, class weights and regularisers count as without a teacher. An evaluation measures the model's own loss
  /// alone. A softmax or a sigmoid at the end of either network is looked behind; what ends otherwise is taken as logits.
  ///
  /// The teacher sees each batch as it is trained on, after `fit`'s flips and crops but before random layers of this
  /// network, and predicts with its own means and precision. It is not changed; its predictions wait while a step runs.
  ///
  /// A model that was read of a checkpoint that such training wrote is trained on, with the state that it had, where the
  /// options are the same.
  /// - Parameters:
  ///   - teacher: a model with as many classes that takes samples of the same shapes: of this library's networks any, also
  ///     imported or quantised.
  ///   - options: what is learned of it.
  /// - Throws: `.invalidArgument` for options, a model that is its own teacher, or one that does not fit: inputs and classes
  ///   have to be as many; `.unknownName` for a layer, with the nearest name; `.shapeMismatch` for layers whose results differ
  ///   in more than their channels; `.invalidState` where this model has several outputs or learns of a teacher already.
  public func distilled(
    from teacher: Model, options: DistillationOptions = DistillationOptions()
  ) throws(CNNError) -> Model {
    try options.validate()
    return try lock.union(teacher.lock).reading { () throws(CNNError) in
      try requireTeacher(teacher)
      if let known = training?.settings.distillation, known != options {
        throw CNNError(
          .invalidState,
          "'\(name)' is a checkpoint of a distillation with other options; give the same, or load it without its training "
            + "state")
      }
      var plan = DistillationPlan(networkWithFlags, teacher.network)
      for (index, term) in options.losses.enumerated() where term.weight > 0 {
        do throws(CNNError) { try plan.add(term, at: index) } catch { throw error.prefixed("losses[\(index)]") }
      }
      let student = try withoutProjections()
      let result = try Model(
        uninitialized: plan.builder.graph, name: name, mean: pixelNormalization.mean,
        deviation: pixelNormalization.deviation, sharing: parameters.byName,
        distillation: Distillation(
          of: student, teacher: teacher, options, results: plan.results, plan.comparisons))
      result.takeDescription(of: self)
      result.parameters.initialize(seed: options.seed)
      if training?.settings.distillation != nil { result.training = try training?.copy(for: result.parameters) }
      return result
    }
  }

  /// The model that learns, where this one was made by `distilled(from:options:)`: a plain one with the same parameters.
  public var student: Model? { distillation?.student }

  /// Who teaches this model, where it was made by `distilled(from:options:)`.
  public var teacher: Model? { distillation?.teacher }

  /// The teacher as a model that measures what this one does, on data that both have not seen: `evaluate` gives its loss
  /// and metrics. It has the teacher's parameters.
  /// - Throws: `.invalidState` where there is no teacher, or before `compile`.
  public func measuredTeacher() throws(CNNError) -> Model {
    guard let teacher else { throw CNNError(.invalidState, "'\(name)' has no teacher") }
    // The locks include the teacher's.
    let (settings, result) = try lock.reading { () throws(CNNError) in
      var settings = try compiled().settings
      // Its own end tells what it gives; and it is not trained.
      (settings.optimizer, settings.fromLogits) = (.sgd(), nil)
      let result = try Model(
        uninitialized: teacher.network, name: teacher.name, mean: teacher.pixelNormalization.mean,
        deviation: teacher.pixelNormalization.deviation, sharing: teacher.parameters.byName)
      result.takeDescription(of: teacher)
      return (settings, result)
    }
    try result.compile(settings)
    return result
  }

  /// Keeps a warning, which `takeWarning()` gives, where the teacher is no better than the student on the same data: by the
  /// first metric that grows with what is right, and else by the loss.
  /// - Parameters:
  ///   - results: the student's loss and metrics, in the order of `TrainingSettings.resultNames`.
  ///   - other: the teacher's, as `measuredTeacher()` gives them.
  /// - Throws: `.invalidState` where there is no teacher, or before `compile`; `.invalidArgument` for another number of results.
  public func compare(_ results: [Double], withTeacher other: [Double]) throws(CNNError) {
    guard let teacher else { throw CNNError(.invalidState, "'\(name)' has no teacher") }
    let settings = try lock.reading { () throws(CNNError) in try compiled().settings }
    let names = settings.resultNames, metrics = settings.metrics + settings.weightedMetrics
    guard results.count == names.count, other.count == names.count else {
      throw CNNError(
        .invalidArgument,
        "there are \(results.count) results of the student and \(other.count) of the teacher; expected "
          + "\(names.count) each")
    }
    let chosen = (metrics.firstIndex(where: \.growsWithSkill) ?? -1) + 1
    guard chosen > 0 ? other[chosen] <= results[chosen] : other[chosen] >= results[chosen] else { return }
    warnings.addTeacher(
      "the teacher '\(teacher.name)' is no better than the student on the validation data: \(names[chosen]) "
        + "\(other[chosen]) beside \(results[chosen]); what it teaches may keep the student back")
  }

  private func requireTeacher(_ teacher: Model) throws(CNNError) {
    guard distillation == nil else {
      throw CNNError(.invalidState, "'\(name)' learns of a teacher already; distil its student")
    }
    for (model, who) in [(self, "student"), (teacher, "teacher")] where model.network.outputs.count != 1 {
      throw CNNError(
        .invalidState, "the \(who) '\(model.name)' has \(model.network.outputs.count) outputs; expected one")
    }
    let own = Set(parameters.tensors.map(ObjectIdentifier.init))
    guard teacher !== self, !teacher.parameters.tensors.contains(where: { own.contains(ObjectIdentifier($0)) }) else {
      throw CNNError(
        .invalidArgument, "the teacher has parameters of the student, which would train it too; expected a copy")
    }
    let mine = lockedInputShapes, theirs = teacher.lockedInputShapes
    let fits =
      mine.count == theirs.count
      && zip(mine, theirs).allSatisfy { mine, theirs in
        mine.count == theirs.count && zip(mine, theirs).allSatisfy { $0 == nil || $1 == nil || $0 == $1 }
      }
    guard fits else {
      func text(_ shapes: [[Int?]]) -> String { shapes.map { describe([nil] + $0) }.joined(separator: ", ") }
      throw CNNError(
        .shapeMismatch,
        "the student reads \(text(mine)) and the teacher '\(teacher.name)' \(text(theirs)); expected the same, since both "
          + "see one batch")
    }
  }

  /// This model, or where it is a checkpoint of a distillation, one with its parameters and without projections.
  private func withoutProjections() throws(CNNError) -> Model {
    guard network.parameters.contains(where: { $0.name.hasPrefix(DistillationPlan.prefix) }) else { return self }
    let graph = try networkWithFlags.removingDeadNodes().removingDeadParameters()
    let result = try Model(
      uninitialized: graph, name: name, mean: pixelNormalization.mean, deviation: pixelNormalization.deviation,
      sharing: parameters.byName)
    result.takeDescription(of: self)
    return result
  }

  /// What training makes small on samples of these shapes.
  /// - Throws: `.invalidState` for a checkpoint of a distillation without its teacher.
  func trainingLoss(_ settings: TrainingSettings, forSamples shapes: [[Int]]) throws(CNNError) -> any TrainingLoss {
    let own = settings.lossOperation(for: network)
    guard settings.distillation == distillation?.options else {
      throw CNNError(
        .invalidState,
        settings.distillation == nil
          ? "the state of training is that of a model without a teacher; compile the model that learns of one"
          : "the state of training is that of a distillation with other options, or without its teacher; distil the model "
            + "from its teacher with the same, or compile it anew")
    }
    return try distillation?.loss(own, for: shapes) ?? own
  }
}

/// The network of one who learns, as terms are added to it.
private struct DistillationPlan {
  /// Before the names of projections.
  static let prefix = "distillation."

  var builder = GraphBuilder()
  let teacher: Graph
  private(set) var results: [String] = []
  private(set) var comparisons: [DistillationLoss.Comparison] = []

  init(_ student: Graph, _ teacher: Graph) {
    builder.graph = student
    self.teacher = teacher
  }

  mutating func add(_ term: DistillationTerm, at index: Int) throws(CNNError) {
    if term.method.isOfLogits { return try addLogits(term) }
    let mine = try Self.result(term.studentLayer, of: builder.graph, "student")
    let theirs = try Self.result(term.teacherLayer, of: teacher, "teacher")
    var shape = builder.graph.shape(of: mine), expected = teacher.shape(of: theirs)
    let channels = (shape.last ?? nil, expected.last ?? nil)
    let comparesChannels = term.method == .hint
    if !comparesChannels {
      guard shape.count == 4, expected.count == 4 else {
        throw CNNError(
          .shapeMismatch,
          "'\(term.studentLayer)' gives \(describe(shape)) and '\(term.teacherLayer)' \(describe(expected)); expected maps "
            + "[N, height, width, channels]")
      }
    }
    if !shape.isEmpty, !expected.isEmpty { (shape[shape.count - 1], expected[expected.count - 1]) = (nil, nil) }
    guard shape.count > 1, shape.count == expected.count,
      zip(shape, expected).dropFirst().allSatisfy({ $0 == nil || $1 == nil || $0 == $1 })
    else {
      throw CNNError(
        .shapeMismatch,
        "'\(term.studentLayer)' of the student gives \(describe(builder.graph.shape(of: mine))) and "
          + "'\(term.teacherLayer)' of the teacher \(describe(teacher.shape(of: theirs))); expected as many rows and columns"
      )
    }
    var compared = term.studentLayer
    if comparesChannels, channels.0 != channels.1, let units = channels.1 {
      compared = "\(Self.prefix)hint\(index)"
      if builder.graph.value(named: compared) == nil {
        _ =
          shape.count == 4
          ? try builder.convolution(mine, compared, outputChannels: units, kernel: (1, 1), bias: true)
          : try builder.dense(mine, compared, units: units)
      }
    }
    comparisons.append(.init(term, student: compared, teacher: place(of: teacher.name(of: theirs))))
  }

  private mutating func addLogits(_ term: DistillationTerm) throws(CNNError) {
    guard let mine = builder.graph.outputs.first?.value, let theirs = teacher.outputs.first?.value else { return }
    let student = builder.graph.logits(of: mine), other = teacher.logits(of: theirs)
    let shape = builder.graph.shape(of: student.value), expected = teacher.shape(of: other.value)
    guard shape.count > 1, shape.count == expected.count, shape.last == expected.last,
      zip(shape, expected).dropFirst().allSatisfy({ $0 == nil || $1 == nil || $0 == $1 })
    else {
      throw CNNError(
        .shapeMismatch,
        "the student predicts \(describe(shape)) and the teacher \(describe(expected)); expected the same classes")
    }
    if let mine = student.isBinary, let theirs = other.isBinary, mine != theirs {
      throw CNNError(
        .invalidArgument,
        "the \(mine ? "student" : "teacher") ends in a sigmoid, for a yes or no of each class, and the "
          + "\(mine ? "teacher" : "student") in a softmax; expected the same")
    }
    comparisons.append(
      .init(
        term, student: nil, teacher: place(of: teacher.name(of: other.value)),
        isBinary: student.isBinary ?? other.isBinary))
  }

  private mutating func place(of result: String) -> Int {
    if let known = results.firstIndex(of: result) { return known }
    results.append(result)
    return results.count - 1
  }

  private static func result(_ name: String, of graph: Graph, _ who: String) throws(CNNError) -> Value {
    if let value = graph.value(named: name), graph.node(defining: value) != nil { return value }
    throw unknownName("layer of the \(who)", name, among: graph.nodes.map(\.name))
  }
}
