import CNNCore
import Glibc
import Testing

@testable import SwiftCNN

@Suite struct ScheduleTests {
  private func schedule(_ name: String, _ settings: String = "{}") throws -> LearningRateSchedule {
    try LearningRateSchedule(named: name, #require(JSON(parsing: settings).objectValue))
  }

  private func expectRates(_ schedule: LearningRateSchedule, _ expected: [Double], base: Double = 0.1) {
    for (step, rate) in expected.enumerated() {
      #expect(abs(schedule.rate(at: step, base: base) - rate) <= 1e-12, "step \(step)")
    }
  }

  @Test func constantIsConstant() throws {
    expectRates(try schedule("constant"), [0.1, 0.1, 0.1])
  }

  @Test func stepDecaysInStairs() throws {
    let schedule = try schedule("step", #"{"step_size": 2, "gamma": 0.5}"#)
    expectRates(schedule, [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125])
  }

  @Test func exponentialDecaysSmoothly() throws {
    let schedule = try schedule("exponential", #"{"decay_steps": 10, "decay_rate": 0.5}"#)
    expectRates(schedule, (0..<30).map { 0.1 * pow(0.5, Double($0) / 10) })
  }

  @Test func cosineWarmsUpAndFallsToItsEnd() throws {
    let schedule = try schedule("cosine", #"{"total_steps": 12, "warmup_steps": 4, "final_rate": 0.01}"#)
    let fall = (0...8).map { 0.01 + 0.09 * (1 + cos(Double.pi * Double($0) / 8)) / 2 }
    expectRates(schedule, [0.025, 0.05, 0.075, 0.1] + fall + [0.01, 0.01])
  }

  // keras.optimizers.schedules.CosineDecay(0.05, 8, alpha=0.01/0.1, warmup_target=0.1, warmup_steps=4)
  @Test func cosineWarmsUpFromAGivenRate() throws {
    let fall = (0...8).map { 0.01 + 0.09 * (1 + cos(Double.pi * Double($0) / 8)) / 2 }
    for (start, rise) in [
      ("0.05", [0.05, 0.0625, 0.075, 0.0875]), ("0", [0, 0.025, 0.05, 0.075]), ("0.3", [0.3, 0.25, 0.2, 0.15]),
    ] {
      let schedule = try schedule(
        "cosine", #"{"total_steps": 12, "warmup_steps": 4, "warmup_start": \#(start), "final_rate": 0.01}"#)
      expectRates(schedule, rise + fall + [0.01, 0.01])
      #expect(schedule.over(steps: 99) == schedule)
    }
    // Its length is left to fit, its start is not.
    let open = try schedule("cosine", #"{"warmup_steps": 2, "warmup_start": 0.02}"#)
    #expect(open.isOpen)
    expectRates(open.over(steps: 6), [0.02, 0.06, 0.1, 0.05 + 0.05 * cos(Double.pi / 4), 0.05])
    // Without a warm-up there is nothing to begin.
    expectRates(try schedule("cosine", #"{"total_steps": 2, "warmup_start": 7}"#), [0.1, 0.05, 0])
  }

  @Test func cosineTakesItsLengthFromFit() throws {
    let open = try schedule("cosine").over(steps: 4)
    expectRates(open, [0.1, 0.1 * (1 + cos(Double.pi / 4)) / 2, 0.05, 0.1 * (1 - cos(Double.pi / 4)) / 2, 0])
    #expect(open.over(steps: 9) == open)
  }

  // import torch
  // def rates(total, **settings):
  //   optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
  //   schedule, rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, total_steps=total, cycle_momentum=False, **settings), []
  //   for i in range(total):
  //     rates.append(schedule.get_last_lr()[0])
  //     optimizer.step()
  //     if i < total - 1: schedule.step()
  //   return rates
  // print(rates(10, max_lr=0.5), rates(7, max_lr=2.0, pct_start=0.5, div_factor=10, final_div_factor=100))
  @Test func oneCycleIsPyTorchs() throws {
    expectRates(
      try schedule("one_cycle", #"{"maximum": 0.5, "total_steps": 10}"#),
      [
        0.020000000000000018, 0.26, 0.5, 0.47524231600673683, 0.40587282697488153, 0.30563101096814466,
        0.19437098903185537, 0.09412917302511849, 0.024759683993263143, 2e-06,
      ])
    expectRates(
      try schedule(
        "one_cycle",
        #"{"maximum": 2.0, "total_steps": 7, "start_share": 0.5, "divisor": 10, "final_divisor": 100}"#),
      [
        0.19999999999999996, 0.8218847050625473, 1.8281152949374526, 1.9010678990345167, 1.223298413022358,
        0.37813368794312524, 0.002,
      ])
  }

  @Test(arguments: [
    ("constant", "{}"), ("step", #"{"step_size": 3}"#), ("exponential", "{}"), ("cosine", #"{"warmup_steps": 2}"#),
    ("one_cycle", #"{"maximum": 1}"#), ("one_cycle", #"{"maximum": 1, "start_share": 0, "total_steps": 1}"#),
    ("one_cycle", #"{"maximum": 1, "start_share": 1, "total_steps": 3}"#),
    ("cosine", #"{"total_steps": 2, "warmup_steps": 5}"#),
    ("cosine", #"{"total_steps": 9, "warmup_steps": 5, "warmup_start": 0.25}"#), ("cosine", #"{"warmup_start": 0}"#),
    ("cosine", #"{"total_steps": 1, "warmup_steps": 9223372036854775807, "warmup_start": 1e300}"#),
  ])
  func ratesAreFiniteAndSurviveStorage(_ name: String, _ settings: String) throws {
    let schedule = try schedule(name, settings)
    for step in [0, 1, 2, 3, 100, 1 << 40] {
      let rate = schedule.rate(at: step, base: 0.1)
      #expect(rate.isFinite && rate >= 0)
    }
    #expect(try LearningRateSchedule(schedule.json, "schedule") == schedule)
  }

  @Test(arguments: [
    ("step", #"{"step_size": 0}"#, "step_size is 0"), ("step", #"{"gamma": -1}"#, "gamma is -1"),
    ("exponential", #"{"decay_steps": -5}"#, "decay_steps is -5"),
    ("cosine", #"{"warmup_steps": -1}"#, "warmup_steps is -1"), ("cosine", #"{"final_rate": -1}"#, "final_rate is -1"),
    ("cosine", #"{"warmup_start": -0.5}"#, "warmup_start is -0.5"),
    ("cosine", #"{"total_steps": 0}"#, "total_steps is 0"),
    ("one_cycle", "{}", "'maximum' is missing; expected a number above 0"),
    ("one_cycle", #"{"maximum": 1, "divisor": 0}"#, "divisor is 0"),
    ("one_cycle", #"{"maximum": 1, "start_share": 1.5}"#, "start_share is 1.5"),
  ])
  func settingsOutOfRangeAreNamed(_ name: String, _ settings: String, _ message: String) {
    expectError(.invalidArgument, message) { _ = try schedule(name, settings) }
  }

  @Test func aStartThatIsNoRateIsNamed() {
    for start in [Double.nan, .infinity, -.infinity, -1] {
      expectError(.invalidArgument, "warmup_start is") {
        try LearningRateSchedule.cosine(totalSteps: 5, warmupSteps: 2, warmupStart: start, finalRate: 0).validate()
      }
    }
  }

  @Test func unknownNamesSuggestTheNearest() {
    expectError(.unknownName, "did you mean 'cosine'?") { _ = try schedule("cosin") }
    expectError(.unknownName, "did you mean 'gamma'?") { _ = try schedule("step", #"{"gama": 1}"#) }
  }
}
