import X86Assembler

extension VectorCode {
  /// x = min(max(x, minimum), maximum)
  func clamp(_ x: WideRegister, _ minimum: Float, _ maximum: Float, _ temporary: WideRegister) {
    if minimum > -.infinity {
      if minimum == 0 { zero(temporary) } else { broadcast(temporary, assembler.constant(minimum)) }
      self.maximum(x, temporary, x)
    }
    if maximum < .infinity {
      broadcast(temporary, assembler.constant(maximum))
      self.minimum(x, temporary, x)
    }
  }

  /// d = relu6(x + 3) / 6
  func hardSigmoid(_ d: WideRegister, _ x: WideRegister, _ temporary: WideRegister) {
    add(d, x, constant(3, lanes: x.lanes))
    clamp(d, 0, 6, temporary)
    multiply(d, d, constant(1 / 6, lanes: x.lanes))
  }

  /// d = 1 / (1 + exp(-x)); of `isHeld` see `exponential`.
  func sigmoid(
    _ d: WideRegister, _ x: WideRegister, _ t1: WideRegister, _ t2: WideRegister, isHeld: Bool = false
  ) {
    exponential(t1, ofNegated: x, d, t2, isHeld: isHeld)
    add(t1, t1, constant(1, lanes: x.lanes))
    reciprocal(d, t1, temporary: t2)
  }

  /// d = 1 / (1 + exp(-x)) to 12 bits, which is enough of what is rounded to bfloat16 next; the infinities give 0 and 1.
  /// Needs AVX-512; `d` may be `x`.
  ///
  /// exp(-x) = 2^t with t = -x / ln 2, which is 2^floor(t) times the minimax polynomial of degree 3 of 2^f, 0 <= f <= 1.
  func roughSigmoid(_ d: WideRegister, _ x: WideRegister, _ t1: WideRegister, _ t2: WideRegister) {
    multiply(t1, x, constant(-1.442695, lanes: x.lanes))
    fraction(t2, t1)
    broadcast(d, assembler.constant(Self.powerOfTwoCoefficients[0]))
    for coefficient in Self.powerOfTwoCoefficients.dropFirst() {
      multiplyInto(d, t2, adding: constant(coefficient, lanes: d.lanes))
    }
    scale(d, d, byPowerOfTwo: t1)
    add(d, d, constant(1, lanes: d.lanes))
    roughReciprocal(d, d)
  }

  /// d = exp(-x) to within 2 ulp, for results between the smallest normal number and 2^127; beyond, those.
  ///
  /// With n = round(-x / ln 2) and r = -x - n ln 2, exp(-x) = 2^n exp(r), |r| <= ln 2 / 2. ln 2 is subtracted in two parts
  /// (Cody and Waite 1980); exp(r) is the minimax polynomial of degree 5 that is 1 at 0. All is kept negated, which saves
  /// the change of sign.
  /// - Parameter isHeld: whether no `x` is below `lowestExponent`.
  func exponential(
    _ d: WideRegister, ofNegated x: WideRegister, _ t1: WideRegister, _ t2: WideRegister, isHeld: Bool = false
  ) {
    let lanes = x.lanes
    // As first operands, so that NaN stays.
    broadcast(t1, assembler.constant(87.33654))
    minimum(t1, t1, x)
    if !isHeld {
      broadcast(t2, assembler.constant(Self.lowestExponent))
      maximum(t1, t2, t1)
    }
    multiply(t2, t1, constant(-1.442695, lanes: lanes))
    round(t2, t2)  // n
    multiplyAdd(t1, t2, constant(0.693_359_375, lanes: lanes))
    multiplyAdd(t1, t2, constant(-2.121_944_4e-4, lanes: lanes))  // -r
    broadcast(d, assembler.constant(Self.exponentialCoefficients[0]))
    for coefficient in Self.exponentialCoefficients.dropFirst() {
      multiplyInto(d, t1, adding: constant(coefficient, lanes: lanes))
    }
    scale(d, d, byPowerOfTwo: t2)
  }

  /// Of which `exponential` is 2^127.
  static let lowestExponent: Float = -88.02969

  /// bell = exp(-m² / 2) of the magnitude m = |x|, and the denominator 1 + 0.4 m / √2 of `scaledNormalTail`'s operand.
  ///
  /// Beyond 14, where Φ(-m) is smaller than any float, m stays 14: infinity times zero is not made of infinity.
  func normalBell(
    _ bell: WideRegister, magnitude m: WideRegister, denominator: WideRegister, _ x: WideRegister, _ t: WideRegister
  ) {
    let lanes = x.lanes
    zero(m)
    subtract(m, m, x)
    maximum(m, m, x)
    broadcast(t, assembler.constant(14))
    minimum(m, t, m)
    multiply(denominator, m, constant(0.5, lanes: lanes))
    multiply(denominator, denominator, m)
    exponential(bell, ofNegated: denominator, t, denominator)
    broadcast(denominator, assembler.constant(0.4 * 0.707_106_78))
    multiply(denominator, denominator, m)
    add(denominator, denominator, constant(1, lanes: lanes))
  }

  /// d = Φ(-m) exp(m² / 2), of t = 1 / (1 + 0.4 m / √2): half of `ActivationMath.scaledErrorComplement`.
  func scaledNormalTail(_ d: WideRegister, _ t: WideRegister) {
    broadcast(d, assembler.constant(Self.normalTailCoefficients[0]))
    for coefficient in Self.normalTailCoefficients.dropFirst() {
      multiplyInto(d, t, adding: constant(coefficient, lanes: d.lanes))
    }
    multiply(d, d, t)
  }

  private static let normalTailCoefficients: [Float] = [
    0.042_118_485_84, -0.144_551_31, 0.092_782_654_8, 0.077_845_185_66, 0.086_785_413_78, 0.190_383_662_2,
    0.202_661_025_9, 0.226_334_316_3, 0.225_640_631_3,
  ].map { $0 / 2 }

  /// exp(-s) on |s| <= ln 2 / 2, highest power first; relative error 1.5 * 2^-24 (weighted least squares, reweighted until
  /// the error is level).
  private static let exponentialCoefficients: [Float] = [
    -0.008290272, 0.04189816, -0.16667639, 0.49999148, -0.9999997, 1,
  ]

  /// 2^f on 0...1, highest power first; relative error 7.5e-5 (Remez).
  static let powerOfTwoCoefficients: [Float] = [0.078_024_52, 0.226_067_16, 0.695_833_56, 0.999_925_2]
}
