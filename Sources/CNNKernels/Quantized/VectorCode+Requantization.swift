import X86Assembler

/// Numbers in memory that are the same for all channels, each so often that it is an operand with AVX2 as well.
struct RepeatedNumbers {
  private static let repeats = 8
  /// Where they are.
  let base: GeneralRegister

  /// The numbers as they lie.
  static func list(_ numbers: [Float]) -> [Float] { numbers.flatMap { Array(repeating: $0, count: repeats) } }

  /// The bytes of so many of them.
  static func byteCount(_ count: Int) -> Int { count * repeats * 4 }

  /// Where one of them is.
  func address(_ index: Int) -> Address { base[Self.byteCount(index)] }

  /// Where the coefficients of pieces are, which follow them.
  func pieceCoefficients(_ target: CodeTarget) -> [Address] {
    ActivationPieces.coefficients(target) { base[Self.byteCount(RequantizationConstant.allCases.count) + $0] }
  }

  /// One of them in all lanes.
  func operand(_ index: Int, _ target: CodeTarget) -> VectorCode.Operand {
    .memory(target.hasAVX512 ? address(index).splat : address(index))
  }
}

/// How integer sums become results, beside the addition of a residual.
struct Requantizing: Hashable, Sendable {
  /// What is applied before the rounding.
  var function: ExactActivation?
  /// Whether each channel's results of it have a scale and a zero point of their own.
  var hasInverses: Bool
  /// Whether the results are positions, and pieces give the levels.
  var hasPieces: Bool
  /// Whether the results are levels; else they are floats.
  var givesLevels: Bool
  /// Whether levels are limited after the rounding, as integers; see `Requantization.isBounded`.
  var limitsIntegers: Bool
  /// Whether there are levels below the smallest and above the largest one. Bytes end there by themselves.
  var hasMinimum, hasMaximum: Bool

  init(_ requantization: Requantization) {
    let levels = requantization.levels
    (function, hasInverses) = (requantization.function, !requantization.inverses.isEmpty)
    hasPieces = requantization.pieces != nil
    (givesLevels, limitsIntegers) = (levels != nil, requantization.isBounded)
    (hasMinimum, hasMaximum) = ((levels?.minimum ?? 0) > 0, (levels?.maximum ?? 255) < 255)
  }

  /// How kernels' names call what is applied.
  var suffix: String? { hasPieces ? "pieces" : function.map { "\($0)\(hasInverses ? "_each" : "")" } }

  /// Bytes from the multipliers of the first channel to those of one so many channels behind.
  func byteOffset(ofChannel channel: Int) -> Int { channel * 4 * (hasInverses ? 3 : 1) }

  /// How many registers are rounded in turns where they are a tile's columns: those for which there are temporaries.
  func inTurns(_ target: CodeTarget) -> Int {
    if hasPieces { return target.hasAVX512 ? 4 : 2 }
    return function == nil ? 8 : target.hasAVX512 ? 2 : 1
  }
  /// The temporaries of so many.
  func temporaryCount(_ target: CodeTarget) -> Int {
    if hasPieces { return inTurns(target) / 2 * (ActivationPieces.temporaryCount(target) + 1) }
    return function == nil ? 2 : inTurns(target) * ExactActivation.temporaryCount
  }
}

/// Integer sums of neighbouring channels, on their way to memory.
struct RoundedSums {
  let register: WideRegister
  /// Where the results go, and a residual comes from: bytes from those of the tile.
  let offset: Int
  /// What each is multiplied by.
  let multiplier: Address
  /// Where channels have some of their own, what the function's results are multiplied by, and what is added.
  var scaling: Scaling?

  /// Where the numbers of the function's results are.
  struct Scaling {
    let inverse, zeroPoint: Address
  }

  /// The same with 16 lanes.
  var whole: RoundedSums {
    RoundedSums(
      register: WideRegister(number: register.number, lanes: 16), offset: offset, multiplier: multiplier,
      scaling: scaling)
  }
}

extension RoundedSums {
  /// - Parameters:
  ///   - channel: the first one, counted from the one that the multipliers begin with.
  ///   - multipliers: where they lie; see `Requantization.multipliers`.
  ///   - vector: how many channels are those of a whole register.
  init(
    _ register: WideRegister, offset: Int, channel: Int, _ multipliers: GeneralRegister, vector: Int,
    _ requantizing: Requantizing
  ) {
    let place = requantizing.byteOffset(ofChannel: channel)
    self.init(
      register: register, offset: offset, multiplier: multipliers[place],
      scaling: requantizing.hasInverses
        ? Scaling(inverse: multipliers[place + vector * 4], zeroPoint: multipliers[place + vector * 8]) : nil)
  }
}

extension VectorCode {
  /// Rounds sums and stores them, as many in turns as there are temporaries for.
  /// - Parameters:
  ///   - pixels: of each pixel its neighbouring channels.
  ///   - residual: where the levels that are added are, laid out like the result.
  ///   - temporaries: at least `requantizing.temporaryCount`.
  func store(
    _ pixels: [[RoundedSums]], at output: GeneralRegister, residual: GeneralRegister?, _ requantizing: Requantizing,
    _ numbers: RepeatedNumbers, temporaries: [WideRegister]
  ) {
    let inTurns = requantizing.inTurns(target), each = requantizing.function == nil ? 0 : ExactActivation.temporaryCount
    func requantize(_ own: ArraySlice<RoundedSums>) {
      self.requantize(
        own.map(\.register), multipliers: own.map { .memory($0.multiplier) }, scalings: own.compactMap(\.scaling),
        residuals: residual.map { base in own.map { base[$0.offset] } } ?? [], requantizing, numbers,
        limitsBelow: !requantizing.hasPieces,
        temporaries: own.indices.map { Array(temporaries[(($0 - own.startIndex) * each)...]) })
    }
    func parts(_ sums: [RoundedSums], by count: Int) -> [ArraySlice<RoundedSums>] {
      stride(from: 0, to: sums.count, by: count).map { sums[$0..<min($0 + count, sums.count)] }
    }
    // With AVX2 two registers of a pixel become one, so that pixels stay together: all of them where nothing else needs
    // temporaries, each step for all before the next one. The queues of Zen's units hold little more than what becomes of two
    // pixels, and would wait for one step after the other.
    let groups =
      if target.hasAVX512 {
        // Pieces take whole registers: what a last half one has in its upper half is nobody's.
        parts(requantizing.hasPieces ? pixels.joined().map(\.whole) : pixels.flatMap { $0 }, by: inTurns).map { [$0] }
      } else { requantizing.function == nil ? [pixels.map { $0[...] }] : pixels.map { [$0[...]] } }
    for group in groups {
      let sums = group.flatMap { $0 }
      for own in parts(sums, by: requantizing.function == nil ? sums.count : inTurns) { requantize(own) }
      if requantizing.hasPieces {
        storePieces(
          group.map { $0.map { ($0.register, $0.offset) } }, at: output,
          coefficients: numbers.pieceCoefficients(target), temporaries: temporaries)
      } else if requantizing.givesLevels {
        storeLevels(group.map { $0.map { ($0.register, output[$0.offset]) } }, temporary: temporaries[0])
      } else {
        for sum in sums { store(output[sum.offset], sum.register) }
      }
    }
  }

  /// Integer sums become levels or positions as integers of 32 bits, or floats; see `Requantization`, whose `constants` the
  /// numbers are.
  ///
  /// What is no number becomes what is far below: the smallest level, or where levels are not limited from below the
  /// smallest integer. What is limited from below afterwards, as bytes, is the level.
  ///
  /// - Parameters:
  ///   - multipliers: of each register.
  ///   - scalings: of each register, where channels have some.
  ///   - residuals: where the levels that are added to each register are; none without a residual.
  ///   - limitsBelow: whether levels are limited from below.
  ///   - temporaries: of each register as many as a function takes; where there is none one alone, two with a residual.
  func requantize(
    _ x: [WideRegister], multipliers: [Operand], scalings: [RoundedSums.Scaling] = [], residuals: [Address] = [],
    _ requantizing: Requantizing, _ numbers: RepeatedNumbers, limitsBelow: Bool = true, temporaries: [[WideRegister]]
  ) {
    guard let shared = temporaries.first?.first else { return }
    func address(_ constant: RequantizationConstant) -> Address { numbers.address(constant.rawValue) }
    func operand(_ constant: RequantizationConstant) -> Operand { numbers.operand(constant.rawValue, target) }
    for x in x { toFloats(x, x) }
    if residuals.isEmpty {
      broadcast(shared, address(.term))
      for (x, multiplier) in zip(x, multipliers) { multiplyInto(x, multiplier, adding: shared) }
    } else {
      let term = temporaries[0][1]
      broadcast(shared, address(.residualMultiplier))
      for (index, residual) in residuals.enumerated() {
        loadBytes(term, residual)
        multiplyInto(term, shared, adding: operand(.term))
        multiplyInto(x[index], multipliers[index], adding: term)
      }
    }
    if let function = requantizing.function {
      apply(function, to: x, temporaries: temporaries)
      if requantizing.hasInverses {
        for (x, scaling) in zip(x, scalings) {
          load(shared, scaling.zeroPoint)
          multiplyInto(x, .memory(scaling.inverse), adding: shared)
        }
      } else if requantizing.givesLevels {
        broadcast(shared, address(.inverse))
        for x in x { multiplyInto(x, shared, adding: operand(.zeroPoint)) }
      }
    }
    guard requantizing.givesLevels else { return }
    if requantizing.limitsIntegers {
      for x in x { toIntegers(x, x) }
      // Without AVX-512 packing limits to bytes.
      if limitsBelow && (target.hasAVX512 || requantizing.hasMinimum) {
        for x in x { maximumOfIntegers(x, x, operand(.integerMinimum)) }
      }
      if requantizing.hasMaximum {
        for x in x { minimumOfIntegers(x, x, operand(.integerMaximum)) }
      }
      return
    }
    if limitsBelow {
      for x in x { maximum(x, x, operand(.minimum)) }
    }
    broadcast(shared, address(.maximum))
    for x in x { limitToIntegers(x, maximum: shared) }
  }

  /// Stores the lanes of registers, integers from 0 to 255, as bytes; what is larger becomes 255, and with AVX2 what is smaller
  /// becomes 0. There what the registers hold is lost.
  /// - Parameter pixels: of each its neighbouring channels.
  func storeLevels(_ pixels: [[(register: WideRegister, place: Address)]], temporary: WideRegister) {
    if target.hasAVX512 {
      for level in pixels.joined() { storeLimitedBytes(level.place, level.register) }
      return
    }
    let pairs = pixels.flatMap { levels in
      stride(from: 0, to: levels.count, by: 2).map {
        (first: levels[$0], second: levels[min($0 + 1, levels.count - 1)].register)
      }
    }
    for pair in pairs { emit(k.vpackssdw, pair.first.register, pair.first.register, .register(pair.second)) }
    storeWords(pairs.map(\.first), temporary: temporary)
  }

  /// Stores registers of 16 words, those of two registers of integers packed, as bytes from 0 to 255, with AVX2. Where there
  /// was one alone its bytes are stored twice.
  func storeWords(_ words: [(register: WideRegister, place: Address)], temporary: WideRegister) {
    let twos = stride(from: 0, to: words.count, by: 2).map { words[$0..<min($0 + 2, words.count)] }
    for two in twos {
      packWords(words[two.startIndex].register, words[two.startIndex].register, words[two.endIndex - 1].register)
    }
    // Packing takes four bytes of each half of each register in turns.
    load(temporary, k.constantVector([0, 4, 1, 5, 2, 6, 3, 7]))
    for two in twos { permute(words[two.startIndex].register, words[two.startIndex].register, temporary) }
    for two in twos {
      let bytes = words[two.startIndex].register.number
      k.vmovups(words[two.startIndex].place, Xmm(bytes))
      if two.count == 2 { k.vextractf128(words[two.endIndex - 1].place, Ymm(bytes), 1) }
    }
  }

  /// The integers nearest to floats, limited from above. What is no number, or far below, becomes the smallest integer.
  func limitToIntegers(_ x: WideRegister, maximum limit: WideRegister) {
    minimum(x, limit, x)  // `x` where it is no number.
    toIntegers(x, x)
  }
}
