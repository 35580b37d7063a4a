import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// The rule by which gradients change weights.
public enum OptimizerRule: Sendable, Equatable {
  /// Stochastic gradient descent. With `rateInVelocity` the velocity is one of steps, as Keras's, otherwise of gradients,
  /// as PyTorch's.
  case sgd(momentum: Double = 0, nesterov: Bool = false, rateInVelocity: Bool = false)
  /// Adam (Kingma and Ba 2015).
  /// `epsilonHat` adds epsilon before the bias is corrected, as in the paper's section 2 and Keras.
  case adam(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-7, epsilonHat: Bool = false)
  /// The same rule, whose weight decay is decoupled where nothing else is said (Loshchilov and Hutter 2019).
  case adamW(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-7, epsilonHat: Bool = false)
  /// RMSprop (Tieleman and Hinton 2012).
  case rmsprop(
    rho: Double = 0.9, momentum: Double = 0, epsilon: Double = 1e-7, centered: Bool = false,
    epsilonInsideRoot: Bool = false)

  /// The tensors it keeps for each parameter.
  var slotNames: [String] {
    switch self {
    case .sgd(let momentum, _, _): momentum == 0 ? [] : ["velocity"]
    case .adam, .adamW: ["mean", "mean_square"]
    case .rmsprop(_, let momentum, _, let centered, _):
      ["mean_square"] + (centered ? ["mean"] : []) + (momentum == 0 ? [] : ["velocity"])
    }
  }
}

/// What becomes of gradients that are too large.
public enum GradientClipping: Sendable, Equatable {
  /// All are scaled alike, so that the norm of them together is this at most.
  case norm(Double)
  /// Each parameter's is scaled by itself, so that its norm is this at most.
  case normOfEach(Double)
  /// Each element is this at most, and its negative at least.
  case value(Double)
}

/// A moving average of the weights, which training keeps beside them.
public struct MovingAverage: Sendable, Equatable {
  /// How much of the average stays at each update, between 0 and 1.
  public var decay: Double
  /// After every so many updates the weights take the values of the average; nil for never.
  public var overwriteFrequency: Int?

  /// An average with this decay.
  public init(decay: Double = 0.99, overwriteFrequency: Int? = nil) {
    (self.decay, self.overwriteFrequency) = (decay, overwriteFrequency)
  }
}

/// An optimizer: the rule by which gradients change weights, and what is done beside it.
///
///     .adam(learningRate: 1e-3)
///     .sgd(learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4)
public struct OptimizerSettings: Sendable, Equatable {
  /// The update rule.
  public var rule: OptimizerRule
  /// The learning rate, where no schedule says otherwise.
  public var learningRate: Double
  /// The strength of weight decay.
  public var weightDecay: Double
  /// Whether decay shrinks the weights directly instead of adding to the gradient.
  public var decoupled: Bool
  /// Whether biases and normalisation parameters decay too.
  public var decaysAll = false
  /// What becomes of gradients that are too large; nil: they are taken as they are.
  public var clipping: GradientClipping?
  /// The moving average of the weights; nil for none.
  public var movingAverage: MovingAverage?
  /// How many steps it takes for one update, which is made with the mean of their gradients.
  public var gradientAccumulationSteps: Int

  /// An optimizer with this rule.
  public init(
    _ rule: OptimizerRule, learningRate: Double, weightDecay: Double = 0, decoupled: Bool = false,
    clipping: GradientClipping? = nil, movingAverage: MovingAverage? = nil, gradientAccumulationSteps: Int = 1
  ) {
    (self.rule, self.learningRate) = (rule, learningRate)
    (self.weightDecay, self.decoupled) = (weightDecay, decoupled)
    (self.clipping, self.movingAverage) = (clipping, movingAverage)
    self.gradientAccumulationSteps = gradientAccumulationSteps
  }

  /// Stochastic gradient descent, the velocity as PyTorch's.
  public static func sgd(
    learningRate: Double = 0.01, momentum: Double = 0, nesterov: Bool = false, weightDecay: Double = 0,
    clipping: GradientClipping? = nil, movingAverage: MovingAverage? = nil,
    gradientAccumulationSteps: Int = 1
  ) -> OptimizerSettings {
    OptimizerSettings(
      .sgd(momentum: momentum, nesterov: nesterov), learningRate: learningRate, weightDecay: weightDecay,
      clipping: clipping, movingAverage: movingAverage, gradientAccumulationSteps: gradientAccumulationSteps)
  }

  /// Adam (Kingma and Ba 2015); weight decay adds to the gradient.
  public static func adam(
    learningRate: Double = 0.001, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-7,
    weightDecay: Double = 0, clipping: GradientClipping? = nil, movingAverage: MovingAverage? = nil,
    gradientAccumulationSteps: Int = 1
  ) -> OptimizerSettings {
    OptimizerSettings(
      .adam(beta1: beta1, beta2: beta2, epsilon: epsilon), learningRate: learningRate, weightDecay: weightDecay,
      clipping: clipping, movingAverage: movingAverage, gradientAccumulationSteps: gradientAccumulationSteps)
  }

  /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
  public static func adamW(
    learningRate: Double = 0.001, weightDecay: Double = 0.01, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double = 1e-7, clipping: GradientClipping? = nil, movingAverage: MovingAverage? = nil,
    gradientAccumulationSteps: Int = 1
  ) -> OptimizerSettings {
    OptimizerSettings(
      .adamW(beta1: beta1, beta2: beta2, epsilon: epsilon), learningRate: learningRate, weightDecay: weightDecay,
      decoupled: true, clipping: clipping, movingAverage: movingAverage,
      gradientAccumulationSteps: gradientAccumulationSteps)
  }

  /// RMSprop (Tieleman and Hinton 2012).
  public static func rmsprop(
    learningRate: Double = 0.001, rho: Double = 0.9, momentum: Double = 0, epsilon: Double = 1e-7,
    centered: Bool = false, weightDecay: Double = 0, clipping: GradientClipping? = nil,
    movingAverage: MovingAverage? = nil, gradientAccumulationSteps: Int = 1
  ) -> OptimizerSettings {
    OptimizerSettings(
      .rmsprop(rho: rho, momentum: momentum, epsilon: epsilon, centered: centered), learningRate: learningRate,
      weightDecay: weightDecay, clipping: clipping, movingAverage: movingAverage,
      gradientAccumulationSteps: gradientAccumulationSteps)
  }

  /// The name that it has in files and in the other languages.
  public var name: String {
    switch rule {
    case .sgd: "sgd"
    case .adam: "adam"
    case .adamW: "adamw"
    case .rmsprop: "rmsprop"
    }
  }

  /// The optimizers by name, with their defaults.
  fileprivate static let named: [OptimizerSettings] = [.sgd(), .adam(), .adamW(), .rmsprop()]

  /// Reads the optimizer of that name with its settings, as `include/swiftcnn.h` lists them.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the setting.
  package init(name: String, settings: JSONObject = JSONObject()) throws(CNNError) {
    try self.init(named: name, settings)
  }
}

extension OptimizerSettings: Named {
  static let sort = "optimizer"
  static var names: [String] { named.map(\.name) }

  init?(usual name: String) {
    guard let usual = Self.named.first(where: { $0.name == name }) else { return nil }
    self = usual
  }

  var optionName: String { name }

  var documentation: String {
    switch rule {
    case .sgd: "Gradient descent with momentum, or Nesterov's form of it (Sutskever et al. 2013)."
    case .adam: "Adaptive moments (Kingma and Ba 2015)."
    case .adamW: "Adam with decoupled weight decay (Loshchilov and Hutter 2019)."
    case .rmsprop: "Gradients divided by a moving average of their magnitude (Tieleman and Hinton 2012)."
    }
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.number(
      "learning_rate", &learningRate, in: .atLeast(0), "The learning rate, where no schedule says otherwise.")
    try rule.visit(&options)
    let kerasDecay: Double? = if case .adamW = rule { 0.004 } else { nil }
    try options.number(
      "weight_decay", &weightDecay, in: .atLeast(0), keras: kerasDecay, "The strength of weight decay.")
    try options.flag(
      "decoupled", &decoupled, keras: true,
      "Whether decay is weight -= learning_rate * weight_decay * weight, not gradient += weight_decay * weight.")
    try options.flag("decay_all", &decaysAll, keras: true, "Whether biases and normalisation parameters decay too.")
    try visitClipping(&options)
    var decay = movingAverage?.decay, frequency = movingAverage?.overwriteFrequency
    try options.number(
      "ema_decay", swift: "movingAverage.decay", &decay, in: .between(0, 1),
      "The share of the old moving average of the weights kept at a step.")
    try options.integer(
      "ema_overwrite", swift: "movingAverage.overwriteFrequency", &frequency, in: .atLeast(1),
      "After every so many updates the weights take the values of their moving average.")
    try options.integer(
      "gradient_accumulation_steps", &gradientAccumulationSteps, in: .atLeast(1),
      "So many steps make one update, with the mean of their gradients, as one batch of all their samples would: for "
        + "batches for which there is no memory. The count goes on from epoch to epoch. Schedules count steps, the "
        + "moving average updates.")
    movingAverage = decay.map { MovingAverage(decay: $0, overwriteFrequency: frequency) }
  }

  private mutating func visitClipping(_ options: inout OptionReader) throws(CNNError) {
    var norm: Double?, each: Double?, value: Double?
    switch clipping {
    case .norm(let limit): norm = limit
    case .normOfEach(let limit): each = limit
    case .value(let limit): value = limit
    case nil: break
    }
    try options.number(
      "clip_norm", swift: "clipping", &norm, in: .above(0),
      "The largest norm of all gradients together; at most one of the three limits is given.")
    try options.number(
      "clip_norm_each", swift: "clipping", &each, in: .above(0), "The largest norm of each parameter's gradient.")
    try options.number(
      "clip_value", swift: "clipping", &value, in: .above(0), "The largest size of each element of a gradient.")
    clipping = try OptionReader.onlyOne(
      of: [
        "clip_norm": norm.map { GradientClipping.norm($0) }, "clip_norm_each": each.map { .normOfEach($0) },
        "clip_value": value.map { .value($0) },
      ], expected: "one of them at most")
  }
}

extension OptimizerRule {
  fileprivate mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    switch self {
    case .sgd(var momentum, var nesterov, var rateInVelocity):
      try options.number("momentum", &momentum, in: .within(0...1), "The share of the velocity kept at a step.")
      try options.flag("nesterov", &nesterov, "Whether the gradient is taken as if the velocity had acted already.")
      try options.flag(
        "rate_in_velocity", &rateInVelocity, keras: true,
        "Whether the velocity is one of steps, as Keras's, not of gradients, as PyTorch's.")
      if options.purpose != .describing, nesterov, momentum == 0 {
        throw CNNError(.invalidArgument, "momentum is \(momentum); expected above 0, since nesterov is set")
      }
      self = .sgd(momentum: momentum, nesterov: nesterov, rateInVelocity: rateInVelocity)
    case .adam(var beta1, var beta2, var epsilon, var epsilonHat),
      .adamW(var beta1, var beta2, var epsilon, var epsilonHat):
      try options.number("beta_1", &beta1, in: .within(0..<1), "The share of the old mean of gradients kept at a step.")
      try options.number(
        "beta_2", &beta2, in: .within(0..<1), "The share of the old mean of their squares kept at a step.")
      try options.number("epsilon", &epsilon, in: .within(0...1), "Added to the root that is divided by.")
      try options.flag(
        "epsilon_hat", &epsilonHat, keras: true,
        "Whether epsilon is added before the bias is corrected, as Keras does, not after it, as PyTorch.")
      let isAdamW = if case .adamW = self { true } else { false }
      self =
        isAdamW
        ? .adamW(beta1: beta1, beta2: beta2, epsilon: epsilon, epsilonHat: epsilonHat)
        : .adam(beta1: beta1, beta2: beta2, epsilon: epsilon, epsilonHat: epsilonHat)
    case .rmsprop(var rho, var momentum, var epsilon, var centered, var epsilonInsideRoot):
      try options.number("rho", &rho, in: .within(0...1), "The share of the old mean of squares kept at a step.")
      try options.number("momentum", &momentum, in: .within(0...1), "The share of the velocity kept at a step.")
      try options.number("epsilon", &epsilon, in: .within(0...1), "Added to the root that is divided by.")
      try options.flag("centered", &centered, "Whether the gradients' variance stands in place of their mean square.")
      try options.flag(
        "epsilon_inside_root", &epsilonInsideRoot, keras: true,
        "Whether epsilon is added inside the root, as Keras does, not to it, as PyTorch.")
      self = .rmsprop(
        rho: rho, momentum: momentum, epsilon: epsilon, centered: centered, epsilonInsideRoot: epsilonInsideRoot)
    }
  }
}

/// An optimizer at work: its settings and what it remembers of past gradients.
final class Optimizer {
  let settings: OptimizerSettings
  /// What it remembers, by the slot's name; each as large as the parameters.
  private(set) var slots: [String: ParameterStorage]
  /// The moving average of the parameters, where one is kept.
  private(set) var average: ParameterStorage?
  /// The sums of the gradients since the last update, where it takes several steps for one.
  private(set) var gradientSums: ParameterStorage?
  /// Whether the parameters and their average have each other's values now.
  var isExchanged = false

  init(_ settings: OptimizerSettings, parameters: ParameterStorage) throws(CNNError) {
    self.settings = settings
    var slots: [String: ParameterStorage] = [:]
    for name in settings.rule.slotNames { slots[name] = try ParameterStorage(parameters.parameters) }
    self.slots = slots
    average = settings.movingAverage == nil ? nil : try parameters.copy()
    gradientSums = settings.gradientAccumulationSteps == 1 ? nil : try ParameterStorage(parameters.parameters)
  }

  /// Puts other storage in the place of each; all or none.
  func replaceStorage(_ replacement: (ParameterStorage) throws(CNNError) -> ParameterStorage) throws(CNNError) {
    var slots = self.slots
    for (name, storage) in slots { slots[name] = try replacement(storage) }
    let average = try average.map { (storage) throws(CNNError) in try replacement(storage) }
    let sums = try gradientSums.map { (storage) throws(CNNError) in try replacement(storage) }
    (self.slots, self.average, gradientSums) = (slots, average, sums)
  }

  /// The tensors to be saved, by name.
  var state: [(name: String, storage: ParameterStorage)] {
    settings.rule.slotNames.compactMap { name in slots[name].map { (name, $0) } }
      + (average.map { [("ema", $0)] } ?? []) + (gradientSums.map { [("gradient_sum", $0)] } ?? [])
  }

  /// A gradient and the position of its parameter.
  typealias Gradient = (position: Int, values: UnsafeBufferPointer<Float>)

  /// Changes the parameters by what a training step has found, or keeps that until it is enough for an update.
  /// - Parameters:
  ///   - squares: the sum of squares of each gradient.
  ///   - step: how many steps were done before.
  func takeStep(
    _ parameters: ParameterStorage, gradients: [Gradient], squares: [Double], rate: Double, step: Int, workers: Workers
  ) {
    guard let gradientSums else {
      return update(
        parameters, gradients: gradients, squares: squares, rate: rate, number: step + 1, workers: workers)
    }
    let (number, stepsSince) = (step + 1).quotientAndRemainder(dividingBy: settings.gradientAccumulationSteps)
    let updates = stepsSince == 0
    OptimizerUpdates.accumulate(
      gradients.map { ($0.values, gradientSums.values(at: $0.position)) },
      scale: updates ? 1 / Double(settings.gradientAccumulationSteps) : 1, workers: workers)
    guard updates else { return }
    let means = gradients.map { Gradient($0.position, UnsafeBufferPointer(gradientSums.values(at: $0.position))) }
    update(
      parameters, gradients: means,
      squares: OptimizerUpdates.sumsOfSquares(of: means.map(\.values), workers: workers), rate: rate, number: number,
      workers: workers)
    for position in parameters.parameters.indices { gradientSums.values(at: position).update(repeating: 0) }
  }

  /// Changes the parameters, and their moving average in the same pass.
  /// - Parameter number: of the update, counted from 1, as Adam's bias correction needs.
  private func update(
    _ parameters: ParameterStorage, gradients: [Gradient], squares: [Double], rate: Double, number: Int,
    workers: Workers
  ) {
    let targets = targets(parameters, gradients, squares)
    let limit: Float = if case .value(let limit) = settings.clipping { Float(limit) } else { .infinity }
    // The first update's weights begin the average, as in Keras and in PyTorch's AveragedModel.
    let averageDecay = number == 1 ? 0 : settings.movingAverage?.decay ?? 0
    switch settings.rule {
    case .sgd(let momentum, let nesterov, let rateInVelocity):
      OptimizerUpdates.stochasticGradientDescent(
        targets,
        settings: .init(learningRate: rate, momentum: momentum, nesterov: nesterov, rateInVelocity: rateInVelocity),
        gradientLimit: limit, averageDecay: averageDecay, workers: workers)
    case .adam(let beta1, let beta2, let epsilon, let epsilonHat),
      .adamW(let beta1, let beta2, let epsilon, let epsilonHat):
      OptimizerUpdates.adam(
        targets, step: number,
        settings: .init(
          learningRate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon, addsEpsilonFirst: epsilonHat),
        gradientLimit: limit, averageDecay: averageDecay, workers: workers)
    case .rmsprop(let rho, let momentum, let epsilon, let centered, let epsilonInsideRoot):
      OptimizerUpdates.rmsprop(
        targets,
        settings: .init(
          learningRate: rate, decay: rho, epsilon: epsilon, momentum: momentum, centered: centered,
          convention: epsilonInsideRoot ? .tensorFlow : .pytorch),
        gradientLimit: limit, averageDecay: averageDecay, workers: workers)
    }
    for gradient in gradients { parameters.markChanged(at: gradient.position) }
    average?.markChanged()
    // Training has gone on from the values that were the weights.
    isExchanged = false
    if let average, let frequency = settings.movingAverage?.overwriteFrequency, number % frequency == 0 {
      apply(average, to: parameters)
    }
  }

  /// What an update changes: the parameters with a gradient, and all others whose average is kept.
  private func targets(_ parameters: ParameterStorage, _ gradients: [Gradient], _ squares: [Double])
    -> [OptimizerUpdates.Target]
  {
    let globalNorm = squares.reduce(0, +).squareRoot()
    var targets: [OptimizerUpdates.Target] = []
    targets.reserveCapacity(average == nil ? gradients.count : parameters.parameters.count)
    var isTrained = Array(repeating: false, count: average == nil ? 0 : parameters.parameters.count)
    for ((position, gradient), square) in zip(gradients, squares) {
      guard let base = gradient.baseAddress, let values = parameters.values(at: position).baseAddress else { continue }
      let decays = settings.weightDecay > 0 && (settings.decaysAll || parameters.parameters[position].role.isDecayed)
      let decay: OptimizerUpdates.WeightDecay =
        !decays
        ? .none : settings.decoupled ? .decoupled(strength: settings.weightDecay) : .l2(strength: settings.weightDecay)
      var target = OptimizerUpdates.Target(
        values, count: gradient.count, gradient: base,
        gradientScale: scale(norm: square.squareRoot(), globalNorm: globalNorm), weightDecay: decay)
      target.velocity = slots["velocity"]?.values(at: position).baseAddress
      target.mean = slots["mean"]?.values(at: position).baseAddress
      target.meanSquare = slots["mean_square"]?.values(at: position).baseAddress
      target.average = average?.values(at: position).baseAddress
      targets.append(target)
      if average != nil { isTrained[position] = true }
    }
    guard let average else { return targets }
    for position in parameters.parameters.indices where !isTrained[position] {
      let values = parameters.values(at: position)
      guard let base = values.baseAddress else { continue }
      var target = OptimizerUpdates.Target(base, count: values.count, gradient: nil)
      target.average = average.values(at: position).baseAddress
      targets.append(target)
    }
    return targets
  }

  /// Gives the parameters the values of their moving average.
  func applyAverage(to parameters: ParameterStorage) throws(CNNError) { apply(try keptAverage(), to: parameters) }

  private func apply(_ average: ParameterStorage, to parameters: ParameterStorage) {
    let (source, target) = isExchanged ? (parameters, average) : (average, parameters)
    for position in parameters.parameters.indices {
      _ = target.values(at: position).update(fromContentsOf: source.values(at: position))
    }
    isExchanged = false
    target.markChanged()
  }

  /// Where the moving average is: beside the parameters, or where it was exchanged with them, in their place.
  func averaged(_ parameters: ParameterStorage) throws(CNNError) -> ParameterStorage {
    let average = try keptAverage()
    return isExchanged ? parameters : average
  }

  private func keptAverage() throws(CNNError) -> ParameterStorage {
    guard let average else {
      throw CNNError(
        .invalidState,
        "no moving average of the weights is kept; compile with an optimizer that has "
          + "'\(option: "ema_decay", swift: "movingAverage")' first")
    }
    return average
  }

  /// What a gradient is multiplied by so that no norm is above its limit.
  private func scale(norm: Double, globalNorm: Double) -> Float {
    switch settings.clipping {
    case .normOfEach(let limit): Float(limit / max(norm, limit))
    // torch.nn.utils.clip_grad_norm_ adds the same 1e-6.
    case .norm(let limit): Float(min(1, limit / (globalNorm + 1e-6)))
    case .value, nil: 1
    }
  }

  /// Exchanges the parameters with their moving average.
  func swapAverage(with parameters: ParameterStorage) throws(CNNError) {
    let average = try keptAverage()
    for position in parameters.parameters.indices {
      let values = parameters.values(at: position), shadow = average.values(at: position)
      for index in values.indices { swap(&values[index], &shadow[index]) }
    }
    isExchanged.toggle()
    parameters.markChanged()
    average.markChanged()
  }
}
