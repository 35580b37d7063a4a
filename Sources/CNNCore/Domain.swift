/// The finite numbers that an option may have.
public struct Domain: Sendable, Equatable {
  /// The ends; nil where there is none.
  public let minimum, maximum: Double?
  /// Whether an end itself is outside.
  public let excludesMinimum, excludesMaximum: Bool

  private init(
    _ minimum: Double?, _ maximum: Double?, excludesMinimum: Bool = false, excludesMaximum: Bool = false
  ) {
    (self.minimum, self.maximum) = (minimum, maximum)
    (self.excludesMinimum, self.excludesMaximum) = (excludesMinimum, excludesMaximum)
  }

  /// Any finite number.
  public static let any = Domain(nil, nil)
  /// That number or more.
  public static func atLeast(_ minimum: Double) -> Domain { Domain(minimum, nil) }
  /// More than that number.
  public static func above(_ minimum: Double) -> Domain { Domain(minimum, nil, excludesMinimum: true) }
  /// More than the first, and the second at most.
  public static func above(_ minimum: Double, upTo maximum: Double) -> Domain {
    Domain(minimum, maximum, excludesMinimum: true)
  }
  /// The numbers of a range with both its ends.
  public static func within(_ range: ClosedRange<Double>) -> Domain { Domain(range.lowerBound, range.upperBound) }
  /// The numbers of a range without its upper end.
  public static func within(_ range: Range<Double>) -> Domain {
    Domain(range.lowerBound, range.upperBound, excludesMaximum: true)
  }
  /// The numbers between two, which are outside themselves.
  public static func between(_ minimum: Double, _ maximum: Double) -> Domain {
    Domain(minimum, maximum, excludesMinimum: true, excludesMaximum: true)
  }

  /// Whether the number is one of these.
  public func contains(_ value: Double) -> Bool {
    guard value.isFinite else { return false }
    if let minimum, excludesMinimum ? value <= minimum : value < minimum { return false }
    if let maximum, excludesMaximum ? value >= maximum : value > maximum { return false }
    return true
  }

  /// What a message says that it expected, as "0 to 1".
  public var text: String {
    let least = minimum.map(plain), most = maximum.map(plain)
    switch (least, most) {
    case (nil, nil): return "a finite number"
    case (let least?, nil): return excludesMinimum ? "above \(least)" : "\(least) or more"
    case (nil, let most?): return excludesMaximum ? "below \(most)" : "\(most) at most"
    case (let least?, let most?):
      switch (excludesMinimum, excludesMaximum) {
      case (false, false): return "\(least) to \(most)"
      case (false, true): return "\(least) or more and below \(most)"
      case (true, false): return "above \(least) and at most \(most)"
      case (true, true): return "between \(least) and \(most)"
      }
    }
  }
}

/// A number without the fraction of a whole one.
private func plain(_ number: Double) -> String { Int(exactly: number).map { "\($0)" } ?? "\(number)" }
