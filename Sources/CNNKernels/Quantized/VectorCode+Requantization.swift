import X86Assembler

/// Numbers in memory that are the same for all channels, each so often that it is an operand with AVX2 as well.
struct RepeatedNumbers {
  private static let repeats = 8
  /// Where they are.
  let base: GeneralRegister

  /// The numbers as they lie.
  static func list(_ numbers: [Float]) -> [Float] { numbers.flatMap { Array(repeating: $0, count: repeats) } }

  /// Where one of them is.
  func address(_ index: Int) -> Address { base[index * Self.repeats * 4] }

  /// One of them in all lanes.
  func operand(_ index: Int, _ target: CodeTarget) -> VectorCode.Operand {
    .memory(target.hasAVX512 ? address(index).splat : address(index))
  }
}

extension VectorCode {
  /// Integer sums become levels as integers of 32 bits, not yet limited from below; see `Requantization`, whose `constants`
  /// the numbers are.
  ///
  /// What is no number, or far below, becomes the smallest integer. What is limited from below afterwards, as bytes, is the
  /// level.
  ///
  /// - Parameters:
  ///   - multipliers: of each register.
  ///   - temporaries: of each register as many as a function takes, or one alone where there is none.
  func requantize(
    _ x: [WideRegister], multipliers: [Operand], _ function: ExactActivation?, _ numbers: RepeatedNumbers,
    temporaries: [[WideRegister]]
  ) {
    guard let shared = temporaries.first?.first else { return }
    for x in x { toFloats(x, x) }
    broadcast(shared, numbers.address(RequantizationConstant.term.rawValue))
    for (x, multiplier) in zip(x, multipliers) { multiplyInto(x, multiplier, adding: shared) }
    if let function {
      apply(function, to: x, temporaries: temporaries)
      broadcast(shared, numbers.address(RequantizationConstant.inverse.rawValue))
      let zeroPoint = numbers.operand(RequantizationConstant.zeroPoint.rawValue, target)
      for x in x { multiplyInto(x, shared, adding: zeroPoint) }
    }
    broadcast(shared, numbers.address(RequantizationConstant.maximum.rawValue))
    for x in x { limitToIntegers(x, maximum: shared) }
  }

  /// The integers nearest to floats, limited from above. What is no number, or far below, becomes the smallest integer.
  func limitToIntegers(_ x: WideRegister, maximum limit: WideRegister) {
    minimum(x, limit, x)  // `x` where it is no number.
    toIntegers(x, x)
  }
}
