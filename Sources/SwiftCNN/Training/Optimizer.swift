import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels

/// The rule by which gradients change weights.
public enum OptimizerRule: Sendable, Equatable {
  /// Stochastic gradient descent, in PyTorch's form.
  case sgd(momentum: Double, nesterov: Bool)
  /// Adam (Kingma and Ba 2015); with decoupled weight decay AdamW (Loshchilov and Hutter 2019).
  case adam(beta1: Double, beta2: Double, epsilon: Double)
  /// RMSprop (Tieleman and Hinton 2012).
  case rmsprop(rho: Double, momentum: Double, epsilon: Double, centered: Bool, epsilonInsideRoot: Bool)

  /// The tensors it keeps for each parameter.
  var slotNames: [String] {
    switch self {
    case .sgd(let momentum, _): momentum == 0 ? [] : ["velocity"]
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
  /// The decay of the moving average of the weights; nil for none.
  public var emaDecay: Double?

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
      learningRate = try options.share("learning_rate", learningRate, upTo: .greatestFiniteMagnitude)
      weightDecay = try options.share("weight_decay", weightDecay, upTo: .greatestFiniteMagnitude)
      decoupled = try options.flag("decoupled", decoupled)
      decaysAll = try options.flag("decay_all", false)
      clipNorm = try options.optionalNumber("clip_norm")
      emaDecay = try options.optionalNumber("ema_decay")
      switch name {
      case "sgd":
        let momentum = try options.share("momentum", 0, upTo: 1)
        let nesterov = try options.flag("nesterov", false)
        guard !nesterov || momentum > 0 else {
          throw CNNError(.invalidArgument, "nesterov needs a momentum above 0")
        }
        rule = .sgd(momentum: momentum, nesterov: nesterov)
      case "rmsprop":
        rule = .rmsprop(
          rho: try options.share("rho", 0.9, upTo: 1), momentum: try options.share("momentum", 0, upTo: 1),
          epsilon: try options.share("epsilon", 1e-7, upTo: 1), centered: try options.flag("centered", false),
          epsilonInsideRoot: try options.flag("epsilon_inside_root", false))
      default:
        let beta1 = try options.share("beta_1", 0.9, upTo: 1), beta2 = try options.share("beta_2", 0.999, upTo: 1)
        guard beta1 < 1, beta2 < 1 else {
          throw CNNError(.invalidArgument, "beta_1 is \(beta1), beta_2 \(beta2); expected below 1")
        }
        rule = .adam(beta1: beta1, beta2: beta2, epsilon: try options.share("epsilon", 1e-7, upTo: 1))
      }
    }
    if let clipNorm, !(clipNorm > 0) {
      throw CNNError(.invalidArgument, "clip_norm is \(clipNorm); expected above 0")
    }
    if let emaDecay, !(emaDecay > 0 && emaDecay < 1) {
      throw CNNError(.invalidArgument, "ema_decay is \(emaDecay); expected between 0 and 1")
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
    object["ema_decay"] = emaDecay.map { .number($0) } ?? .null
    switch rule {
    case .sgd(let momentum, let nesterov):
      object["momentum"] = .number(momentum)
      object["nesterov"] = .bool(nesterov)
    case .adam(let beta1, let beta2, let epsilon):
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

  /// Changes the parameters by one step.
  /// - Parameters:
  ///   - gradients: a gradient and the position of its parameter.
  ///   - norm: the global norm of the gradients.
  ///   - step: counted from 1, as Adam's bias correction needs.
  func update(
    _ parameters: ParameterStorage, gradients: [(position: Int, values: UnsafeBufferPointer<Float>)], norm: Double,
    rate: Double, step: Int, workers: Workers
  ) {
    // torch.nn.utils.clip_grad_norm_ adds the same 1e-6.
    let scale = settings.clipNorm.map { Float(min(1, $0 / (norm + 1e-6))) } ?? 1
    for (position, gradient) in gradients {
      let parameter = parameters.parameters[position]
      guard parameter.isTrainable, let g = gradient.baseAddress,
        let p = parameters.values(at: position).baseAddress
      else { continue }
      let decays = settings.weightDecay > 0 && (settings.decaysAll || parameter.role.isDecayed)
      let decay: OptimizerUpdates.WeightDecay =
        !decays
        ? .none : settings.decoupled ? .decoupled(strength: settings.weightDecay) : .l2(strength: settings.weightDecay)
      func slot(_ name: String) -> UnsafeMutablePointer<Float>? { slots[name]?.values(at: position).baseAddress }
      switch settings.rule {
      case .sgd(let momentum, let nesterov):
        OptimizerUpdates.stochasticGradientDescent(
          parameter: p, gradient: g, velocity: slot("velocity"), count: gradient.count,
          settings: .init(learningRate: rate, momentum: momentum, nesterov: nesterov, weightDecay: decay),
          gradientScale: scale, workers: workers)
      case .adam(let beta1, let beta2, let epsilon):
        guard let mean = slot("mean"), let meanSquare = slot("mean_square") else { continue }
        OptimizerUpdates.adam(
          parameter: p, gradient: g, mean: mean, meanSquare: meanSquare, step: step, count: gradient.count,
          settings: .init(learningRate: rate, beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: decay),
          gradientScale: scale, workers: workers)
      case .rmsprop(let rho, let momentum, let epsilon, let centered, let epsilonInsideRoot):
        guard let meanSquare = slot("mean_square") else { continue }
        OptimizerUpdates.rmsprop(
          parameter: p, gradient: g, meanSquare: meanSquare, mean: slot("mean"), velocity: slot("velocity"),
          count: gradient.count,
          settings: .init(
            learningRate: rate, decay: rho, epsilon: epsilon, momentum: momentum, centered: centered,
            convention: epsilonInsideRoot ? .tensorFlow : .pytorch, weightDecay: decay),
          gradientScale: scale, workers: workers)
      }
    }
    parameters.markChanged()
    if let average, let emaDecay = settings.emaDecay {
      for position in parameters.parameters.indices {
        let values = parameters.values(at: position)
        guard let p = values.baseAddress, let shadow = average.values(at: position).baseAddress else { continue }
        OptimizerUpdates.movingAverage(shadow, of: p, decay: emaDecay, count: values.count, workers: workers)
      }
    }
  }

  /// Exchanges the parameters with their moving average.
  func swapAverage(with parameters: ParameterStorage) throws(CNNError) {
    guard let average else {
      throw CNNError(.invalidState, "no moving average is kept; compile with 'ema_decay' first")
    }
    for position in parameters.parameters.indices {
      let values = parameters.values(at: position), shadow = average.values(at: position)
      for index in values.indices { swap(&values[index], &shadow[index]) }
    }
    parameters.markChanged()
  }
}
