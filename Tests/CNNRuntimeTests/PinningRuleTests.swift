import Testing

@testable import CNNRuntime

private let millisecond = 1_000_000

/// A machine on which bound threads wait for so much of the time.
private struct Machine {
  var rule = PinningRule()
  var now = 0, waited = 0
  /// What was asked for and when.
  var changes: [(now: Int, pins: Bool)] = []

  /// Lets time pass in steps of a millisecond.
  mutating func run(milliseconds: Int, waitingShare: Double) {
    for _ in 0..<milliseconds {
      now += millisecond
      let total = waited
      let pins = rule.allowsPinning(at: now) { total }
      if pins { waited += Int(waitingShare * Double(millisecond)) }
      if changes.last?.pins != pins { changes.append((now, pins)) }
    }
  }

  /// The share of the time in which threads were bound.
  func boundShare(from start: Int) -> Double {
    var bound = 0
    for (index, change) in changes.enumerated() where change.pins {
      let end = index + 1 < changes.count ? changes[index + 1].now : now
      bound += max(0, end - max(start, change.now))
    }
    return Double(bound) / Double(now - start)
  }
}

@Suite struct PinningRuleTests {
  @Test func threadsThatDoNotWaitStayBound() {
    var machine = Machine()
    machine.run(milliseconds: 10_000, waitingShare: 0.05)
    #expect(machine.changes.map(\.pins) == [true])
  }

  @Test func threadsThatWaitAreLetGoAndTriedEverMoreRarely() {
    var machine = Machine()
    machine.run(milliseconds: 200, waitingShare: 0.5)
    #expect(machine.changes.map(\.pins) == [true, false])
    machine.run(milliseconds: 120_000, waitingShare: 0.5)
    #expect(machine.boundShare(from: 60_000 * millisecond) < 0.01)
  }

  @Test func theyAreBoundAgainWhenTheOthersHaveEnded() {
    var machine = Machine()
    machine.run(milliseconds: 20_000, waitingShare: 0.5)
    machine.run(milliseconds: 32_000, waitingShare: 0)
    #expect(machine.changes.last?.pins == true)
    // And a competitor that comes much later is not held against them for long.
    machine.run(milliseconds: 2_000, waitingShare: 0)
    machine.run(milliseconds: 300, waitingShare: 0.5)
    machine.run(milliseconds: 1_100, waitingShare: 0)
    #expect(machine.changes.last?.pins == true)
  }

  @Test func whereTheSystemSaysNothingTheyStayBound() {
    var rule = PinningRule()
    let isBound = (0..<1000).allSatisfy { step in rule.allowsPinning(at: step * 10 * millisecond) { nil } }
    #expect(isBound)
  }
}
