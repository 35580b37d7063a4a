extension Float {
  /// A number that is this one in float32 and has the fewest digits in text: a file with many of them is half as large.
  public var shortest: Double {
    guard let short = Double(description), Float(short) == self else { return Double(self) }
    return short
  }
}
