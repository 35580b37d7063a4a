import CNNRuntime

/// An activation function: its value, its derivative, the machine code of both, and how exact all of them are.
///
/// The portable value and derivative say what the function is; the code is held to them.
protocol ActivationDefinition {
  typealias Vector = ActivationMath.Vector

  /// The function with these constants, in the order of `ActivationFunction.constants`; most have none.
  init(_ constants: SIMD4<Float>)

  /// `f(x)`
  func value(_ x: Vector) -> Vector
  /// `dy * f'(x)`
  func gradient(_ x: Vector, _ dy: Vector) -> Vector

  /// The machine code; nil where the function takes a pass of its own, by the portable kernels.
  static var code: ActivationCode? { get }
  /// How far the value may be from the function in exact arithmetic.
  static var bound: ActivationBound { get }
  /// How far the value may be that code gives where it is rounded to bfloat16 next; the rounding comes on top.
  static var roundedBound: ActivationBound { get }
  /// How far the derivative may be.
  static var gradientBound: ActivationBound { get }

  // Requirements, so that there is a loop for each function's own vectors behind a call of any.
  func forward(
    _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int, _ workers: Workers)
  func backward(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>, _ count: Int,
    _ workers: Workers)
}

extension ActivationDefinition {
  static var code: ActivationCode? { nil }
  static var roundedBound: ActivationBound { bound }
}

/// An activation function without constants.
protocol PlainActivationDefinition: ActivationDefinition {
  init()
}

extension PlainActivationDefinition {
  init(_ constants: SIMD4<Float>) { self.init() }
}

/// How far an activation's kernels, portable and generated, may be from the function in exact arithmetic.
struct ActivationBound {
  /// The largest error as a share of the result.
  var relative = 0.0
  /// What may be added to that, where terms cancel each other.
  var absolute = 0.0

  /// For functions that only choose among floats.
  static let exact = ActivationBound()
}

/// The machine code of a function and of its gradient: one value, since networks that are trained need both.
struct ActivationCode: Sendable {
  /// Replaces the numbers in `x` by the function's values. NaN stays NaN.
  struct Value: Sendable {
    /// The registers it needs beside `x`.
    let temporaryCount: Int
    let emit: @Sendable (VectorCode, _ x: WideRegister, _ temporaries: [WideRegister], _ constants: [Float]) -> Void
  }

  /// Multiplies the numbers in `dy` by the function's derivative at `x`, which it keeps.
  struct Gradient: Sendable {
    /// The registers it needs beside `x` and `dy`.
    let temporaryCount: Int
    let emit:
      @Sendable (VectorCode, _ x: WideRegister, _ dy: WideRegister, _ temporaries: [WideRegister], _ constants: [Float])
        -> Void
  }

  let value: Value
  /// A shorter way with AVX-512 to a value of which 8 bits are left, as it is rounded to bfloat16 next; nil where there is
  /// none. It needs no more registers.
  var roundedValue: Value?
  let gradient: Gradient
  /// A shorter way with AVX-512 to a gradient, where what it is made of has 8 bits, as images of bfloat16; nil where there is
  /// none. It needs no more registers.
  var roundedGradient: Gradient?
}
