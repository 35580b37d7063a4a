import CNNCore
import X86Assembler

/// An activation function that is applied to registers, on their way to memory.
public struct VectorActivation: Hashable, Sendable, CustomStringConvertible {
  let function: ActivationFunction
  /// The function's own numbers, as in `ActivationFunction.constants`.
  let constants: [Float]
  private let code: ActivationCode

  /// The function, or nil where there is no code for it: then it takes a pass of its own.
  public init?(_ function: ActivationFunction, constants: [Double]) {
    guard let code = ActivationTable[function].code else { return nil }
    self.function = function
    self.constants = constants.map { Float($0) }
    self.code = code
  }

  /// The function's name.
  public var description: String { function.rawValue }

  /// The registers the code needs beside that of its operand.
  var temporaryCount: Int { code.value.temporaryCount }
  /// The registers the code of the gradient needs beside those of `x` and `dy`.
  var gradientTemporaryCount: Int { code.gradient.temporaryCount }

  /// Emits `x = f(x)`; `isRounded` says whether that is rounded to bfloat16 next.
  func emit(_ assembly: VectorCode, _ x: WideRegister, temporaries: [WideRegister], isRounded: Bool) {
    let rounded = isRounded && assembly.target.hasAVX512 ? code.roundedValue : nil
    (rounded ?? code.value).emit(assembly, x, temporaries, constants)
  }

  /// Emits `dy *= f'(x)`; `isRounded` says whether that is made of numbers of bfloat16.
  func emitGradient(
    _ assembly: VectorCode, at x: WideRegister, to dy: WideRegister, temporaries: [WideRegister], isRounded: Bool
  ) {
    let rounded = isRounded && assembly.target.hasAVX512 ? code.roundedGradient : nil
    (rounded ?? code.gradient).emit(assembly, x, dy, temporaries, constants)
  }

  /// Whether both are the same function, constants included.
  public static func == (a: VectorActivation, b: VectorActivation) -> Bool {
    a.function == b.function && a.constants == b.constants
  }

  /// The function and its constants.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(function)
    hasher.combine(constants)
  }
}

extension VectorCode {
  /// Emits an activation of `x`.
  /// - Parameter isRounded: whether the value is rounded to bfloat16 next, so that more digits of it would be lost.
  func apply(
    _ activation: VectorActivation, to x: WideRegister, temporaries: [WideRegister], isRounded: Bool = false
  ) {
    activation.emit(
      self, x, temporaries: temporaries.map { WideRegister(number: $0.number, lanes: x.lanes) }, isRounded: isRounded)
  }

  /// Emits `dy *= f'(x)`.
  /// - Parameter isRounded: whether it is made of numbers of bfloat16, so that more digits of it would mean nothing.
  func applyGradient(
    of activation: VectorActivation, at x: WideRegister, to dy: WideRegister, temporaries: [WideRegister],
    isRounded: Bool = false
  ) {
    activation.emitGradient(self, at: x, to: dy, temporaries: temporaries, isRounded: isRounded)
  }
}
