/// What a step does with tensors, each of which has a number.
struct TensorUse {
  var operands, results: [Int]
  /// As `LoweredOperation` says.
  var aliasedOperand: Int?
  var overwritableOperands: [[Int]]
  var workspaceByteCount: Int
}

extension TensorUse {
  /// What its passes over blocks may overwrite is known before there is code for them.
  init(_ lowered: LoweredOperation, operands: [Int], results: [Int]) {
    let count = operands.count
    let overwritable = lowered.stream.map { stream in
      results.indices.map { stream.overwritable(by: count + $0, of: 0..<count) }
    }
    self.init(
      operands: operands, results: results, aliasedOperand: lowered.aliasedOperand,
      overwritableOperands: overwritable ?? lowered.overwritableOperands,
      workspaceByteCount: lowered.workspaceByteCount)
  }
}

/// How long each tensor of the arena is needed, and which lie in another's memory.
struct MemorySharing {
  enum Owner {
    case tensor(Int)
    case workspace(step: Int)
  }

  /// The tensor in whose memory a tensor lies.
  private(set) var root: [Int]
  private(set) var requests: [(owner: Owner, request: MemoryPlanner.Request)] = []
  /// By root; -1 where there is none.
  private var requestOf: [Int]

  /// - Parameters:
  ///   - byteCounts: of each tensor.
  ///   - lasting: tensors that are needed when all steps are done.
  ///   - root: of tensors outside the arena, the one in whose memory they lie; of all others themselves.
  ///   - isOutside: whether a tensor that a step makes is kept outside the arena.
  init(
    _ steps: [TensorUse], byteCounts: [Int], lasting: [Int], root: [Int], isOutside: (Int) -> Bool
  ) {
    self.root = root
    requestOf = Array(repeating: -1, count: root.count)
    var lastUse = requestOf
    for (step, use) in steps.enumerated() {
      for operand in use.operands { lastUse[operand] = step }
    }
    for tensor in lasting { lastUse[tensor] = steps.count }
    for (step, use) in steps.enumerated() {
      var overwritten: [Int] = []
      for (position, result) in use.results.enumerated() where !isOutside(result) {
        let last = max(lastUse[result], step)
        if let shared = sharedOperand(of: use, at: step, result: position, byteCounts[result], overwritten) {
          self.root[result] = shared
          overwritten.append(shared)
          let request = requestOf[shared]
          if request >= 0 { requests[request].request.lastStep = max(requests[request].request.lastStep, last) }
          continue
        }
        requestOf[result] = requests.count
        requests.append((.tensor(result), .init(byteCount: byteCounts[result], firstStep: step, lastStep: last)))
      }
      if use.workspaceByteCount > 0 {
        // What is prepared is so before the first step.
        let first = isOutside(use.results[0]) ? 0 : step
        requests.append(
          (.workspace(step: step), .init(byteCount: use.workspaceByteCount, firstStep: first, lastStep: step)))
      }
    }
  }

  /// The bytes that are in memory during each of so many steps.
  func live(steps count: Int) -> [Int] {
    var changes = Array(repeating: 0, count: count + 2), sum = 0
    for (_, request) in requests {
      changes[request.firstStep] += request.byteCount
      changes[request.lastStep + 1] -= request.byteCount
    }
    return changes.prefix(count).map { change in
      sum += change
      return sum
    }
  }

  /// The root in whose memory a result can lie: the operand's it is a view of, or one that may be overwritten.
  private func sharedOperand(
    of use: TensorUse, at step: Int, result: Int, _ byteCount: Int, _ overwritten: [Int]
  ) -> Int? {
    if result == 0, let alias = use.aliasedOperand { return root[use.operands[alias]] }
    guard use.overwritableOperands.indices.contains(result) else { return nil }
    let candidates = use.overwritableOperands[result]
    for candidate in candidates where use.operands.indices.contains(candidate) {
      let shared = root[use.operands[candidate]], index = requestOf[shared]
      guard index >= 0, !overwritten.contains(shared) else { continue }
      let request = requests[index].request
      guard request.lastStep == step, request.byteCount == byteCount else { continue }
      // What another operand reads too, at other places, stays as it is.
      let isAlone = use.operands.indices.allSatisfy { candidates.contains($0) || root[use.operands[$0]] != shared }
      if isAlone { return shared }
    }
    return nil
  }
}
