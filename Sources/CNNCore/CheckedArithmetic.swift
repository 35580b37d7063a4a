/// Arithmetic on sizes that come from a caller or a file: an overflow is an error, never a trap.
public enum Checked {
  /// The product of `factors`, or `.outOfMemory` naming `what` if it does not fit an `Int` or a factor is negative.
  public static func product(_ factors: some Sequence<Int>, _ what: @autoclosure () -> String) throws(CNNError) -> Int {
    var result = 1
    for factor in factors {
      let (partial, overflow) = result.multipliedReportingOverflow(by: factor)
      if overflow || factor < 0 {
        let size = factors.map(String.init).joined(separator: "x")
        throw CNNError(.outOfMemory, "\(what()): the size \(size) is out of range")
      }
      result = partial
    }
    return result
  }

  /// The sum of `terms`, or `.outOfMemory` naming `what` if it does not fit an `Int`.
  public static func sum(_ terms: some Sequence<Int>, _ what: @autoclosure () -> String) throws(CNNError) -> Int {
    var result = 0
    for term in terms {
      let (partial, overflow) = result.addingReportingOverflow(term)
      if overflow { throw CNNError(.outOfMemory, "\(what()): the total size is out of range") }
      result = partial
    }
    return result
  }
}
