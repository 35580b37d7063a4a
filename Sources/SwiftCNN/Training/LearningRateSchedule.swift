import CNNCore
import Glibc

/// The learning rate as a function of the training step.
public enum LearningRateSchedule: Sendable, Equatable {
  /// The optimizer's own rate.
  case constant
  /// `rate * gamma` to the power of whole `stepSize`s passed.
  case step(stepSize: Int, gamma: Double)
  /// `rate * decayRate` to the power of `step / decaySteps`.
  case exponential(decaySteps: Int, decayRate: Double)
  /// A linear warm-up from 0, then half a cosine down to `finalRate` (Loshchilov and Hutter, SGDR, 2017).
  case cosine(totalSteps: Int?, warmupSteps: Int, finalRate: Double)
  /// Up from `maximum / divisor` to `maximum`, then down to that start over `finalDivisor`, both in half a cosine
  /// (Smith and Topin 2018; the form of PyTorch's OneCycleLR).
  case oneCycle(maximum: Double, totalSteps: Int?, startShare: Double, divisor: Double, finalDivisor: Double)

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
    case .cosine(let totalSteps, let warmupSteps, let finalRate):
      if step < warmupSteps { return base * (now + 1) / Double(warmupSteps) }
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

  /// The same schedule over `steps` steps where it was left open.
  func over(steps: Int) -> LearningRateSchedule {
    switch self {
    case .cosine(nil, let warmupSteps, let finalRate):
      .cosine(totalSteps: steps, warmupSteps: warmupSteps, finalRate: finalRate)
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
          stepSize: try options.steps("step_size") ?? 1000, gamma: try options.share("gamma", 0.1, upTo: 1e3))
      case "exponential":
        result = .exponential(
          decaySteps: try options.steps("decay_steps") ?? 1000,
          decayRate: try options.share("decay_rate", 0.96, upTo: 1e3))
      case "cosine":
        let warmup = try options.integer("warmup_steps", 0)
        guard warmup >= 0 else { throw CNNError(.invalidArgument, "warmup_steps is \(warmup); expected 0 or more") }
        result = .cosine(
          totalSteps: try options.steps("total_steps"), warmupSteps: warmup,
          finalRate: try options.share("final_rate", 0, upTo: .greatestFiniteMagnitude))
      case "one_cycle":
        guard let maximum = try options.optionalNumber("maximum"), maximum > 0, maximum.isFinite else {
          throw CNNError(.invalidArgument, "one_cycle needs a 'maximum' above 0")
        }
        let divisor = try options.number("divisor", 25), finalDivisor = try options.number("final_divisor", 1e4)
        guard divisor > 0, finalDivisor > 0 else {
          throw CNNError(.invalidArgument, "divisor is \(divisor), final_divisor \(finalDivisor); expected above 0")
        }
        result = .oneCycle(
          maximum: maximum, totalSteps: try options.steps("total_steps"),
          startShare: try options.share("start_share", 0.3, upTo: 1), divisor: divisor, finalDivisor: finalDivisor)
      default:
        throw unknownName("schedule", name, among: ["constant", "step", "exponential", "cosine", "one_cycle"])
      }
    }
    self = result
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
    case .cosine(let totalSteps, let warmupSteps, let finalRate):
      object["name"] = "cosine"
      object["total_steps"] = steps(totalSteps)
      object["warmup_steps"] = steps(warmupSteps)
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

extension OptionReader {
  /// A number of steps, 1 or more; nil where the key is missing or null.
  fileprivate mutating func steps(_ key: String) throws(CNNError) -> Int? {
    let count = try take(key, JSONObject.optionalInteger)
    if let count, count < 1 { throw CNNError(.invalidArgument, "\(key) is \(count); expected 1 or more") }
    return count
  }

  /// A number from 0 to `largest`.
  mutating func share(_ key: String, _ fallback: Double, upTo largest: Double) throws(CNNError) -> Double {
    let value = try number(key, fallback)
    guard value >= 0, value <= largest else {
      throw CNNError(.invalidArgument, "\(key) is \(value); expected 0 to \(largest)")
    }
    return value
  }
}
