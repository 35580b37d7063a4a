import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels

/// The rule by which gradients change weights.
public enum OptimizerRule: Sendable, Equatable {
  /// Stochastic gradient descent. With `rateInVelocity` the velocity is one of steps, as Keras's, otherwise of gradients,
  /// as PyTorch's.
  case sgd(momentum: Double, nesterov: Bool, rateInVelocity: Bool = false)
  /// Adam (Kingma and Ba 2015); with decoupled weight decay AdamW (Loshchilov and Hutter 2019).
  /// `epsilonHat` adds epsilon before the bias is corrected, as in the paper's section 2 and Keras.
  case adam(beta1: Double, beta2: Double, epsilon: Double, epsilonHat: Bool = false)
  /// RMSprop (Tieleman and Hinton 2012).
  case rmsprop(rho: Double, momentum: Double, epsilon: Double, centered: Bool, epsilonInsideRoot: Bool)

  /// The tensors it keeps for each parameter.
  var slotNames: [String] {
    switch self {
    case .sgd(let momentum, _, _): momentum == 0 ? [] : ["velocity"]
    case .adam: ["mean", "mean_square"]
    case .rmsprop(_, let momentum, _, let centered, _):
      ["mean_square"] + (centered ? ["mean"] : []) + (momentum == 0 ? [] : ["velocity"])
    }
  }
}

/// An optimizer's settings.
public struct OptimizerSettings: Sendable, Equatable {
  /// The name it was asked for by.
  public var name: String
  /// The update rule.
  public var rule: OptimizerRule
  /// The learning rate, where no schedule says otherwise.
  public var learningRate: Double
  /// The strength of weight decay.
  public var weightDecay: Double
  /// Whether decay shrinks the weights directly instead of adding to the gradient.
  public var decoupled: Bool
  /// Whether biases and normalisation parameters decay too.
  public var decaysAll: Bool
  /// The largest global norm of the gradient; nil for no clipping.
  public var clipNorm: Double?
  /// The largest norm of each parameter's gradient by itself; nil for no clipping.
  public var clipNormEach: Double?
  /// The largest size of each element of a gradient; nil for no clipping.
  public var clipValue: Double?
  /// The decay of the moving average of the weights; nil for none.
  public var emaDecay: Double?
  /// After every so many steps the weights take the values of their moving average; nil for never.
  public var emaOverwrite: Int?

  static let names = ["sgd", "adam", "adamw", "rmsprop"]

  /// Reads the optimizer of that name with its settings, as `include/swiftcnn.h` lists them.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the setting.
  public init(name: String, settings: JSONObject = JSONObject()) throws(CNNError) {
    guard Self.names.contains(name) else { throw unknownName("optimizer", name, among: Self.names) }
    self.name = name
    rule = .sgd(momentum: 0, nesterov: false)
    learningRate = name == "sgd" ? 0.01 : 0.001
    (weightDecay, decoupled, decaysAll) = (name == "adamw" ? 0.01 : 0, name == "adamw", false)
    try OptionReader.read(settings) { (options) throws(CNNError) in
      learningRate = try options.number("learning_rate", learningRate)
      weightDecay = try options.number("weight_decay", weightDecay)
      decoupled = try options.flag("decoupled", decoupled)
      decaysAll = try options.flag("decay_all", false)
      clipNorm = try options.optionalNumber("clip_norm")
      clipNormEach = try options.optionalNumber("clip_norm_each")
      clipValue = try options.optionalNumber("clip_value")
      emaDecay = try options.optionalNumber("ema_decay")
      emaOverwrite = try options.take("ema_overwrite", JSONObject.optionalInteger)
      switch name {
      case "sgd":
        rule = .sgd(
          momentum: try options.number("momentum", 0), nesterov: try options.flag("nesterov", false),
          rateInVelocity: try options.flag("rate_in_velocity", false))
      case "rmsprop":
        rule = .rmsprop(
          rho: try options.number("rho", 0.9), momentum: try options.number("momentum", 0),
          epsilon: try options.number("epsilon", 1e-7), centered: try options.flag("centered", false),
          epsilonInsideRoot: try options.flag("epsilon_inside_root", false))
      default:
        rule = .adam(
          beta1: try options.number("beta_1", 0.9), beta2: try options.number("beta_2", 0.999),
          epsilon: try options.number("epsilon", 1e-7), epsilonHat: try options.flag("epsilon_hat", false))
      }
    }
    try validate()
  }

  /// Throws `.invalidArgument` naming a constant that is out of its domain.
  func validate() throws(CNNError) {
    func check(_ isValid: Bool, _ name: String, _ value: Double, _ expected: String) throws(CNNError) {
      if !isValid { throw CNNError(.invalidArgument, "\(name) is \(value); expected \(expected)") }
    }
    try check(learningRate >= 0 && learningRate.isFinite, "learning_rate", learningRate, "0 or more")
    try check(weightDecay >= 0 && weightDecay.isFinite, "weight_decay", weightDecay, "0 or more")
    var clippings: [String] = []
    for (name, limit) in [("clip_norm", clipNorm), ("clip_norm_each", clipNormEach), ("clip_value", clipValue)] {
      guard let limit else { continue }
      try check(limit > 0, name, limit, "above 0")
      clippings.append(name)
    }
    guard clippings.count <= 1 else {
      throw CNNError(
        .invalidArgument, "\(clippings.joined(separator: " and ")) are given; expected one of them at most")
    }
    if let emaOverwrite { try check(emaOverwrite >= 1, "ema_overwrite", Double(emaOverwrite), "1 or more") }
    if let emaDecay { try check(emaDecay > 0 && emaDecay < 1, "ema_decay", emaDecay, "between 0 and 1") }
    switch rule {
    case .sgd(let momentum, let nesterov, _):
      try check((0...1).contains(momentum), "momentum", momentum, "0 to 1")
      if nesterov { try check(momentum > 0, "momentum", momentum, "above 0, since nesterov is set") }
    case .adam(let beta1, let beta2, let epsilon, _):
      try check((0..<1).contains(beta1), "beta_1", beta1, "0 or more and below 1")
      try check((0..<1).contains(beta2), "beta_2", beta2, "0 or more and below 1")
      try check((0...1).contains(epsilon), "epsilon", epsilon, "0 to 1")
    case .rmsprop(let rho, let momentum, let epsilon, _, _):
      try check((0...1).contains(rho), "rho", rho, "0 to 1")
      try check((0...1).contains(momentum), "momentum", momentum, "0 to 1")
      try check((0...1).contains(epsilon), "epsilon", epsilon, "0 to 1")
    }
  }

  /// The form that `init(name:settings:)` reads.
  var json: JSON {
    var object = JSONObject()
    object["name"] = .string(name)
    object["learning_rate"] = .number(learningRate)
    object["weight_decay"] = .number(weightDecay)
    object["decoupled"] = .bool(decoupled)
    object["decay_all"] = .bool(decaysAll)
    object["clip_norm"] = clipNorm.map { .number($0) } ?? .null
    object["clip_norm_each"] = clipNormEach.map { .number($0) } ?? .null
    object["clip_value"] = clipValue.map { .number($0) } ?? .null
    object["ema_decay"] = emaDecay.map { .number($0) } ?? .null
    object["ema_overwrite"] = emaOverwrite.map { .integer(Int64($0)) } ?? .null
    switch rule {
    case .sgd(let momentum, let nesterov, let rateInVelocity):
      object["rate_in_velocity"] = .bool(rateInVelocity)
      object["momentum"] = .number(momentum)
      object["nesterov"] = .bool(nesterov)
    case .adam(let beta1, let beta2, let epsilon, let epsilonHat):
      object["epsilon_hat"] = .bool(epsilonHat)
      object["beta_1"] = .number(beta1)
      object["beta_2"] = .number(beta2)
      object["epsilon"] = .number(epsilon)
    case .rmsprop(let rho, let momentum, let epsilon, let centered, let epsilonInsideRoot):
      object["rho"] = .number(rho)
      object["momentum"] = .number(momentum)
      object["epsilon"] = .number(epsilon)
      object["centered"] = .bool(centered)
      object["epsilon_inside_root"] = .bool(epsilonInsideRoot)
    }
    return .object(object)
  }
}

/// An optimizer at work: its settings and what it remembers of past gradients.
final class Optimizer {
  let settings: OptimizerSettings
  /// What it remembers, by the slot's name; each as large as the parameters.
  let slots: [String: ParameterStorage]
  /// The moving average of the parameters, where one is kept.
  let average: ParameterStorage?
  /// Whether the parameters and their average have each other's values now.
  var isExchanged = false

  init(_ settings: OptimizerSettings, parameters: ParameterStorage) throws(CNNError) {
    self.settings = settings
    var slots: [String: ParameterStorage] = [:]
    for name in settings.rule.slotNames { slots[name] = try ParameterStorage(parameters.parameters) }
    self.slots = slots
    average = settings.emaDecay == nil ? nil : try parameters.copy()
  }

  /// The tensors to be saved, by name.
  var state: [(name: String, storage: ParameterStorage)] {
    settings.rule.slotNames.compactMap { name in slots[name].map { (name, $0) } }
      + (average.map { [("ema", $0)] } ?? [])
  }

  /// Changes the parameters by one step, and their moving average in the same pass.
  /// - Parameters:
  ///   - gradients: a gradient and the position of its parameter.
  ///   - squares: the sum of squares of each gradient.
  ///   - step: counted from 1, as Adam's bias correction needs.
  func update(
    _ parameters: ParameterStorage, gradients: [(position: Int, values: UnsafeBufferPointer<Float>)],
    squares: [Double], rate: Double, step: Int, workers: Workers
  ) {
    let targets = targets(parameters, gradients, squares)
    let limit = settings.clipValue.map { Float($0) } ?? .infinity
    // The first step's weights begin the average, as in Keras and in PyTorch's AveragedModel.
    let averageDecay = step == 1 ? 0 : settings.emaDecay ?? 0
    switch settings.rule {
    case .sgd(let momentum, let nesterov, let rateInVelocity):
      OptimizerUpdates.stochasticGradientDescent(
        targets,
        settings: .init(learningRate: rate, momentum: momentum, nesterov: nesterov, rateInVelocity: rateInVelocity),
        gradientLimit: limit, averageDecay: averageDecay, workers: workers)
    case .adam(let beta1, let beta2, let epsilon, let epsilonHat):
      OptimizerUpdates.adam(
        targets, step: step,
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
    if let average, let frequency = settings.emaOverwrite, step % frequency == 0 { apply(average, to: parameters) }
  }

  /// What an update changes: the parameters with a gradient, and all others whose average is kept.
  private func targets(
    _ parameters: ParameterStorage, _ gradients: [(position: Int, values: UnsafeBufferPointer<Float>)],
    _ squares: [Double]
  ) -> [OptimizerUpdates.Target] {
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
        .invalidState, "no moving average of the weights is kept; compile with an optimizer that has 'ema_decay' first")
    }
    return average
  }

  /// What a gradient is multiplied by so that no norm is above its limit.
  private func scale(norm: Double, globalNorm: Double) -> Float {
    if let limit = settings.clipNormEach { return Float(limit / max(norm, limit)) }
    // torch.nn.utils.clip_grad_norm_ adds the same 1e-6.
    return settings.clipNorm.map { Float(min(1, $0 / (globalNorm + 1e-6))) } ?? 1
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
