/// What a pass over memory does with each pixel's 16 channels: a list of instructions, each of which reads results of
/// earlier ones.
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
    /// 16 numbers that are the same for all pixels.
    case constant(Int)
    case add(Vector, Vector)
    case subtract(Vector, Vector)
    case multiply(Vector, Vector)
    /// a b + c
    case multiplyAdd(Vector, Vector, Vector)
    case activate(VectorActivation, Vector)
    /// `dy` times the function's derivative at `x`.
    case activationGradient(VectorActivation, x: Vector, dy: Vector)
    /// The first where the second is above zero, and zero elsewhere.
    case kept(Vector, wherePositive: Vector)
    /// Writes the pixel of a stream.
    case store(Vector, stream: Int)
    /// Adds to a sum over the pixels.
    case sum(Vector, into: Int)
    /// Adds a product to a sum over the pixels.
    case sumProduct(Vector, Vector, into: Int)
  }

  /// What its passes are called in dumps and profiles.
  let name: String
  private(set) var instructions: [Instruction] = []
  /// How many streams, constants and sums it names.
  private(set) var streamCount = 0, constantCount = 0, sumCount = 0

  init(_ name: String) { self.name = name }

  @discardableResult
  private mutating func append(_ instruction: Instruction) -> Vector {
    instructions.append(instruction)
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
}

extension StreamProgram.Instruction {
  /// What it reads.
  var operands: [StreamProgram.Vector] {
    switch self {
    case .load, .constant: []
    case .add(let a, let b), .subtract(let a, let b), .multiply(let a, let b): [a, b]
    case .multiplyAdd(let a, let b, let c): [a, b, c]
    case .activate(_, let x): [x]
    case .activationGradient(_, let x, let dy): [x, dy]
    case .kept(let a, let mask): [a, mask]
    case .store(let a, _), .sum(let a, _): [a]
    case .sumProduct(let a, let b, _): [a, b]
    }
  }

  /// Whether later instructions can read something of it that is made for every pixel.
  var hasResult: Bool {
    switch self {
    case .constant, .store, .sum, .sumProduct: false
    default: true
    }
  }

  /// The registers it needs for itself.
  var temporaryCount: Int {
    switch self {
    case .activate(let activation, _): activation.temporaryCount
    case .activationGradient(let activation, _, _): activation.gradientTemporaryCount
    case .kept: 1
    default: 0
    }
  }
}
