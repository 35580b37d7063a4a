import CNNCore
import CNNGraph

/// Looks for the least to compute again with which a training step takes no more than so much memory.
///
/// Which choice is best is a hard problem (Jain et al., "Checkmate", 2020, solve it as an integer program). Here one value
/// after the other is no longer kept: of those whose absence takes the most away from what is too much for each cycle it
/// costs, as Kirisame et al. ("Dynamic tensor rematerialization", 2021) choose by cost, size and how long a value waits.
/// What turns out not to have been needed is kept again.
struct RecomputationSearch {
  let model: RecomputationModel

  /// A choice, and what comes of it.
  struct Choice {
    fileprivate(set) var retention: [Retention]
    fileprivate(set) var schedule: RecomputationSchedule

    /// The most bytes that are in memory at once.
    var peak: Int { schedule.live.max() ?? 0 }

    /// Of all steps together, the bytes above a limit.
    fileprivate func excess(over limit: Int) -> Double {
      schedule.live.reduce(0) { $0 + Double(max(0, $1 - limit)) }
    }
  }

  /// A change of one value.
  private struct Move {
    let value: Int
    let retention: Retention
    /// The bytes above the limit that may be saved, for each cycle.
    let worth: Double
  }

  /// Of the most promising moves so many are tried before the best is made.
  private static let trialCount = 6

  init(_ model: RecomputationModel) { self.model = model }

  /// Where everything is kept that usually is.
  var usual: Choice { choice(model.usual) }

  /// Where what alone leads from one part of the network to the next is kept besides: with it there, nothing before it is
  /// needed for what comes after it.
  var inParts: Choice {
    var retention = model.usual
    for value in model.graph.bottlenecks(before: model.seed) { retention[value.index] = .kept }
    return choice(retention)
  }

  /// From a choice on, one with a peak of at most `limit`, or the lowest that is found.
  func lowering(_ start: Choice, to limit: Int) -> Choice {
    var choice = start, goal = limit
    while choice.peak > limit {
      if let next = step(from: choice, goal) {
        choice = next
        if choice.peak <= goal { goal = limit }
      } else {
        // What takes from the highest peak may add to lower ones.
        let near = choice.peak - choice.peak / 32
        guard goal < near else { break }
        goal = near
      }
    }
    return choice
  }

  /// Choices with lower and lower peaks, down to the lowest that is found.
  var lowest: [Choice] {
    var choices: [Choice] = [], choice = inParts
    while true {
      let next = lowering(choice, to: choice.peak - choice.peak / 8)
      guard next.peak < choice.peak else { return choices }
      choices.append(restoring(next, within: next.peak))
      choice = next
    }
  }

  /// Keeps what can be, up to a limit, that with the most cycles first.
  func restoring(_ choice: Choice, within limit: Int) -> Choice {
    var choice = choice
    let changed = choice.retention.indices.filter { choice.retention[$0] != model.usual[$0] }
      .map { ($0, model.cycles(of: $0, choice.retention)) }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }
    for (value, _) in changed {
      for retention in [Retention.kept, .again, .anew] where retention.rawValue < choice.retention[value].rawValue {
        let other = self.choice(choice, value, retention)
        guard other.peak <= limit, other.schedule.cycles < choice.schedule.cycles else { continue }
        choice = other
        break
      }
    }
    return choice
  }

  private func choice(_ retention: [Retention]) -> Choice {
    Choice(retention: retention, schedule: RecomputationSchedule(model, retention))
  }

  private func choice(_ choice: Choice, _ value: Int, _ retention: Retention) -> Choice {
    var changed = choice.retention
    changed[value] = retention
    return self.choice(changed)
  }

  /// The best of the most promising moves that bring a choice nearer to a limit.
  private func step(from choice: Choice, _ limit: Int) -> Choice? {
    let excess = choice.excess(over: limit)
    var rest = moves(from: choice, limit)[...]
    while !rest.isEmpty {
      var best: (choice: Choice, worth: Double)?
      for move in rest.prefix(Self.trialCount) {
        let next = self.choice(choice, move.value, move.retention)
        let worth =
          (excess - next.excess(over: limit)) / max(1, next.schedule.cycles - choice.schedule.cycles)
        if worth > best?.worth ?? 0 { best = (next, worth) }
      }
      if let best { return best.choice }
      rest = rest.dropFirst(Self.trialCount)
    }
    return nil
  }

  /// What may be computed again, the most promising first.
  private func moves(from choice: Choice, _ limit: Int) -> [Move] {
    let schedule = choice.schedule, valueCount = choice.retention.count
    // How many steps before each one are above the limit, and by how many bytes together.
    var counts = [0.0], excesses = [0.0]
    for bytes in schedule.live {
      counts.append((counts.last ?? 0) + (bytes > limit ? 1 : 0))
      excesses.append((excesses.last ?? 0) + Double(max(0, bytes - limit)))
    }
    // What waits for a reader is in memory for nothing. By what it would be instead, what that saves and how often it takes
    // computing again.
    let others = [Retention.again, .anew, .briefly]
    var saved = Array(repeating: [0.0, 0, 0], count: valueCount), times = saved
    var touched = Array(repeating: -1, count: valueCount + schedule.values.count)
    for (step, use) in schedule.uses.enumerated() {
      for operand in use.operands {
        let last = touched[operand]
        touched[operand] = step
        guard step > model.seed, last >= 0, last < step else { continue }
        let value = operand < valueCount ? operand : schedule.values[operand - valueCount]
        guard model.again[value] != nil else { continue }
        let count = counts[step] - counts[last + 1]
        let bytes = min(excesses[step] - excesses[last + 1], count * Double(model.byteCount(value)))
        for (index, other) in others.enumerated() where last <= model.seed || step - last > other.longestWait {
          saved[value][index] += bytes
          times[value][index] += 1
        }
      }
      for result in use.results { touched[result] = step }
    }
    var moves: [Move] = []
    for value in 0..<valueCount where saved[value][others.count - 1] > 0 {
      let cycles = model.cycles(of: value, choice.retention), now = choice.retention[value].rawValue
      for (index, other) in others.enumerated() where other.rawValue > now && saved[value][index] > 0 {
        // One that changes nothing more than the one before is no other choice.
        if index > 0, others[index - 1].rawValue > now, saved[value][index] == saved[value][index - 1] { continue }
        let worth = saved[value][index] / (cycles * times[value][index])
        moves.append(Move(value: value, retention: other, worth: worth))
      }
    }
    return moves.sorted { ($1.worth, $0.value) < ($0.worth, $1.value) }
  }
}

extension Graph {
  /// The values of the forward part that alone lead on from the nodes before them, as the results of residual blocks do.
  /// Filters and statistics, which are made of parameters alone or small, do not count.
  fileprivate func bottlenecks(before end: Int) -> [Value] {
    var isImage = Array(repeating: false, count: valueCount), lastUse = Array(repeating: -1, count: valueCount)
    for input in inputs { isImage[input.value.index] = true }
    for (position, node) in nodes[..<end].enumerated() {
      for operand in node.operands { lastUse[operand.index] = position }
      if node.operands.contains(where: { isImage[$0.index] }) { isImage[node.results[0].index] = true }
    }
    var result: [Value] = [], live: Set<Value> = []
    for (position, node) in nodes[..<end].enumerated() where isImage[node.results[0].index] {
      live = live.filter { lastUse[$0.index] > position }
      if lastUse[node.results[0].index] > position { live.insert(node.results[0]) }
      if live.count == 1, let value = live.first, result.last != value { result.append(value) }
    }
    return result
  }
}
