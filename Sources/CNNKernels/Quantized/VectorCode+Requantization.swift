import X86Assembler

/// What of a requantisation is one number for all channels, in memory: each of them `RequantizationNumbers.repeats` times, so
/// that it is an operand with AVX2 as well.
struct RequantizationNumbers {
  /// How often each number stands there.
  static let repeats = 8
  /// Where they are.
  let base: GeneralRegister

  /// The numbers of a requantisation, as they lie.
  static func numbers(_ requantization: Requantization) -> [Float] {
    requantization.constants.flatMap { Array(repeating: $0, count: repeats) }
  }

  /// Where one of them is.
  func address(_ constant: RequantizationConstant) -> Address { base[constant.rawValue * Self.repeats * 4] }

  /// One of them in all lanes.
  func operand(_ constant: RequantizationConstant, _ target: CodeTarget) -> VectorCode.Operand {
    .memory(target.hasAVX512 ? address(constant).splat : address(constant))
  }
}

extension VectorCode {
  /// Integer sums become levels as integers of 32 bits, not yet limited from below; see `Requantization`.
  ///
  /// What is no number, or far below, becomes the smallest integer. What is limited from below afterwards, as bytes, is the
  /// level.
  func requantize(
    _ x: WideRegister, multiplier: Operand, _ function: ExactActivation?, _ numbers: RequantizationNumbers,
    temporaries: [WideRegister]
  ) {
    toFloats(x, x)
    broadcast(temporaries[0], numbers.address(.term))
    multiplyInto(x, multiplier, adding: temporaries[0])
    if let function {
      apply(function, to: x, temporaries: temporaries)
      broadcast(temporaries[0], numbers.address(.inverse))
      multiplyInto(x, temporaries[0], adding: numbers.operand(.zeroPoint, target))
    }
    broadcast(temporaries[0], numbers.address(.maximum))
    limitToIntegers(x, maximum: temporaries[0])
  }

  /// The integers nearest to floats, limited from above. What is no number, or far below, becomes the smallest integer.
  func limitToIntegers(_ x: WideRegister, maximum limit: WideRegister) {
    minimum(x, limit, x)  // `x` where it is no number.
    toIntegers(x, x)
  }
}
