extension Float {
  /// The value of an IEEE half. By hand, because processors before 2012 have no instruction for it.
  public init(halfBits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    let magnitude: UInt32 =
      switch exponent {
      case 0: (Float(fraction) * 0x1p-24).bitPattern
      case 0x1F: 0x7F80_0000 | fraction << 13
      default: (exponent + 127 - 15) << 23 | fraction << 13
      }
    self.init(bitPattern: sign | magnitude)
  }
}
