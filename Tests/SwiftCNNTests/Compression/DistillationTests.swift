import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Models that learn of others.
@Suite struct DistillationTests {
  static let classes = 5, size = 8

  enum End: String, CaseIterable { case logits, softmax, sigmoid }

  /// A small network whose blocks have `channels`.
  static func network(_ channels: Int, end: End = .logits, classes: Int = classes, seed: UInt64) throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [size, size, 3])
    for block in 1...2 {
      x = try builder.convolution(
        x, "conv\(block)", outputChannels: channels * block, kernel: (3, 3), stride: (block, block), padding: .all(1))
      x = try builder.activation(.silu, builder.batchNormalization(x, "bn\(block)"), "block\(block)")
    }
    x = try builder.apply(GlobalPooling2D(.average), x, name: "pool")
    x = try builder.dense(x, "fc", units: classes)
    switch end {
    case .logits: break
    case .softmax: x = try builder.apply(Softmax(), x, name: "softmax")
    case .sigmoid: x = try builder.activation(.sigmoid, x, "sigmoid")
    }
    try builder.graph.addOutput("y", x)
    let model = try Model(builder.graph, name: "small", seed: seed)
    // Logits as far apart as those of a trained network.
    try model.set("fc.weight", model.values("fc.weight").map { $0 * 8 })
    return model
  }

  static func data(_ count: Int, seed: UInt64 = 1) throws -> (x: Tensor, y: Tensor) {
    let x = try Tensor(Formula.values("x\(seed)", count * size * size * 3), shape: [count, size, size, 3])
    return (x, try Tensor((0..<count).map { Int32(($0 * 3 + 1) % classes) }, shape: [count]))
  }

  static func compile(_ model: Model, loss: LossFunction = .sparseCategoricalCrossEntropy, rate: Double = 0) throws {
    try model.compile(loss: loss, optimizer: .sgd(learningRate: rate, momentum: 0.9), metrics: [.accuracy], seed: 3)
  }

  /// The loss of one batch before the step.
  static func loss(
    _ student: Model, _ teacher: Model, _ options: DistillationOptions, _ data: (x: Tensor, y: Tensor),
    weights: [Float]? = nil
  ) throws -> Double {
    let learner = try student.distilled(from: teacher, options: options)
    try compile(learner)
    return try learner.trainOnBatch(data.x, data.y, sampleWeight: weights.map { try Tensor($0, shape: [$0.count]) })
      .loss
  }

  // MARK: What the losses are, by the formulas of their papers in double precision

  static func rows(_ tensor: Tensor) -> [[Double]] {
    let width = tensor.shape.last ?? 1, numbers = tensor.floats.map(Double.init)
    return stride(from: 0, to: numbers.count, by: width).map { Array(numbers[$0..<$0 + width]) }
  }

  static func softmax(_ row: [Double], _ temperature: Double) -> [Double] {
    let top = row.max() ?? 0, powers = row.map { exponential(($0 - top) / temperature) }
    return powers.map { $0 / powers.reduce(0, +) }
  }

  static func exponential(_ x: Double) -> Double {
    // By the series, of x / 1024, so that no other library is needed.
    var term = 1.0, sum = 1.0
    for index in 1...20 { term *= x / 1024 / Double(index); sum += term }
    for _ in 0..<10 { sum *= sum }
    return sum
  }

  static func logarithm(_ x: Double) -> Double {
    // Newton's method.
    var y = 0.0
    for _ in 0..<60 { y += 2 * (x - exponential(y)) / (x + exponential(y)) }
    return y
  }

  static func divergence(_ p: [Double], _ q: [Double]) -> Double {
    zip(p, q).reduce(0) { $1.0 == 0 ? $0 : $0 + $1.0 * (logarithm($1.0) - logarithm($1.1)) }
  }

  @Test(arguments: [1.0, 2.5, 20]) func softTargetsAreHintons(_ temperature: Double) throws {
    let data = try Self.data(6)
    let student = try Self.network(4, seed: 1), teacher = try Self.network(6, seed: 2)
    let options = DistillationOptions(losses: [.softTargets(temperature: temperature, weight: 0.7)], studentWeight: 0)
    let measured = try Self.loss(student, teacher, options, data)
    // In a training step batch normalisation is by the batch; the student's logits are those of its plain training.
    let logits = try Self.trainingLogits(student, data), other = Self.rows(try teacher.predict(data.x))
    let expected = zip(other, logits).map {
      temperature * temperature * Self.divergence(Self.softmax($0, temperature), Self.softmax($1, temperature))
    }
    #expect(abs(measured - 0.7 * expected.reduce(0, +) / 6) < 1e-5 * (1 + abs(measured)), "\(measured)")
  }

  /// The logits of a training step.
  static func trainingLogits(_ model: Model, _ data: (x: Tensor, y: Tensor)) throws -> [[Double]] {
    // Statistics of this batch alone, as a step has them.
    let copy = try model.copy()
    for name in copy.parameterList.map(\.name) where name.hasSuffix("running_mean") || name.hasSuffix("running_var") {
      let maps = try batchStatistics(copy, String(name.prefix(3)), data.x)
      try copy.set(name, name.hasSuffix("mean") ? maps.mean : maps.variance)
    }
    return rows(try copy.predict(data.x, output: "fc"))
  }

  private static func batchStatistics(_ model: Model, _ layer: String, _ x: Tensor) throws -> (
    mean: [Float], variance: [Float]
  ) {
    let map = rows(try model.predict(x, output: layer.replacing("bn", with: "conv")))
    let channels = map[0].indices
    let mean = channels.map { channel in map.reduce(0) { $0 + $1[channel] } / Double(map.count) }
    let variance = channels.map { channel in
      map.reduce(0) { $0 + ($1[channel] - mean[channel]) * ($1[channel] - mean[channel]) } / Double(map.count)
    }
    return (mean.map { Float($0) }, variance.map { Float($0) })
  }

  @Test func decoupledIsZhaos() throws {
    let data = try Self.data(6)
    let student = try Self.network(4, end: .softmax, seed: 1), teacher = try Self.network(6, seed: 2)
    let (alpha, beta, temperature) = (0.5, 3.0, 2.0)
    let options = DistillationOptions(
      losses: [.decoupled(alpha: alpha, beta: beta, temperature: temperature)], studentWeight: 0)
    let measured = try Self.loss(student, teacher, options, data)
    let logits = try Self.trainingLogits(student, data), other = Self.rows(try teacher.predict(data.x))
    var expected = 0.0
    for index in 0..<6 {
      let label = (index * 3 + 1) % Self.classes
      let p = Self.softmax(other[index], temperature), q = Self.softmax(logits[index], temperature)
      let binary = Self.divergence([p[label], 1 - p[label]], [q[label], 1 - q[label]])
      func others(_ p: [Double]) -> [Double] {
        p.indices.filter { $0 != label }.map { p[$0] / (1 - p[label]) }
      }
      expected += temperature * temperature * (alpha * binary + beta * Self.divergence(others(p), others(q))) / 6
    }
    #expect(abs(measured - expected) < 1e-5 * (1 + expected), "\(measured) \(expected)")
  }

  /// At beta = 1 - p of the label, the parts of decoupled distillation make the whole (equation 5); far from it they stay
  /// finite.
  @Test func decoupledStaysFiniteWhereTheTeacherIsSure() throws {
    let data = try Self.data(4)
    let student = try Self.network(4, seed: 1), teacher = try Self.network(6, seed: 2)
    for model in [student, teacher] { try model.set("fc.weight", model.values("fc.weight").map { $0 * 300 }) }
    let options = DistillationOptions(losses: [.decoupled(temperature: 1)])
    let learner = try student.distilled(from: teacher, options: options)
    try Self.compile(learner, rate: 1e-6)
    #expect(try learner.trainOnBatch(data.x, data.y).loss.isFinite)
    #expect(try learner.gradient("conv1.weight").allSatisfy(\.isFinite))
  }

  @Test func yesAndNoAreDivergencesOfEach() throws {
    let (x, _) = try Self.data(6)
    let y = try Tensor((0..<30).map { Float($0 % 2) }, shape: [6, 5])
    for end in [End.sigmoid, .logits] {
      let student = try Self.network(4, end: end, seed: 1), teacher = try Self.network(6, end: .sigmoid, seed: 2)
      let options = DistillationOptions(losses: [.softTargets(temperature: 2)], studentWeight: 0)
      let learner = try student.distilled(from: teacher, options: options)
      try Self.compile(learner, loss: .binaryCrossEntropy)
      let measured = try learner.trainOnBatch(x, y).loss
      func yes(_ z: Double) -> Double { 1 / (1 + Self.exponential(-z / 2)) }
      let logits = try Self.trainingLogits(student, (x, y)).flatMap(\.self)
      let expected = zip(Self.rows(try teacher.predict(x, output: "fc")).flatMap(\.self), logits).reduce(0) { sum, z in
        sum + 4 * Self.divergence([yes(z.0), 1 - yes(z.0)], [yes(z.1), 1 - yes(z.1)]) / 30
      }
      #expect(abs(measured - expected) < 1e-5 * (1 + expected), "\(end) \(measured) \(expected)")
    }
  }

  @Test func hintsAndAttentionAreMeansOfSquares() throws {
    let data = try Self.data(4)
    let student = try Self.network(4, seed: 1), teacher = try Self.network(4, seed: 2)
    // Of layers before batch normalisation, which a step computes as a prediction does.
    let mine = Self.rows(try student.predict(data.x, output: "conv1"))
    let theirs = Self.rows(try teacher.predict(data.x, output: "conv1"))
    let hint = zip(mine.flatMap(\.self), theirs.flatMap(\.self)).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let options = DistillationOptions(losses: [.hint(student: "conv1", teacher: "conv1", weight: 2)], studentWeight: 0)
    let learner = try student.distilled(from: teacher, options: options)
    #expect(learner.parameterList.map(\.name) == student.parameterList.map(\.name), "there is nothing to project")
    #expect(abs(try Self.loss(student, teacher, options, data) - 2 * hint / Double(mine.count * 4)) < 1e-5)

    func attention(_ map: [[Double]]) -> [Double] {
      let squares = map.map { $0.reduce(0) { $0 + $1 * $1 } }, places = squares.count / 4
      return (0..<4).flatMap { sample in
        let part = squares[sample * places..<(sample + 1) * places]
        let length = part.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return part.map { $0 / length }
      }
    }
    let (a, b) = (attention(mine), attention(theirs))
    let expected = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / Double(a.count)
    let other = DistillationOptions(losses: [.attentionTransfer(student: "conv1", teacher: "conv1")], studentWeight: 0)
    #expect(abs(try Self.loss(student, teacher, other, data) - expected) < 1e-5 * expected)
  }

  // MARK: Gradients

  static let mixes: [(name: String, end: End, options: DistillationOptions)] = [
    ("soft", .logits, DistillationOptions()),
    (
      "soft, behind a softmax", .softmax,
      DistillationOptions(losses: [.softTargets(temperature: 2)], studentWeight: 0.3)
    ),
    ("decoupled", .logits, DistillationOptions(losses: [.decoupled()], studentWeight: 0)),
    ("hint, projected", .logits, DistillationOptions(losses: [.hint(student: "block2", teacher: "block2")])),
    ("hint of features", .logits, DistillationOptions(losses: [.hint(student: "pool", teacher: "pool")])),
    (
      "attention", .logits,
      DistillationOptions(
        losses: [.attentionTransfer(student: "block1", teacher: "block1", weight: 50)], studentWeight: 0)
    ),
    (
      "all", .logits,
      DistillationOptions(
        losses: [
          .softTargets(weight: 0.5), .decoupled(weight: 0.2), .hint(student: "block1", teacher: "block1"),
          .attentionTransfer(student: "block2", teacher: "block2", weight: 10),
        ])
    ),
  ]

  @Test(arguments: mixes.indices) func gradientsAreThoseOfDifferences(_ index: Int) throws {
    let mix = Self.mixes[index], data = try Self.data(6)
    let student = try Self.network(4, end: mix.end, seed: 1), teacher = try Self.network(6, end: mix.end, seed: 2)
    let learner = try student.distilled(from: teacher, options: mix.options)
    try Self.compile(learner)
    var checked = 0
    for parameter in learner.parameterList where parameter.isTrainable {
      // With all parameters in their places.
      _ = try learner.trainOnBatch(data.x, data.y)
      guard let gradient = try? learner.gradient(parameter.name) else { continue }
      let start = try learner.values(parameter.name)
      // Along the gradient the loss grows by its square.
      let size = gradient.reduce(0) { $0 + $1 * $1 }
      // A bias before a batch normalisation has none.
      guard size > 1e-8 else { continue }
      func slope(_ step: Float) throws -> Double {
        let losses = try [step, -step].map { step in
          try learner.set(parameter.name, zip(start, gradient).map { $0 + step * $1 })
          return try learner.trainOnBatch(data.x, data.y).loss
        }
        return (losses[0] - losses[1]) / Double(2 * step)
      }
      // Without the third derivative (Richardson).
      let step = 1e-2 / size.squareRoot()
      let difference = try (4 * slope(step / 2) - slope(step)) / 3
      try learner.set(parameter.name, start)
      #expect(
        abs(difference - Double(size)) < 3e-3 * Double(size), "\(mix.name), \(parameter.name): \(difference) \(size)")
      checked += 1
    }
    #expect(checked >= 3)
  }

  // MARK: What is trained

  @Test func theStudentLearnsAndTheTeacherStays() throws {
    let data = try Self.data(12)
    let student = try Self.network(4, seed: 1), teacher = try Self.network(6, seed: 2)
    let (before, taught) = (try student.bits(), try teacher.bits())
    let options = DistillationOptions(losses: [.softTargets(), .hint(student: "block2", teacher: "block2")])
    let learner = try student.distilled(from: teacher, options: options)
    #expect(learner.student === student && learner.teacher === teacher)
    #expect(try student.bits() == before)
    try Self.compile(learner, rate: 0.05)
    let history = try learner.fit(data.x, data.y, options: FitOptions(epochs: 8, batchSize: 5))
    #expect(history[7].loss < history[0].loss)
    #expect(try teacher.bits() == taught)
    #expect(try student.bits() != before)
    #expect(try student.predict(data.x).values == learner.predict(data.x).values)
    #expect(try student.takeWarning() == nil)
    // What is saved without the state of training is the plain student.
    let directory = try TemporaryDirectory()
    try learner.write(to: "\(directory.path)/student.safetensors")
    let read = try Model(contentsOf: "\(directory.path)/student.safetensors")
    #expect(read.parameterList.map(\.name) == student.parameterList.map(\.name))
    #expect(try read.bits() == student.bits())
    #expect(try learner.copy().student?.bits() == student.bits())
    // An evaluation knows no teacher.
    try Self.compile(student)
    let (plain, measured) = (try student.evaluate(data.x, data.y), try learner.evaluate(data.x, data.y))
    #expect(plain == measured)
  }

  @Test func weightsOfSamplesCountForAll() throws {
    let data = try Self.data(4),
      options = DistillationOptions(losses: [.softTargets(), .decoupled()], studentWeight: 0.5)
    let student = try Self.network(4, seed: 1), teacher = try Self.network(6, seed: 2)
    let ones = try Self.loss(student.copy(), teacher, options, data, weights: [1, 1, 1, 1])
    let threes = try Self.loss(student.copy(), teacher, options, data, weights: [3, 3, 3, 3])
    #expect(abs(threes - 3 * ones) < 1e-5 * threes)
    let single = try (0..<4).map { index in
      try Self.loss(student.copy(), teacher, options, data, weights: (0..<4).map { $0 == index ? 1 : 0 })
    }
    #expect(single.allSatisfy { $0 > 0 } && Set(single).count == 4)
    #expect(abs(single.reduce(0, +) - ones) < 1e-5 * ones)
  }

  @Test func regularizersCount() throws {
    let data = try Self.data(4), teacher = try Self.network(6, seed: 2)
    var penalised = try Self.network(4, seed: 1).graph
    let plain = try Self.loss(Self.network(4, seed: 1), teacher, DistillationOptions(), data)
    let regularizer = try Regularizer(l2: 0.01)
    penalised.setRegularizers { $0.name == "fc.weight" ? regularizer : nil }
    let student = try Model(penalised, name: "penalised", seed: 1)
    try student.set("fc.weight", Self.network(4, seed: 1).values("fc.weight"))
    let penalty = try student.values("fc.weight").reduce(0) { $0 + 0.01 * Double($1) * Double($1) }
    #expect(abs(try Self.loss(student, teacher, DistillationOptions(), data) - plain - penalty) < 1e-5)
  }

  @Test func aCheckpointGoesOnInTheSameBits() throws {
    let data = try Self.data(18), teacher = try Self.network(6, seed: 2)
    let options = DistillationOptions(losses: [.softTargets(), .hint(student: "block2", teacher: "block2")])
    func fitted(_ learner: Model, steps: Int = .max, resumes: Bool = false) throws {
      var done = 0
      let fit = FitOptions(
        epochs: 3, batchSize: 4, flipsHorizontally: true, cropPadding: 1, resumes: resumes)
      try learner.fit(data.x, data.y, options: fit) { _ in
        done += 1
        return done < steps
      }
    }
    let whole = try Self.network(4, seed: 1).distilled(from: teacher, options: options)
    try Self.compile(whole, rate: 0.05)
    try fitted(whole)
    for stop in [2, 5, 9] {
      let begun = try Self.network(4, seed: 1).distilled(from: teacher, options: options)
      try Self.compile(begun, rate: 0.05)
      try fitted(begun, steps: stop)
      let directory = try TemporaryDirectory(), path = "\(directory.path)/checkpoint.safetensors"
      try begun.write(to: path, includingTrainingState: true)
      let read = try Model(contentsOf: path)
      // Without its teacher it is another training.
      expectError(.invalidState, "without its teacher") { _ = try read.trainOnBatch(data.x, data.y) }
      expectError(.invalidState, "other options") { _ = try read.distilled(from: teacher) }
      let resumed = try read.distilled(from: teacher, options: options)
      try fitted(resumed, resumes: true)
      #expect(try resumed.bits() == whole.bits(), "stopped at \(stop)")
      #expect(try resumed.student?.parameterList.map(\.name) == Self.network(4, seed: 1).parameterList.map(\.name))
    }
  }

  @Test func aTeacherThatIsNoBetterIsWarnedOf() throws {
    let data = try Self.data(6)
    let learner = try Self.network(4, seed: 1).distilled(from: Self.network(6, seed: 2))
    expectError(.invalidState, "compile") { _ = try learner.measuredTeacher() }
    try Self.compile(learner)
    let teacher = try #require(learner.teacher), measured = try learner.measuredTeacher()
    try Self.compile(teacher)
    #expect(try measured.evaluate(data.x, data.y) == teacher.evaluate(data.x, data.y))
    try learner.compare([0.5, 0.7], withTeacher: [0.4, 0.8])
    #expect(try learner.takeWarning() == nil)
    try learner.compare([0.5, 0.7], withTeacher: [0.4, 0.6])
    #expect(try learner.takeWarning()?.contains("no better than the student") == true)
    try learner.compare([0.5, 0.7], withTeacher: [0.4, 0.6])
    #expect(try learner.takeWarning() == nil, "it is told once")
    expectError(.invalidArgument, "expected 2 each") { try learner.compare([0.5], withTeacher: [0.4, 0.6]) }
  }

  // MARK: What does not fit

  @Test func whatDoesNotFitIsRefused() throws {
    let student = try Self.network(4, seed: 1), teacher = try Self.network(6, seed: 2), bits = try student.bits()
    func refuses(
      _ code: CNNError.Code, _ text: String, _ losses: [DistillationTerm] = [.softTargets()], weight: Double = 1,
      teacher other: Model? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      expectError(code, text, sourceLocation: sourceLocation) {
        _ = try student.distilled(
          from: other ?? teacher, options: DistillationOptions(losses: losses, studentWeight: weight))
      }
    }
    refuses(.shapeMismatch, "same classes", teacher: try Self.network(6, classes: 7, seed: 2))
    refuses(.invalidArgument, "expected a copy", teacher: student)
    refuses(.unknownName, "did you mean 'block2'?", [.hint(student: "blok2", teacher: "block2")])
    refuses(.unknownName, "layer of the teacher", [.attentionTransfer(student: "block2", teacher: "stage9")])
    refuses(.invalidArgument, "empty", [.hint(student: "", teacher: "block2")])
    refuses(.shapeMismatch, "rows and columns", [.hint(student: "block1", teacher: "block2")])
    refuses(.shapeMismatch, "rows and columns", [.attentionTransfer(student: "block1", teacher: "block2")])
    refuses(.shapeMismatch, "expected maps", [.attentionTransfer(student: "pool", teacher: "block2")])
    refuses(.invalidArgument, "expected one at least", [])
    refuses(.invalidArgument, "expected one at least", [.softTargets(weight: 0)])
    for bad in [0, -1, .nan, .infinity] {
      refuses(.invalidArgument, "temperature", [.softTargets(temperature: bad)])
      if bad != 0 {
        refuses(.invalidArgument, "weight", [.softTargets(weight: bad)])
        refuses(.invalidArgument, "studentWeight", weight: bad)
        refuses(.invalidArgument, "beta", [.decoupled(beta: bad)])
      }
    }
    var builder = GraphBuilder()
    let x = try builder.input(shape: [9, 9, 3])
    try builder.graph.addOutput("y", builder.dense(builder.apply(GlobalPooling2D(.average), x), "fc", units: 5))
    refuses(.shapeMismatch, "both see one batch", teacher: try Model(builder.graph, name: "larger"))
    let learner = try student.distilled(from: teacher)
    expectError(.invalidState, "distil its student") { _ = try learner.distilled(from: teacher) }
    // What the loss has to do with it is known when it is compiled.
    let decoupled = try student.distilled(from: teacher, options: DistillationOptions(losses: [.decoupled()]))
    expectError(.invalidArgument, "yes or no") { try Self.compile(decoupled, loss: .binaryCrossEntropy) }
    expectError(.invalidArgument, "in a softmax") {
      _ = try Self.network(4, end: .sigmoid, seed: 1).distilled(from: Self.network(4, end: .softmax, seed: 2))
    }
    let one = try Self.network(4, classes: 1, seed: 1).distilled(from: Self.network(4, classes: 1, seed: 2))
    expectError(.invalidArgument, "whose probability is 1") { try Self.compile(one) }
    #expect(try student.bits() == bits)
  }

  /// A student that is trained for integers, a teacher in integers.
  @Test func quantisedModelsTeachAndLearn() throws {
    let data = try Self.data(8), teacher = try Self.network(6, seed: 2).quantized(calibration: data.x)
    let student = try Self.network(4, seed: 1).quantizationAware(calibration: data.x)
    let learner = try student.distilled(from: teacher)
    try Self.compile(learner, rate: 0.05)
    let history = try learner.fit(data.x, data.y, options: FitOptions(epochs: 4, batchSize: 4))
    #expect(history[3].loss < history[0].loss)
    #expect(try student.quantized().predict(data.x).shape == [8, 5])
  }
}
