import X86Assembler

extension VectorCode {
  /// What two numbers are to each other, as `vcmpps` numbers it; none holds for NaN but `.notAbove` with its "or unordered"
  /// form left out, so that NaN in `x` keeps `dy`, as the portable code does.
  enum Relation: Int {
    /// a == b
    case equal = 0
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
    keep(d, a, where: .above, condition, temporary, temporary: temporary)
  }

  /// d = a where b = c, and 0 elsewhere. `temporary` is lost.
  func keep(
    _ d: WideRegister, _ a: WideRegister, whereEqual b: WideRegister, _ c: WideRegister, temporary: WideRegister
  ) {
    keep(d, a, where: .equal, b, c, temporary: temporary)
  }

  /// d = a in the lanes where `b` has that relation to `c`, and 0 elsewhere. `temporary` is lost; it may be `b` or `c`.
  private func keep(
    _ d: WideRegister, _ a: WideRegister, where relation: Relation, _ b: WideRegister, _ c: WideRegister,
    temporary: WideRegister
  ) {
    if target.hasAVX512 {
      if d.lanes == 16 {
        k.vcmpps(.k1, Zmm(b.number), Zmm(c.number), relation.rawValue)
        k.vmovaps(Zmm(d.number), Zmm(a.number), .zero(.k1))
      } else {
        k.vcmpps(.k1, Ymm(b.number), Ymm(c.number), relation.rawValue)
        k.vmovaps(Ymm(d.number), Ymm(a.number), .zero(.k1))
      }
    } else {
      k.vcmpps(Ymm(temporary.number), Ymm(b.number), Ymm(c.number), relation.rawValue)
      k.vandps(Ymm(d.number), Ymm(temporary.number), Ymm(a.number))
    }
  }

  /// Sets `d` to one in the lanes where `a` is `limit` or more. `mask` is lost; it may be `limit`.
  func replaceWithOne(
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
  func clear(
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
