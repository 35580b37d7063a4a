import CNNCore
import CNNGraph

extension Model {
  /// Adds `l1 * Σ|w| + l2 * Σw²` to the loss for every parameter whose name matches `pattern` (`*` and `?`), in training
  /// and evaluation, while the parameter is trainable. Both 0 for nothing; replaces what was set before.
  /// - Returns: how many matched.
  /// - Throws: `.unknownName` where none matches, `.invalidArgument` for a factor that is negative or not finite.
  @discardableResult
  public func setRegularization(l1: Double = 0, l2: Double = 0, matching pattern: String) throws(CNNError) -> Int {
    let regularizer = try Regularizer(l1: l1, l2: l2)
    return try lock.writing { () throws(CNNError) in
      let learned = network.parameters.filter(\.role.isLearned).map(\.name)
      let matched = Set(learned.filter { Glob.matches($0, pattern) })
      guard !matched.isEmpty else { throw unknownName("parameter", pattern, among: learned) }
      let isNothing = l1 == 0 && l2 == 0
      network.setRegularizers { matched.contains($0.name) ? (isNothing ? nil : regularizer) : $0.regularizer }
      plans.removeAll()
      return matched.count
    }
  }
}
