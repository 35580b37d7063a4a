import CNNCore

/// What a pass over memory does with each pixel's channels of a block, 16 or where a stream is of bfloat16 32: a list of
/// instructions, each of which reads results of earlier ones. Arithmetic is in float32, whatever the streams are of.
///
/// One generator so serves every pass that does little with each number, and such passes are fused by writing one program
/// instead of two.
struct StreamProgram: Hashable, Sendable {
  /// The result of an instruction.
  struct Vector: Hashable, Sendable {
    fileprivate(set) var index: Int
  }

  enum Instruction: Hashable, Sendable {
    /// The pixel of a stream.
    case load(stream: Int)
    /// A number for each channel that is the same for all pixels.
    case constant(Int)
    case add(Vector, Vector)
    case subtract(Vector, Vector)
    case multiply(Vector, Vector)
    /// a b + c
    case multiplyAdd(Vector, Vector, Vector)
    case activate(VectorActivation, Vector)
    /// `dy` times the function's derivative at `x`.
    case activationGradient(VectorActivation, x: Vector, dy: Vector)
    /// The nearest whole number, halves to the even one.
    case rounded(Vector)
    /// The first where the second is above zero, and zero elsewhere.
    case kept(Vector, wherePositive: Vector)
    /// The first where the second and the third are equal, and zero elsewhere.
    case keptWhereEqual(Vector, Vector, Vector)
    /// Writes the pixel of a stream.
    case store(Vector, stream: Int)
    /// Adds to a sum over the pixels.
    case sum(Vector, into: Int)
    /// Adds a product to a sum over the pixels.
    case sumProduct(Vector, Vector, into: Int)
    /// Keeps the smallest, or the largest, of 0 and all pixels in the place of a sum. NaN may be passed over.
    case minimum(Vector, into: Int)
    case maximum(Vector, into: Int)
  }

  /// What its passes are called in dumps and profiles.
  private(set) var name: String
  private(set) var instructions: [Instruction] = []
  /// How many streams, constants and sums it names.
  private(set) var streamCount = 0, constantCount = 0, sumCount = 0
  /// The streams that are written past the caches.
  private(set) var bypassing: Set<Int> = []
  /// Of what each stream is; empty where all are of float32, and so are those of all passes over the same blocks.
  private var elements: [ElementType] = []

  /// A program that does nothing yet, with streams of float32.
  init(_ name: String) { self.name = name }

  @discardableResult
  private mutating func append(_ instruction: Instruction) -> Vector {
    instructions.append(instruction)
    return Vector(index: instructions.count - 1)
  }

  /// The same by another name.
  func renamed(_ name: String) -> StreamProgram {
    var result = self
    result.name = name
    return result
  }

  /// The same on streams of these elements, float32 or bfloat16, in blocks of 32 channels; none named, all float32 in blocks
  /// of 16.
  func with(elements: [ElementType]) -> StreamProgram {
    var result = self
    result.elements = elements
    return result
  }

  /// The same, which writes these streams past the caches.
  func bypassingCaches(_ streams: Set<Int>) -> StreamProgram {
    var result = self
    result.bypassing = streams
    return result
  }

  /// Adds arithmetic of another program.
  /// - Parameters:
  ///   - vector: what this one has in place of the other's vectors.
  ///   - firstConstant, firstSum: which of this one's constants and sums the other's first ones are.
  mutating func append(
    _ instruction: Instruction, _ vector: (Vector) -> Vector, firstConstant: Int, firstSum: Int
  ) -> Vector {
    switch instruction {
    case .load, .store: append(instruction)
    case .constant(let index): constant(firstConstant + index)
    case .add(let a, let b): add(vector(a), vector(b))
    case .subtract(let a, let b): subtract(vector(a), vector(b))
    case .multiply(let a, let b): multiply(vector(a), vector(b))
    case .multiplyAdd(let a, let b, let c): multiplyAdd(vector(a), vector(b), vector(c))
    case .activate(let activation, let x): activate(activation, vector(x))
    case .activationGradient(let activation, let x, let dy):
      activationGradient(activation, x: vector(x), dy: vector(dy))
    case .rounded(let a): round(vector(a))
    case .kept(let a, let mask): keep(vector(a), wherePositive: vector(mask))
    case .keptWhereEqual(let a, let b, let c): keep(vector(a), whereEqual: vector(b), vector(c))
    case .sum(let a, let sum): noted { $0.sum(vector(a), into: firstSum + sum) }
    case .sumProduct(let a, let b, let sum):
      noted { $0.sumProduct(vector(a), vector(b), into: firstSum + sum) }
    case .minimum(let a, let sum): noted { $0.minimum(vector(a), into: firstSum + sum) }
    case .maximum(let a, let sum): noted { $0.maximum(vector(a), into: firstSum + sum) }
    }
  }

  /// The number of an instruction that gives nothing, so that those of a program have one each.
  private mutating func noted(_ append: (inout StreamProgram) -> Void) -> Vector {
    append(&self)
    return Vector(index: instructions.count - 1)
  }

  mutating func load(_ stream: Int) -> Vector {
    streamCount = max(streamCount, stream + 1)
    return append(.load(stream: stream))
  }
  mutating func constant(_ index: Int) -> Vector {
    constantCount = max(constantCount, index + 1)
    return append(.constant(index))
  }
  mutating func add(_ a: Vector, _ b: Vector) -> Vector { append(.add(a, b)) }
  mutating func subtract(_ a: Vector, _ b: Vector) -> Vector { append(.subtract(a, b)) }
  mutating func multiply(_ a: Vector, _ b: Vector) -> Vector { append(.multiply(a, b)) }
  /// a b + c
  mutating func multiplyAdd(_ a: Vector, _ b: Vector, _ c: Vector) -> Vector { append(.multiplyAdd(a, b, c)) }
  mutating func activate(_ activation: VectorActivation?, _ x: Vector) -> Vector {
    activation.map { append(.activate($0, x)) } ?? x
  }
  mutating func activationGradient(_ activation: VectorActivation?, x: Vector, dy: Vector) -> Vector {
    activation.map { append(.activationGradient($0, x: x, dy: dy)) } ?? dy
  }
  mutating func keep(_ a: Vector, wherePositive mask: Vector) -> Vector { append(.kept(a, wherePositive: mask)) }
  mutating func round(_ a: Vector) -> Vector { append(.rounded(a)) }
  mutating func keep(_ a: Vector, whereEqual b: Vector, _ c: Vector) -> Vector { append(.keptWhereEqual(a, b, c)) }
  mutating func store(_ a: Vector, _ stream: Int) {
    streamCount = max(streamCount, stream + 1)
    append(.store(a, stream: stream))
  }
  mutating func sum(_ a: Vector, into sum: Int) {
    sumCount = max(sumCount, sum + 1)
    append(.sum(a, into: sum))
  }
  mutating func sumProduct(_ a: Vector, _ b: Vector, into sum: Int) {
    sumCount = max(sumCount, sum + 1)
    append(.sumProduct(a, b, into: sum))
  }
  mutating func minimum(_ a: Vector, into sum: Int) {
    sumCount = max(sumCount, sum + 1)
    append(.minimum(a, into: sum))
  }
  mutating func maximum(_ a: Vector, into sum: Int) {
    sumCount = max(sumCount, sum + 1)
    append(.maximum(a, into: sum))
  }
}

extension StreamProgram {
  /// Whether a stream may be of bfloat16.
  var readsBFloat16: Bool { !elements.isEmpty }
  /// How many blocks of 16 channels one of the program's blocks has.
  var parts: Int { readsBFloat16 ? 2 : 1 }

  /// Of what a stream is.
  func element(ofStream stream: Int) -> ElementType {
    elements.indices.contains(stream) ? elements[stream] : .float32
  }

  /// How many addresses a stream has: one of float32 has one for each part.
  func addressCount(ofStream stream: Int) -> Int { element(ofStream: stream) == .bfloat16 ? 1 : parts }
  /// The number of a stream's first address.
  func firstAddress(ofStream stream: Int) -> Int {
    (0..<stream).reduce(0) { $0 + addressCount(ofStream: $1) }
  }
  /// How many addresses its streams have.
  var addressCount: Int { firstAddress(ofStream: streamCount) }

  /// Whether all that it writes pixel by pixel is rounded to bfloat16. What it sums beside is as rough.
  var isRounded: Bool {
    elements.contains(.bfloat16)
      && instructions.allSatisfy {
        if case .store(_, let stream) = $0 { element(ofStream: stream) == .bfloat16 } else { true }
      }
  }

  /// Whether one of the images that it is made of has 8 bits.
  var isOfRounded: Bool {
    instructions.contains { if case .load(let stream) = $0 { element(ofStream: stream) == .bfloat16 } else { false } }
  }

  /// Whether a vector is the same for all pixels.
  func isConstant(_ vector: Vector) -> Bool {
    if case .constant = instructions[vector.index] { true } else { false }
  }

  /// The registers an instruction needs for itself.
  func temporaryCount(_ instruction: Instruction) -> Int {
    switch instruction {
    case .activate(let activation, _): activation.temporaryCount
    case .activationGradient(let activation, _, _): activation.gradientTemporaryCount
    case .kept, .keptWhereEqual: 1
    case .store(_, let stream): element(ofStream: stream) == .bfloat16 ? 1 : 0
    default: 0
    }
  }
}

extension StreamProgram.Instruction {
  /// What it reads.
  var operands: [StreamProgram.Vector] {
    switch self {
    case .load, .constant: []
    case .add(let a, let b), .subtract(let a, let b), .multiply(let a, let b): [a, b]
    case .multiplyAdd(let a, let b, let c), .keptWhereEqual(let a, let b, let c): [a, b, c]
    case .activate(_, let x): [x]
    case .activationGradient(_, let x, let dy): [x, dy]
    case .kept(let a, let mask): [a, mask]
    case .store(let a, _), .sum(let a, _), .minimum(let a, _), .maximum(let a, _), .rounded(let a): [a]
    case .sumProduct(let a, let b, _): [a, b]
    }
  }

  /// Whether later instructions can read something of it that is made for every pixel.
  var hasResult: Bool {
    switch self {
    case .constant, .store, .sum, .sumProduct, .minimum, .maximum: false
    default: true
    }
  }
}
