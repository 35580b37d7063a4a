extension Assembler {
  // MARK: - Whole vectors

  /// Floats, at any address.
  public var vmovups: VectorMove { row(.np, .m0F, 0x10, .w0, .fullMemory, second: 0x11) }
  /// Floats, at an address that is a multiple of the vector's size.
  public var vmovaps: VectorMove { row(.np, .m0F, 0x28, .w0, .fullMemory, second: 0x29) }
  /// Any bits, for AVX2.
  public var vmovdqu: VectorMove { row(.pF3, .m0F, 0x6F, .w0, .fullMemory, .vexOnly, second: 0x7F) }
  /// Bytes, with a mask bit for each.
  public var vmovdqu8: VectorMove { row(.pF2, .m0F, 0x6F, .w0, .fullMemory, .evexOnly, second: 0x7F) }
  /// 16-bit lanes, with a mask bit for each.
  public var vmovdqu16: VectorMove { row(.pF2, .m0F, 0x6F, .w1, .fullMemory, .evexOnly, second: 0x7F) }
  /// 32-bit lanes, with a mask bit for each.
  public var vmovdqu32: VectorMove { row(.pF3, .m0F, 0x6F, .w0, .fullMemory, .evexOnly, second: 0x7F) }
  /// Floats past the caches, at an address that is a multiple of the vector's size.
  public var vmovntps: VectorStore { row(.np, .m0F, 0x2B, .w0, .fullMemory) }
  /// Floats of the lanes whose sign bit is set, for AVX2.
  public var vmaskmovps: SignMaskedMove { row(.p66, .m0F38, 0x2C, .w0, .full, .vexOnly, second: 0x2E) }
  /// Floats at 32-bit indices.
  public var vgatherdps: VectorGather { row(.p66, .m0F38, 0x92, .w0, .block(4)) }
  /// The floats of the mask's lanes, moved together from the lowest lane on.
  public var vcompressps: Compression { row(.p66, .m0F38, 0x8A, .w0, .block(4), .evexOnly) }
  /// Neighbouring floats, moved apart to the mask's lanes.
  public var vexpandps: RM { row(.p66, .m0F38, 0x88, .w0, .block(4), .evexOnly) }

  // MARK: - One element

  /// A float.
  public var vmovss: ScalarMove { row(.pF3, .m0F, 0x10, .w0, .block(4), second: 0x11) }
  /// 32 bits.
  public var vmovd: GeneralVectorMove { row(.p66, .m0F, 0x6E, .w0, .block(4), second: 0x7E) }
  /// 64 bits.
  public var vmovq: GeneralVectorMove { row(.p66, .m0F, 0x6E, .w1, .block(8), second: 0x7E) }

  // MARK: - Repetition

  /// A float in every lane.
  public var vbroadcastss: Broadcast { row(.p66, .m0F38, 0x18, .w0, .block(4)) }
  /// 32 bits in every lane.
  public var vpbroadcastd: Broadcast { row(.p66, .m0F38, 0x58, .w0, .block(4), second: 0x7C) }
  /// 16 bits in every lane.
  public var vpbroadcastw: Broadcast { row(.p66, .m0F38, 0x79, .w0, .block(2), second: 0x7B) }
  /// A byte in every lane.
  public var vpbroadcastb: Broadcast { row(.p66, .m0F38, 0x78, .w0, .block(1), second: 0x7A) }
  /// 4 floats twice, for AVX2.
  public var vbroadcastf128: BlockBroadcast { row(.p66, .m0F38, 0x1A, .w0, .block(16), .vexOnly, lengths: .only32) }
  /// 4 floats, repeated.
  public var vbroadcastf32x4: BlockBroadcast { row(.p66, .m0F38, 0x1A, .w0, .block(16), .evexOnly, lengths: .from32) }
  /// 4 lanes of 32 bits, repeated.
  public var vbroadcasti32x4: BlockBroadcast { row(.p66, .m0F38, 0x5A, .w0, .block(16), .evexOnly, lengths: .from32) }

  // MARK: - Parts

  /// A vector with 128 bits replaced, for AVX2.
  public var vinsertf128: Insertion<Xmm> { row(.p66, .m0F3A, 0x18, .w0, .block(16), .vexOnly, lengths: .only32) }
  /// A vector with 128 bits replaced.
  public var vinsertf32x4: Insertion<Xmm> { row(.p66, .m0F3A, 0x18, .w0, .block(16), .evexOnly, lengths: .from32) }
  /// A vector with 256 bits replaced, the mask by 32.
  public var vinsertf32x8: Insertion<Ymm> { row(.p66, .m0F3A, 0x1A, .w0, .block(32), .evexOnly, lengths: .only64) }
  /// A vector with 256 bits replaced, the mask by 64.
  public var vinsertf64x4: Insertion<Ymm> { row(.p66, .m0F3A, 0x1A, .w1, .block(32), .evexOnly, lengths: .only64) }
  /// 128 bits of a vector, for AVX2.
  public var vextractf128: Extraction<Xmm> { row(.p66, .m0F3A, 0x19, .w0, .block(16), .vexOnly, lengths: .only32) }
  /// 128 bits of a vector.
  public var vextractf32x4: Extraction<Xmm> { row(.p66, .m0F3A, 0x19, .w0, .block(16), .evexOnly, lengths: .from32) }
  /// 256 bits of a vector, the mask by 32.
  public var vextractf32x8: Extraction<Ymm> { row(.p66, .m0F3A, 0x1B, .w0, .block(32), .evexOnly, lengths: .only64) }
  /// 256 bits of a vector, the mask by 64.
  public var vextractf64x4: Extraction<Ymm> { row(.p66, .m0F3A, 0x1B, .w1, .block(32), .evexOnly, lengths: .only64) }

  // MARK: - Other orders of lanes

  /// The floats of `b` at the indices in `a`.
  public var vpermps: RVM { row(.p66, .m0F38, 0x16, lengths: .from32) }
  /// The 32-bit lanes of `b` at the indices in `a`.
  public var vpermd: RVM { row(.p66, .m0F38, 0x36, lengths: .from32) }
  /// The 16-bit lanes of `b` at the indices in `a`.
  public var vpermw: RVM { row(.p66, .m0F38, 0x8D, .w1, .fullMemory, .evexOnly) }
  /// Of the floats of `a` and `b` in a row, those at the indices in the destination.
  public var vpermi2ps: RVM { row(.p66, .m0F38, 0x77, .w0, .full, .evexOnly) }
  /// Of the floats of the destination and `b` in a row, those at the indices in `a`.
  public var vpermt2ps: RVM { row(.p66, .m0F38, 0x7F, .w0, .full, .evexOnly) }
  /// The floats of each 128 bits in the order that the immediate's pairs of bits give.
  public var vpermilps: RMI { row(.p66, .m0F3A, 0x04) }
  /// In each 128 bits two floats of `a` and two of `b`, chosen by the immediate's pairs of bits.
  public var vshufps: RVMI { row(.np, .m0F, 0xC6) }
  /// In each half of the vector 128 bits of `a` and then of `b`, chosen by the immediate.
  public var vshuff32x4: RVMI { row(.p66, .m0F3A, 0x23, .w0, .full, .evexOnly, lengths: .from32) }
  /// Two times 128 bits out of those of `a` and `b`, for AVX2.
  public var vperm2f128: RVMI { row(.p66, .m0F3A, 0x06, .w0, .full, .vexOnly, lengths: .only32) }
  /// The lower floats of each 128 bits of `a` and `b`, in turns.
  public var vunpcklps: RVM { row(.np, .m0F, 0x14) }
  /// The upper floats of each 128 bits of `a` and `b`, in turns.
  public var vunpckhps: RVM { row(.np, .m0F, 0x15) }
  /// The lower 64 bits of each 128 of `a` and then of `b`.
  public var vunpcklpd: RVM { row(.p66, .m0F, 0x14, .evexW1) }
  /// The upper 64 bits of each 128 of `a` and then of `b`.
  public var vunpckhpd: RVM { row(.p66, .m0F, 0x15, .evexW1) }
}
