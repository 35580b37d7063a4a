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

extension LearningRateSchedule: Named {
  static let sort = "schedule"
  static let names = ["constant", "step", "exponential", "cosine", "one_cycle"]

  init?(usual name: String) {
    switch name {
    case "constant": self = .constant
    case "step": self = .step()
    case "exponential": self = .exponential()
    case "cosine": self = .cosine()
    case "one_cycle": self = .oneCycle(maximum: 0)
    default: return nil
    }
  }

  var optionName: String {
    switch self {
    case .constant: "constant"
    case .step: "step"
    case .exponential: "exponential"
    case .cosine: "cosine"
    case .oneCycle: "one_cycle"
    }
  }

  var documentation: String {
    switch self {
    case .constant: "The optimizer's own rate."
    case .step: "rate * gamma to the power of whole step_sizes passed."
    case .exponential: "rate * decay_rate to the power of step / decay_steps."
    case .cosine: "A linear warm-up, then half a cosine down to final_rate (Loshchilov and Hutter 2017)."
    case .oneCycle: "Up from maximum / divisor to maximum, then down, both in half a cosine (Smith and Topin 2018)."
    }
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    let length = "The steps of the whole; null leaves them to fit."
    switch self {
    case .constant: break
    case .step(var stepSize, var gamma):
      try options.integer("step_size", &stepSize, in: .atLeast(1), "The steps between two changes.")
      try options.number("gamma", &gamma, in: .atLeast(0), "What the rate is multiplied by.")
      self = .step(stepSize: stepSize, gamma: gamma)
    case .exponential(var decaySteps, var decayRate):
      try options.integer(
        "decay_steps", &decaySteps, in: .atLeast(1), "The steps in which the rate falls by decay_rate.")
      try options.number("decay_rate", &decayRate, in: .atLeast(0), "What the rate is multiplied by in decay_steps.")
      self = .exponential(decaySteps: decaySteps, decayRate: decayRate)
    case .cosine(var totalSteps, var warmupSteps, var warmupStart, var finalRate):
      try options.integer("total_steps", &totalSteps, in: .atLeast(1), length)
      try options.integer("warmup_steps", &warmupSteps, in: .atLeast(0), "The steps of them in which the rate rises.")
      try options.number(
        "warmup_start", &warmupStart, in: .atLeast(0), "The first rate of the warm-up; null: rate / warmup_steps.")
      try options.number("final_rate", &finalRate, in: .atLeast(0), "The last rate.")
      self = .cosine(
        totalSteps: totalSteps, warmupSteps: warmupSteps, warmupStart: warmupStart, finalRate: finalRate)
    case .oneCycle(var maximum, var totalSteps, var startShare, var divisor, var finalDivisor):
      try options.number("maximum", &maximum, needed: true, in: .above(0), "The largest rate.")
      try options.integer("total_steps", &totalSteps, in: .atLeast(1), length)
      try options.number(
        "start_share", &startShare, in: .within(0...1), "The share of the steps in which the rate rises.")
      try options.number("divisor", &divisor, in: .above(0), "maximum by the first rate.")
      try options.number("final_divisor", &finalDivisor, in: .above(0), "The first rate by the last.")
      self = .oneCycle(
        maximum: maximum, totalSteps: totalSteps, startShare: startShare, divisor: divisor, finalDivisor: finalDivisor)
    }
  }
}
