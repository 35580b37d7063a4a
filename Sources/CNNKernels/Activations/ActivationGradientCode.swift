import CNNCore
import X86Assembler

extension VectorActivation {
  /// The registers the code of the gradient needs beside those of `x` and `dy`.
  var gradientTemporaryCount: Int { VectorCode.gradients[function]?.temporaryCount ?? 0 }
}

extension VectorCode {
  /// The code of a gradient: multiplies the numbers in `dy` by the function's derivative at `x`, which it keeps.
  struct FunctionGradient: Sendable {
    let temporaryCount: Int
    let emit:
      @Sendable (VectorCode, _ x: WideRegister, _ dy: WideRegister, _ temporaries: [WideRegister], _ constants: [Float])
        -> Void
  }

  /// Emits `dy *= f'(x)`.
  func applyGradient(
    of activation: VectorActivation, at x: WideRegister, to dy: WideRegister, temporaries: [WideRegister]
  ) {
    Self.gradients[activation.function]?.emit(self, x, dy, temporaries, activation.constants)
  }

  /// The gradients of all `functions`. Where a function has a corner the derivative is that of `Activation.backward`, which
  /// is PyTorch's.
  static let gradients: [ActivationFunction: FunctionGradient] = [
    .relu: FunctionGradient(temporaryCount: 1) { code, x, dy, temporaries, _ in
      code.zero(temporaries[0])
      code.clear(dy, where: .notAbove, x, temporaries[0], mask: temporaries[0])
    },
    .relu6: FunctionGradient(temporaryCount: 2) { code, x, dy, t, _ in
      code.clear(dy, outside: 0, 6, x, t, includingEnds: true)
    },
    .clip: FunctionGradient(temporaryCount: 2) { code, x, dy, t, constants in
      code.clear(dy, outside: constants[0], constants[1], x, t, includingEnds: false)
    },
    .sigmoid: FunctionGradient(temporaryCount: 3) { code, x, dy, t, _ in
      code.sigmoid(t[0], x, t[1], t[2])
      // s - s^2
      code.copy(t[1], t[0])
      code.multiplySubtract(t[1], t[0], .register(t[0]))
      code.multiply(dy, dy, t[1])
    },
    .silu: FunctionGradient(temporaryCount: 3) { code, x, dy, t, _ in
      code.sigmoid(t[0], x, t[1], t[2])
      // s (1 + x (1 - s)) = s + x (s - s^2)
      code.copy(t[1], t[0])
      code.multiplySubtract(t[1], t[0], .register(t[0]))
      code.multiplyAdd(t[0], x, t[1])
      code.multiply(dy, dy, t[0])
    },
    .hardSigmoid: FunctionGradient(temporaryCount: 2) { code, x, dy, t, _ in
      code.multiply(dy, dy, code.constant(1 / 6, lanes: x.lanes))
      code.clear(dy, outside: -3, 3, x, t, includingEnds: true)
    },
    .hardSwish: FunctionGradient(temporaryCount: 2) { code, x, dy, t, _ in
      // 0 up to -3, 1 from 3 on, and x / 3 + 1/2 between, which is 3/2 at 3.
      code.broadcast(t[0], code.assembler.constant(1 / 3))
      code.multiply(t[0], t[0], x)
      code.add(t[0], t[0], code.constant(0.5, lanes: x.lanes))
      code.broadcast(t[1], code.assembler.constant(3))
      code.replaceWithOne(t[0], whereNotBelow: t[1], x, mask: t[1])
      code.broadcast(t[1], code.assembler.constant(-3))
      code.clear(t[0], where: .notAbove, x, t[1], mask: t[1])
      code.multiply(dy, dy, t[0])
    },
    .gelu: FunctionGradient(temporaryCount: 5) { code, x, dy, t, _ in
      // Φ(x) + x φ(x): below 0 it is s = Φ(-|x|) - |x| φ(x), and 1 - s = s + (1 - 2 s) from there on.
      code.normalBell(t[1], magnitude: t[0], denominator: t[2], x, t[3])
      code.reciprocal(t[3], t[2], temporary: t[4])
      code.scaledNormalTail(t[2], t[3])
      code.multiply(t[0], t[0], code.constant(0.398_942_28, lanes: x.lanes))
      code.subtract(t[2], t[2], t[0])
      code.multiply(t[2], t[2], t[1])
      code.broadcast(t[0], code.assembler.constant(1))
      code.subtract(t[0], t[0], t[2])
      code.subtract(t[0], t[0], t[2])
      code.zero(t[1])
      code.clear(t[0], where: .below, x, t[1], mask: t[1])
      code.add(t[2], t[2], t[0])
      code.multiply(dy, dy, t[2])
    },
  ]

  /// What two numbers are to each other, as `vcmpps` numbers it; none holds for NaN but `.notAbove` with its "or unordered"
  /// form left out, so that NaN in `x` keeps `dy`, as the portable code does.
  enum Relation: Int {
    /// a <= b
    case notAbove = 2
    /// a < b
    case below = 1
    /// a > b
    case above = 14
    /// a >= b
    case notBelow = 13
  }

  /// Sets `d` to zero in the lanes where `a` has that relation to `b`. `mask` is lost; it may be `b`.
  func clear(_ d: WideRegister, where relation: Relation, _ a: WideRegister, _ b: WideRegister, mask: WideRegister) {
    if target.hasAVX512 {
      // The opposite, counting NaN: what stays.
      let stays = relation.rawValue ^ 4
      if d.lanes == 16 {
        k.vcmpps(.k1, Zmm(a.number), Zmm(b.number), stays)
        k.vmovaps(Zmm(d.number), Zmm(d.number), .zero(.k1))
      } else {
        k.vcmpps(.k1, Ymm(a.number), Ymm(b.number), stays)
        k.vmovaps(Ymm(d.number), Ymm(d.number), .zero(.k1))
      }
    } else {
      k.vcmpps(Ymm(mask.number), Ymm(a.number), Ymm(b.number), relation.rawValue)
      k.vandnps(Ymm(d.number), Ymm(mask.number), Ymm(d.number))
    }
  }

  /// d = a where `condition` is above zero, and 0 elsewhere. `temporary` is lost.
  func keep(
    _ d: WideRegister, _ a: WideRegister, wherePositive condition: WideRegister, temporary: WideRegister
  ) {
    zero(temporary)
    if target.hasAVX512 {
      if d.lanes == 16 {
        k.vcmpps(.k1, Zmm(condition.number), Zmm(temporary.number), Relation.above.rawValue)
        k.vmovaps(Zmm(d.number), Zmm(a.number), .zero(.k1))
      } else {
        k.vcmpps(.k1, Ymm(condition.number), Ymm(temporary.number), Relation.above.rawValue)
        k.vmovaps(Ymm(d.number), Ymm(a.number), .zero(.k1))
      }
    } else {
      k.vcmpps(
        Ymm(temporary.number), Ymm(condition.number), Ymm(temporary.number), Relation.above.rawValue)
      k.vandps(Ymm(d.number), Ymm(temporary.number), Ymm(a.number))
    }
  }

  /// Sets `d` to one in the lanes where `a` is `limit` or more. `mask` is lost; it may be `limit`.
  private func replaceWithOne(
    _ d: WideRegister, whereNotBelow limit: WideRegister, _ a: WideRegister, mask: WideRegister
  ) {
    // Cleared there, and one added to what is cleared.
    let one = k.constant(1)
    if target.hasAVX512 {
      if d.lanes == 16 {
        k.vcmpps(.k1, Zmm(a.number), Zmm(limit.number), Relation.notBelow.rawValue)
        k.vbroadcastss(Zmm(d.number), one, .merge(.k1))
      } else {
        k.vcmpps(.k1, Ymm(a.number), Ymm(limit.number), Relation.notBelow.rawValue)
        k.vbroadcastss(Ymm(d.number), one, .merge(.k1))
      }
    } else {
      k.vcmpps(Ymm(mask.number), Ymm(a.number), Ymm(limit.number), Relation.notBelow.rawValue)
      k.vblendvps(Ymm(d.number), Ymm(d.number), k.constant(1, lanes: 8), Ymm(mask.number))
    }
  }

  /// Sets `d` to zero in the lanes where `x` is not between the limits.
  private func clear(
    _ d: WideRegister, outside minimum: Float, _ maximum: Float, _ x: WideRegister, _ t: [WideRegister],
    includingEnds: Bool
  ) {
    if minimum > -.infinity {
      broadcast(t[0], k.constant(minimum))
      clear(d, where: includingEnds ? .notAbove : .below, x, t[0], mask: t[0])
    }
    if maximum < .infinity {
      broadcast(t[0], k.constant(maximum))
      clear(d, where: includingEnds ? .notBelow : .above, x, t[0], mask: t[0])
    }
  }
}
