import CNNCore
import Glibc

/// The learning rate as a function of the training step.
public enum LearningRateSchedule: Sendable, Equatable {
  /// The optimizer's own rate.
  case constant
  /// `rate * gamma` to the power of whole `stepSize`s passed.
  case step(stepSize: Int = 1000, gamma: Double = 0.1)
  /// `rate * decayRate` to the power of `step / decaySteps`.
  case exponential(decaySteps: Int = 1000, decayRate: Double = 0.96)
  /// A linear warm-up, then half a cosine down to `finalRate` (Loshchilov and Hutter, SGDR, 2017). The first step's rate
  /// is `warmupStart`, or where that is nil, `rate / warmupSteps`, so that no step is lost on a rate of 0.
  case cosine(totalSteps: Int? = nil, warmupSteps: Int = 0, warmupStart: Double? = nil, finalRate: Double = 0)
  /// Up from `maximum / divisor` to `maximum`, then down to that start over `finalDivisor`, both in half a cosine
  /// (Smith and Topin 2018; the form of PyTorch's OneCycleLR).
  case oneCycle(
    maximum: Double, totalSteps: Int? = nil, startShare: Double = 0.3, divisor: Double = 25, finalDivisor: Double = 1e4)

  /// The learning rate of step `step`, counted from 0.
  public func rate(at step: Int, base: Double) -> Double {
    let now = Double(step)
    switch self {
    case .constant:
      return base
    case .step(let stepSize, let gamma):
      return base * pow(gamma, Double(step / stepSize))
    case .exponential(let decaySteps, let decayRate):
      return base * pow(decayRate, now / Double(decaySteps))
    case .cosine(let totalSteps, let warmupSteps, let warmupStart, let finalRate):
      if step < warmupSteps {
        guard let warmupStart else { return base * (now + 1) / Double(warmupSteps) }
        return warmupStart + (base - warmupStart) * (now / Double(warmupSteps))
      }
      let length = Double(max(1, (totalSteps ?? 1) - warmupSteps))
      return Self.cosine(from: base, to: finalRate, share: (now - Double(warmupSteps)) / length)
    case .oneCycle(let maximum, let totalSteps, let startShare, let divisor, let finalDivisor):
      let total = Double(totalSteps ?? 1)
      let peak = startShare * total - 1, end = max(total - 1, 1)
      let start = maximum / divisor
      if now <= peak { return Self.cosine(from: start, to: maximum, share: now / max(peak, 1)) }
      return Self.cosine(from: maximum, to: start / finalDivisor, share: (now - peak) / max(end - peak, 1))
    }
  }

  private static func cosine(from start: Double, to end: Double, share: Double) -> Double {
    end + (start - end) / 2 * (1 + cos(Double.pi * min(max(share, 0), 1)))
  }

  /// Whether its length is left to `fit`.
  var isOpen: Bool {
    switch self {
    case .cosine(nil, _, _, _), .oneCycle(_, nil, _, _, _): true
    default: false
    }
  }

  /// The same schedule over `steps` steps where it was left open.
  func over(steps: Int) -> LearningRateSchedule {
    switch self {
    case .cosine(nil, let warmupSteps, let warmupStart, let finalRate):
      .cosine(totalSteps: steps, warmupSteps: warmupSteps, warmupStart: warmupStart, finalRate: finalRate)
    case .oneCycle(let maximum, nil, let startShare, let divisor, let finalDivisor):
      .oneCycle(
        maximum: maximum, totalSteps: steps, startShare: startShare, divisor: divisor, finalDivisor: finalDivisor)
    default: self
    }
  }
}

extension LearningRateSchedule {
  /// Reads the schedule of that name.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the setting.
  init(name: String, settings: JSONObject) throws(CNNError) {
    var result = LearningRateSchedule.constant
    try OptionReader.read(settings) { (options) throws(CNNError) in
      switch name {
      case "constant":
        result = .constant
      case "step":
        result = .step(
          stepSize: try options.integer("step_size", 1000), gamma: try options.number("gamma", 0.1))
      case "exponential":
        result = .exponential(
          decaySteps: try options.integer("decay_steps", 1000), decayRate: try options.number("decay_rate", 0.96))
      case "cosine":
        result = .cosine(
          totalSteps: try options.take("total_steps", JSONObject.optionalInteger),
          warmupSteps: try options.integer("warmup_steps", 0),
          warmupStart: try options.optionalNumber("warmup_start"), finalRate: try options.number("final_rate", 0))
      case "one_cycle":
        result = .oneCycle(
          maximum: try options.number("maximum", 0),
          totalSteps: try options.take("total_steps", JSONObject.optionalInteger),
          startShare: try options.number("start_share", 0.3), divisor: try options.number("divisor", 25),
          finalDivisor: try options.number("final_divisor", 1e4))
      default:
        throw unknownName("schedule", name, among: ["constant", "step", "exponential", "cosine", "one_cycle"])
      }
    }
    try result.validate()
    self = result
  }

  /// Throws `.invalidArgument` naming a constant that is out of its domain.
  func validate() throws(CNNError) {
    func check(_ isValid: Bool, _ name: String, _ value: some CustomStringConvertible, _ expected: String)
      throws(CNNError)
    {
      if !isValid { throw CNNError(.invalidArgument, "\(name) is \(value); expected \(expected)") }
    }
    switch self {
    case .constant: break
    case .step(let stepSize, let gamma):
      try check(stepSize >= 1, "step_size", stepSize, "1 or more")
      try check(gamma >= 0 && gamma.isFinite, "gamma", gamma, "0 or more")
    case .exponential(let decaySteps, let decayRate):
      try check(decaySteps >= 1, "decay_steps", decaySteps, "1 or more")
      try check(decayRate >= 0 && decayRate.isFinite, "decay_rate", decayRate, "0 or more")
    case .cosine(let totalSteps, let warmupSteps, let warmupStart, let finalRate):
      let start = warmupStart ?? 0
      try check(start >= 0 && start.isFinite, "warmup_start", start, "0 or more")
      try check(totalSteps ?? 1 >= 1, "total_steps", totalSteps ?? 1, "1 or more")
      try check(warmupSteps >= 0, "warmup_steps", warmupSteps, "0 or more")
      try check(finalRate >= 0 && finalRate.isFinite, "final_rate", finalRate, "0 or more")
    case .oneCycle(let maximum, let totalSteps, let startShare, let divisor, let finalDivisor):
      try check(maximum > 0 && maximum.isFinite, "maximum", maximum, "a rate above 0")
      try check(totalSteps ?? 1 >= 1, "total_steps", totalSteps ?? 1, "1 or more")
      try check((0...1).contains(startShare), "start_share", startShare, "0 to 1")
      try check(divisor > 0 && divisor.isFinite, "divisor", divisor, "above 0")
      try check(finalDivisor > 0 && finalDivisor.isFinite, "final_divisor", finalDivisor, "above 0")
    }
  }

  /// The form that `init(name:settings:)` reads.
  var json: JSON {
    var object = JSONObject()
    func steps(_ count: Int?) -> JSON { count.map { .integer(Int64($0)) } ?? .null }
    switch self {
    case .constant:
      object["name"] = "constant"
    case .step(let stepSize, let gamma):
      object["name"] = "step"
      object["step_size"] = steps(stepSize)
      object["gamma"] = .number(gamma)
    case .exponential(let decaySteps, let decayRate):
      object["name"] = "exponential"
      object["decay_steps"] = steps(decaySteps)
      object["decay_rate"] = .number(decayRate)
    case .cosine(let totalSteps, let warmupSteps, let warmupStart, let finalRate):
      object["name"] = "cosine"
      object["total_steps"] = steps(totalSteps)
      object["warmup_steps"] = steps(warmupSteps)
      object["warmup_start"] = warmupStart.map { .number($0) } ?? .null
      object["final_rate"] = .number(finalRate)
    case .oneCycle(let maximum, let totalSteps, let startShare, let divisor, let finalDivisor):
      object["name"] = "one_cycle"
      object["maximum"] = .number(maximum)
      object["total_steps"] = steps(totalSteps)
      object["start_share"] = .number(startShare)
      object["divisor"] = .number(divisor)
      object["final_divisor"] = .number(finalDivisor)
    }
    return .object(object)
  }
}
