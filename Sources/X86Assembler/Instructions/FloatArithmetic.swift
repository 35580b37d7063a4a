extension Assembler {
  // MARK: - Lane by lane

  /// a + b.
  public var vaddps: RVM { row(.np, .m0F, 0x58) }
  /// a - b.
  public var vsubps: RVM { row(.np, .m0F, 0x5C) }
  /// a * b.
  public var vmulps: RVM { row(.np, .m0F, 0x59) }
  /// a / b.
  public var vdivps: RVM { row(.np, .m0F, 0x5E) }
  /// The larger; `b` if one is NaN or both are 0.
  public var vmaxps: RVM { row(.np, .m0F, 0x5F) }
  /// The smaller; `b` if one is NaN or both are 0.
  public var vminps: RVM { row(.np, .m0F, 0x5D) }
  /// Square root.
  public var vsqrtps: RM { row(.np, .m0F, 0x51) }
  /// Sums of neighbours, of `a` and `b` in turns.
  public var vhaddps: RVM { row(.pF2, .m0F, 0x7C, .w0, .full, .vexOnly) }

  // MARK: - Fused: d is the destination

  /// d * b + a.
  public var vfmadd132ps: RVM { row(.p66, .m0F38, 0x98) }
  /// a * d + b.
  public var vfmadd213ps: RVM { row(.p66, .m0F38, 0xA8) }
  /// a * b + d.
  public var vfmadd231ps: RVM { row(.p66, .m0F38, 0xB8) }
  /// d * b - a.
  public var vfmsub132ps: RVM { row(.p66, .m0F38, 0x9A) }
  /// a * d - b.
  public var vfmsub213ps: RVM { row(.p66, .m0F38, 0xAA) }
  /// a * b - d.
  public var vfmsub231ps: RVM { row(.p66, .m0F38, 0xBA) }
  /// a - d * b.
  public var vfnmadd132ps: RVM { row(.p66, .m0F38, 0x9C) }
  /// b - a * d.
  public var vfnmadd213ps: RVM { row(.p66, .m0F38, 0xAC) }
  /// d - a * b.
  public var vfnmadd231ps: RVM { row(.p66, .m0F38, 0xBC) }
  /// Sums of products of pairs of bfloat16 of `a` and `b`, added to the floats of the destination.
  public var vdpbf16ps: RVM { row(.pF3, .m0F38, 0x52, .w0, .full, .evexOnly) }

  // MARK: - The lowest lane; the others come from a

  /// a + b.
  public var vaddss: ScalarRVM { row(.pF3, .m0F, 0x58, .w0, .block(4)) }
  /// a - b.
  public var vsubss: ScalarRVM { row(.pF3, .m0F, 0x5C, .w0, .block(4)) }
  /// a * b.
  public var vmulss: ScalarRVM { row(.pF3, .m0F, 0x59, .w0, .block(4)) }
  /// a / b.
  public var vdivss: ScalarRVM { row(.pF3, .m0F, 0x5E, .w0, .block(4)) }
  /// The larger; `b` if one is NaN or both are 0.
  public var vmaxss: ScalarRVM { row(.pF3, .m0F, 0x5F, .w0, .block(4)) }
  /// The smaller; `b` if one is NaN or both are 0.
  public var vminss: ScalarRVM { row(.pF3, .m0F, 0x5D, .w0, .block(4)) }
  /// Square root of b.
  public var vsqrtss: ScalarRVM { row(.pF3, .m0F, 0x51, .w0, .block(4)) }
  /// a * b + d, where the other lanes stay.
  public var vfmadd231ss: ScalarRVM { row(.p66, .m0F38, 0xB9, .w0, .block(4)) }

  // MARK: - Parts of a float, approximations

  /// Rounded; the immediate is the mode: 0 nearest even, 1 down, 2 up, 3 towards 0, + 8 without exceptions.
  public var vroundps: RMI { row(.p66, .m0F3A, 0x08, .w0, .full, .vexOnly) }
  /// Rounded to a number of binary places; the mode is in the low bits as in `vroundps`, the number in the upper four.
  public var vrndscaleps: RMI { row(.p66, .m0F3A, 0x08, .w0, .full, .evexOnly) }
  /// What is lost by such a rounding: x - vrndscaleps(x); 0 for infinities.
  public var vreduceps: RMI { row(.p66, .m0F3A, 0x56, .w0, .full, .evexOnly) }
  /// a * 2 to the power of floor(b).
  public var vscalefps: RVM { row(.p66, .m0F38, 0x2C, .w0, .full, .evexOnly) }
  /// floor(log2(|x|)).
  public var vgetexpps: RM { row(.p66, .m0F38, 0x42, .w0, .full, .evexOnly) }
  /// The mantissa in an interval that the immediate's bits 0 and 1 choose: 0 is [1, 2), 2 is [0.5, 1).
  public var vgetmantps: RMI { row(.p66, .m0F3A, 0x26, .w0, .full, .evexOnly) }
  /// 1 / x, to 12 bits.
  public var vrcpps: RM { row(.np, .m0F, 0x53, .w0, .full, .vexOnly) }
  /// 1 / x, to 14 bits.
  public var vrcp14ps: RM { row(.p66, .m0F38, 0x4C, .w0, .full, .evexOnly) }
  /// 1 / square root, to 12 bits.
  public var vrsqrtps: RM { row(.np, .m0F, 0x52, .w0, .full, .vexOnly) }
  /// 1 / square root, to 14 bits.
  public var vrsqrt14ps: RM { row(.p66, .m0F38, 0x4E, .w0, .full, .evexOnly) }

  // MARK: - Bits of floats

  /// a and b.
  public var vandps: RVM { row(.np, .m0F, 0x54) }
  /// (not a) and b.
  public var vandnps: RVM { row(.np, .m0F, 0x55) }
  /// a or b.
  public var vorps: RVM { row(.np, .m0F, 0x56) }
  /// a xor b.
  public var vxorps: RVM { row(.np, .m0F, 0x57) }

  // MARK: - Comparison and choice

  /// Compares; the predicate is 0 equal, 1 less, 2 less or equal, 3 unordered, 4 to 7 their negations, ... 31.
  public var vcmpps: VectorComparison { row(.np, .m0F, 0xC2) }
  /// The lanes of `b` where the sign bit of the fourth register is set, of `a` elsewhere.
  public var vblendvps: RVMR { row(.p66, .m0F3A, 0x4A, .w0, .full, .vexOnly) }
  /// The lanes of `b` where the mask is set; elsewhere those of `a`, or 0 with a zeroing mask.
  public var vblendmps: RVM { row(.p66, .m0F38, 0x65, .w0, .full, .evexOnly) }

  // MARK: - Conversion

  /// Floats to 32-bit integers, rounded as MXCSR says.
  public var vcvtps2dq: RM { row(.p66, .m0F, 0x5B) }
  /// Floats to 32-bit integers, rounded towards 0.
  public var vcvttps2dq: RM { row(.pF3, .m0F, 0x5B) }
  /// 32-bit integers to floats.
  public var vcvtdq2ps: RM { row(.np, .m0F, 0x5B) }
  /// Half floats to floats.
  public var vcvtph2ps: WidenHalf { row(.p66, .m0F38, 0x13, .w0, .halfMemory) }
  /// Floats to half floats; the immediate is the rounding mode, 4 for that of MXCSR.
  public var vcvtps2ph: NarrowHalfI { row(.p66, .m0F3A, 0x1D, .w0, .halfMemory) }
  /// Floats to bfloat16, rounded to nearest even.
  public var vcvtneps2bf16: NarrowToBrain { row(.pF3, .m0F38, 0x72, .w0, .full, .evexOnly) }
  /// Floats of `b`, then those of `a`, to one vector of bfloat16, rounded to nearest even.
  public var vcvtne2ps2bf16: RVM { row(.pF2, .m0F38, 0x72, .w0, .full, .evexOnly) }
}
