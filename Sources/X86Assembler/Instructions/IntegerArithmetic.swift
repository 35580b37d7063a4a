extension Assembler {
  // MARK: - 32-bit lanes

  /// a + b.
  public var vpaddd: RVM { row(.p66, .m0F, 0xFE) }
  /// a - b.
  public var vpsubd: RVM { row(.p66, .m0F, 0xFA) }
  /// The low 32 bits of a * b.
  public var vpmulld: RVM { row(.p66, .m0F38, 0x40) }
  /// The larger, signed.
  public var vpmaxsd: RVM { row(.p66, .m0F38, 0x3D) }
  /// The smaller, signed.
  public var vpminsd: RVM { row(.p66, .m0F38, 0x39) }
  /// Shifted left.
  public var vpslld: VMI { row(.p66, .m0F, 0x72, digit: 6) }
  /// Shifted right, filled with 0.
  public var vpsrld: VMI { row(.p66, .m0F, 0x72, digit: 2) }
  /// Shifted right, filled with the sign.
  public var vpsrad: VMI { row(.p66, .m0F, 0x72, digit: 4) }
  /// a shifted left by b, lane by lane.
  public var vpsllvd: RVM { row(.p66, .m0F38, 0x47) }
  /// a shifted right by b, lane by lane, filled with 0.
  public var vpsrlvd: RVM { row(.p66, .m0F38, 0x45) }
  /// a shifted right by b, lane by lane, filled with the sign.
  public var vpsravd: RVM { row(.p66, .m0F38, 0x46) }
  /// Compares, signed, to a mask; the predicate is 0 equal, 1 less, 2 less or equal, 4 to 6 their negations.
  public var vpcmpd: VectorComparison { row(.p66, .m0F3A, 0x1F, .w0, .full, .evexOnly) }

  // MARK: - Bytes and 16-bit lanes

  /// The larger, unsigned bytes.
  public var vpmaxub: RVM { row(.p66, .m0F, 0xDE, .w0, .fullMemory) }
  /// The smaller, unsigned bytes.
  public var vpminub: RVM { row(.p66, .m0F, 0xDA, .w0, .fullMemory) }
  /// a + b of 16-bit lanes.
  public var vpaddw: RVM { row(.p66, .m0F, 0xFD, .w0, .fullMemory) }
  /// a - b of 16-bit lanes.
  public var vpsubw: RVM { row(.p66, .m0F, 0xF9, .w0, .fullMemory) }
  /// a + b of signed 16-bit lanes, with saturation.
  public var vpaddsw: RVM { row(.p66, .m0F, 0xED, .w0, .fullMemory) }
  /// The upper half of 2 a b of signed 16-bit lanes, rounded: (a b + 2^14) / 2^15, rounded down.
  public var vpmulhrsw: RVM { row(.p66, .m0F38, 0x0B, .w0, .fullMemory) }
  /// 16-bit lanes shifted left.
  public var vpsllw: VMI { row(.p66, .m0F, 0x71, .w0, .fullMemory, digit: 6) }
  /// 16-bit lanes shifted right, filled with 0.
  public var vpsrlw: VMI { row(.p66, .m0F, 0x71, .w0, .fullMemory, digit: 2) }
  /// 16-bit lanes shifted right, filled with the sign.
  public var vpsraw: VMI { row(.p66, .m0F, 0x71, .w0, .fullMemory, digit: 4) }
  /// a - b of signed bytes, which ends at the smallest and the largest one.
  public var vpsubsb: RVM { row(.p66, .m0F, 0xE8, .w0, .fullMemory) }
  /// In each 128 bits the bytes of `a` at the indices in `b`; 0 where the index's highest bit is set.
  public var vpshufb: RVM { row(.p66, .m0F38, 0x00, .w0, .fullMemory) }
  /// The lower bytes of each 128 bits of `a` and `b`, in turns.
  public var vpunpcklbw: RVM { row(.p66, .m0F, 0x60, .w0, .fullMemory) }
  /// The upper bytes of each 128 bits of `a` and `b`, in turns.
  public var vpunpckhbw: RVM { row(.p66, .m0F, 0x68, .w0, .fullMemory) }
  /// The lower 16-bit lanes of each 128 bits of `a` and `b`, in turns.
  public var vpunpcklwd: RVM { row(.p66, .m0F, 0x61, .w0, .fullMemory) }
  /// The upper 16-bit lanes of each 128 bits of `a` and `b`, in turns.
  public var vpunpckhwd: RVM { row(.p66, .m0F, 0x69, .w0, .fullMemory) }

  // MARK: - Bits

  /// a and b.
  public var vpand: RVM { row(.p66, .m0F, 0xDB, .w0, .full, .vexOnly) }
  /// a or b.
  public var vpor: RVM { row(.p66, .m0F, 0xEB, .w0, .full, .vexOnly) }
  /// a xor b.
  public var vpxor: RVM { row(.p66, .m0F, 0xEF, .w0, .full, .vexOnly) }
  /// a and b.
  public var vpandd: RVM { row(.p66, .m0F, 0xDB, .w0, .full, .evexOnly) }
  /// a or b.
  public var vpord: RVM { row(.p66, .m0F, 0xEB, .w0, .full, .evexOnly) }
  /// a xor b.
  public var vpxord: RVM { row(.p66, .m0F, 0xEF, .w0, .full, .evexOnly) }
  /// Any function of three bits: the immediate is its table, indexed by d * 4 + a * 2 + b.
  public var vpternlogd: RVMI { row(.p66, .m0F3A, 0x25, .w0, .full, .evexOnly) }

  // MARK: - Sums of products, for quantised networks

  /// Products of unsigned bytes of `a` and signed bytes of `b`; neighbours are added to 16 bits, with saturation.
  public var vpmaddubsw: RVM { row(.p66, .m0F38, 0x04, .w0, .fullMemory) }
  /// Products of 16-bit lanes; neighbours are added to 32 bits.
  public var vpmaddwd: RVM { row(.p66, .m0F, 0xF5, .w0, .fullMemory) }
  /// Four products of unsigned bytes of `a` and signed bytes of `b`, added to the 32 bits of the destination.
  ///
  /// Always EVEX: the VEX form is another feature of the processor, AVX-VNNI, and is `vpdpbusdVEX`.
  public var vpdpbusd: RVM { row(.p66, .m0F38, 0x50, .w0, .full, .evexOnly) }
  /// `vpdpbusd` of AVX-VNNI.
  public var vpdpbusdVEX: RVM { row(.p66, .m0F38, 0x50, .w0, .full, .vexOnly) }
  /// Two products of 16-bit lanes, added to the 32 bits of the destination.
  ///
  /// Always EVEX, as `vpdpbusd`; `vpdpwssdVEX` is that of AVX-VNNI.
  public var vpdpwssd: RVM { row(.p66, .m0F38, 0x52, .w0, .full, .evexOnly) }
  /// `vpdpwssd` of AVX-VNNI.
  public var vpdpwssdVEX: RVM { row(.p66, .m0F38, 0x52, .w0, .full, .vexOnly) }

  // MARK: - Widening and narrowing

  /// Unsigned bytes to 32 bits.
  public var vpmovzxbd: WidenQuarter { row(.p66, .m0F38, 0x31, .w0, .quarterMemory) }
  /// Signed bytes to 32 bits.
  public var vpmovsxbd: WidenQuarter { row(.p66, .m0F38, 0x21, .w0, .quarterMemory) }
  /// Unsigned bytes to 16 bits.
  public var vpmovzxbw: WidenHalf { row(.p66, .m0F38, 0x30, .w0, .halfMemory) }
  /// Unsigned 16 bits to 32.
  public var vpmovzxwd: WidenHalf { row(.p66, .m0F38, 0x33, .w0, .halfMemory) }
  /// Signed 16 bits to 32.
  public var vpmovsxwd: WidenHalf { row(.p66, .m0F38, 0x23, .w0, .halfMemory) }
  /// 32 bits to bytes, the low ones.
  public var vpmovdb: NarrowQuarter { row(.pF3, .m0F38, 0x31, .w0, .quarterMemory, .evexOnly) }
  /// 32 bits to unsigned bytes, with saturation; the source is unsigned.
  public var vpmovusdb: NarrowQuarter { row(.pF3, .m0F38, 0x11, .w0, .quarterMemory, .evexOnly) }
  /// 32 bits to signed bytes, with saturation.
  public var vpmovsdb: NarrowQuarter { row(.pF3, .m0F38, 0x21, .w0, .quarterMemory, .evexOnly) }
  /// 32 bits to 16, the low ones.
  public var vpmovdw: NarrowHalf { row(.pF3, .m0F38, 0x33, .w0, .halfMemory, .evexOnly) }
  /// Signed 32 bits to signed 16, with saturation; `a` and `b` in turns of 128 bits.
  public var vpackssdw: RVM { row(.p66, .m0F, 0x6B) }
  /// Signed 32 bits to unsigned 16, with saturation; `a` and `b` in turns of 128 bits.
  public var vpackusdw: RVM { row(.p66, .m0F38, 0x2B) }
  /// Signed 16 bits to signed bytes, with saturation; `a` and `b` in turns of 128 bits.
  public var vpacksswb: RVM { row(.p66, .m0F, 0x63, .w0, .fullMemory) }
  /// Signed 16 bits to unsigned bytes, with saturation; `a` and `b` in turns of 128 bits.
  public var vpackuswb: RVM { row(.p66, .m0F, 0x67, .w0, .fullMemory) }
}
