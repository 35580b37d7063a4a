import CNNRuntime

/// Neighbouring floats that are computed together: 16, 4 or 1 of them.
///
/// A kernel is written once over `Lanes` and specialised for each conforming type; a run of any length is then 16s,
/// 4s and 1s. Baseline x86-64 holds four floats in a register, so 16 lanes are four registers: enough independent
/// chains of additions to hide their latency. Requirements must be met by concrete operations: the standard library's
/// generic ones on `SIMD` go through the lanes one at a time.
protocol Lanes: BitwiseCopyable {
  init(repeating value: Float)
  static func + (a: Self, b: Self) -> Self
  static func - (a: Self, b: Self) -> Self
  static func * (a: Self, b: Self) -> Self
  static func / (a: Self, b: Self) -> Self
  /// One of the numbers.
  subscript(lane: Int) -> Float { get set }
  /// `max(self, 0)`; NaN stays NaN.
  var rectified: Self { get }
  /// `self` held within `±limit`; NaN stays NaN.
  func limited(to limit: Float) -> Self
  /// The square root of numbers that are not negative.
  var root: Self { get }
  /// `self` where `mask > 0`, else 0.
  func kept(wherePositive mask: Self) -> Self
  /// The larger of the two; the first NaN met stays.
  func maximum(_ other: Self) -> Self
  /// The smaller of the two; the first NaN met stays.
  func minimum(_ other: Self) -> Self
  /// 1 where the number is greater than the other, else 0.
  func isGreater(than other: Self) -> Self
  /// 1 where the number is greater than the other or equal, else 0.
  func isGreaterOrEqual(to other: Self) -> Self
  /// 1 where the number equals the other, else 0.
  func isEqual(to other: Self) -> Self
  /// `self` divided into what falls on a `candidate` that attains `maximum` (or is NaN), and the rest.
  func split(where candidate: Self, attains maximum: Self) -> (hit: Self, rest: Self)
}

extension Lanes {
  /// How many numbers there are.
  @inline(__always) static var width: Int { MemoryLayout<Self>.size / MemoryLayout<Float>.size }

  @inline(__always) static var zero: Self { Self(repeating: 0) }

  @inline(__always) static func load(_ pointer: UnsafePointer<Float>) -> Self {
    UnsafeRawPointer(pointer).loadUnaligned(as: Self.self)
  }

  @inline(__always) static func load(_ pointer: UnsafeMutablePointer<Float>) -> Self {
    UnsafeRawPointer(pointer).loadUnaligned(as: Self.self)
  }

  @inline(__always) func store(_ pointer: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Self.self)
  }
}

/// Sixteen square roots.
///
/// By way of the magnitude, since of a negative number the compiler must set C's `errno`, which keeps it from computing
/// several at once; and by itself, since inside a longer loop it computes them one by one all the same.
@inline(never)
private func roots(of x: SIMD16<Float>) -> SIMD16<Float> {
  var result = x
  for lane in 0..<16 { result[lane] = x[lane].magnitude.squareRoot() }
  return result
}

extension SIMD16<Float> {
  /// Sixteen numbers of bfloat16.
  static func widening(_ pointer: UnsafeRawPointer) -> Self {
    let upper = SIMD16<UInt32>(truncatingIfNeeded: pointer.loadUnaligned(as: SIMD16<UInt16>.self)) &<< 16
    return unsafeBitCast(upper, to: Self.self)
  }
}

extension SIMD16<Float>: Lanes {
  @inline(__always) func limited(to limit: Float) -> Self {
    replacing(with: limit, where: self .> limit).replacing(with: -limit, where: self .< -limit)
  }
  @inline(__always) var root: Self { roots(of: self) }
  @inline(__always) var rectified: Self { replacing(with: 0, where: self .< 0) }
  @inline(__always) func kept(wherePositive mask: Self) -> Self { Self().replacing(with: self, where: mask .> 0) }
  @inline(__always) func maximum(_ other: Self) -> Self {
    replacing(with: other, where: (other .> self) .| (other .!= other))
  }
  @inline(__always) func minimum(_ other: Self) -> Self {
    replacing(with: other, where: (other .< self) .| (other .!= other))
  }
  @inline(__always) func isGreater(than other: Self) -> Self { Self().replacing(with: 1, where: self .> other) }
  @inline(__always) func isGreaterOrEqual(to other: Self) -> Self { Self().replacing(with: 1, where: self .>= other) }
  @inline(__always) func isEqual(to other: Self) -> Self { Self().replacing(with: 1, where: self .== other) }
  @inline(__always) func split(where candidate: Self, attains maximum: Self) -> (hit: Self, rest: Self) {
    let mask = (candidate .== maximum) .| (candidate .!= candidate)
    return (Self().replacing(with: self, where: mask), replacing(with: 0, where: mask))
  }
}

extension SIMD4<Float>: Lanes {
  @inline(__always) func limited(to limit: Float) -> Self {
    replacing(with: limit, where: self .> limit).replacing(with: -limit, where: self .< -limit)
  }
  @inline(__always) var root: Self {
    Self(x.root, y.root, z.root, w.root)
  }
  @inline(__always) var rectified: Self { replacing(with: 0, where: self .< 0) }
  @inline(__always) func kept(wherePositive mask: Self) -> Self { Self().replacing(with: self, where: mask .> 0) }
  @inline(__always) func maximum(_ other: Self) -> Self {
    replacing(with: other, where: (other .> self) .| (other .!= other))
  }
  @inline(__always) func minimum(_ other: Self) -> Self {
    replacing(with: other, where: (other .< self) .| (other .!= other))
  }
  @inline(__always) func isGreater(than other: Self) -> Self { Self().replacing(with: 1, where: self .> other) }
  @inline(__always) func isGreaterOrEqual(to other: Self) -> Self { Self().replacing(with: 1, where: self .>= other) }
  @inline(__always) func isEqual(to other: Self) -> Self { Self().replacing(with: 1, where: self .== other) }
  @inline(__always) func split(where candidate: Self, attains maximum: Self) -> (hit: Self, rest: Self) {
    let mask = (candidate .== maximum) .| (candidate .!= candidate)
    return (Self().replacing(with: self, where: mask), replacing(with: 0, where: mask))
  }
}

extension Float: Lanes {
  @inline(__always) init(repeating value: Float) { self = value }
  @inline(__always) subscript(lane: Int) -> Float {
    get { self }
    set { self = newValue }
  }
  @inline(__always) func limited(to limit: Float) -> Float { self > limit ? limit : self < -limit ? -limit : self }
  @inline(__always) var root: Float { magnitude.squareRoot() }
  @inline(__always) var rectified: Float { self < 0 ? 0 : self }
  @inline(__always) func kept(wherePositive mask: Float) -> Float { mask > 0 ? self : 0 }
  @inline(__always) func maximum(_ other: Float) -> Float { other > self || other != other ? other : self }
  @inline(__always) func minimum(_ other: Float) -> Float { other < self || other != other ? other : self }
  @inline(__always) func isGreater(than other: Float) -> Float { self > other ? 1 : 0 }
  @inline(__always) func isGreaterOrEqual(to other: Float) -> Float { self >= other ? 1 : 0 }
  @inline(__always) func isEqual(to other: Float) -> Float { self == other ? 1 : 0 }
  @inline(__always) func split(where candidate: Float, attains maximum: Float) -> (hit: Float, rest: Float) {
    candidate == maximum || candidate != candidate ? (self, 0) : (0, self)
  }
}

/// What is done to one block of neighbouring floats; a closure cannot be generic, so it is a structure.
protocol BlockKernel {
  /// Does the floats at `offset..<offset + V.width`.
  func callAsFunction<V: Lanes>(at offset: Int, _: V.Type)
}

/// Calls `kernel` on blocks that cover `range`: as many of 16 as fit, then of 4, then single ones.
@inline(__always)
func forEachBlock(of range: Range<Int>, _ kernel: some BlockKernel) {
  var offset = range.lowerBound
  while offset &+ 16 <= range.upperBound {
    kernel(at: offset, SIMD16<Float>.self)
    offset &+= 16
  }
  while offset &+ 4 <= range.upperBound {
    kernel(at: offset, SIMD4<Float>.self)
    offset &+= 4
  }
  while offset < range.upperBound {
    kernel(at: offset, Float.self)
    offset &+= 1
  }
}

extension Workers {
  /// The fewest floats that are worth waking another thread for.
  static let grainOfFloats = 16384

  /// The fewest rows of `channels` floats that are worth waking another thread for.
  static func grainOfRows(channels: Int) -> Int { max(1, grainOfFloats / max(1, channels)) }

  /// Divides independent `items`, each over all `channels`, and calls `body(item, channelRange)`. Where there are
  /// fewer items than workers the channels are divided too, in blocks of 16, which leaves every channel's result as
  /// it was.
  @inline(__always)
  func forEachItem(of items: Int, channels: Int, _ body: (_ item: Int, _ channels: Range<Int>) -> Void) {
    let blockWidth = items >= count ? max(1, channels) : 16
    let blocks = (channels + blockWidth - 1) / blockWidth
    forEachRange(of: items * blocks) { range, _ in
      for unit in range {
        let first = unit % blocks * blockWidth
        body(unit / blocks, first..<min(channels, first + blockWidth))
      }
    }
  }
}
