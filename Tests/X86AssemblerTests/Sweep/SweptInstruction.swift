@testable import X86Assembler

/// An instruction and how to try it.
struct SweptInstruction: Sendable {
  /// The name of its property or method.
  let name: String
  /// Its row, if it is a vector instruction.
  let row: OpcodeRow?
  /// Tries it; a vector instruction with the row given, if one is.
  let run: @Sendable (Sweep, OpcodeRow?) -> Void

  init<Form: SweepableForm>(_ property: KeyPath<Assembler, Form> & Sendable) {
    let shape = Assembler()[keyPath: property].row
    name = shape.mnemonic.description
    row = shape
    run = { sweep, row in
      var form = sweep.assembler[keyPath: property]
      if let row { form.row = row }
      form.sweep(sweep, shape)
    }
  }

  init(_ name: String, _ run: @escaping @Sendable (Sweep) -> Void) {
    self.name = name
    row = nil
    self.run = { sweep, _ in run(sweep) }
  }

  func sweep(keepsTexts: Bool = false, row: OpcodeRow? = nil) -> Sweep {
    let sweep = Sweep(keepsTexts: keepsTexts)
    run(sweep, row)
    return sweep
  }

  static let all: [SweptInstruction] = vectorArithmetic + vectorMoves + masks + tiles + general

  private static let vectorArithmetic: [SweptInstruction] = [
    .init(\.vaddps), .init(\.vsubps), .init(\.vmulps), .init(\.vdivps), .init(\.vmaxps), .init(\.vminps),
    .init(\.vsqrtps), .init(\.vhaddps), .init(\.vfmadd132ps), .init(\.vfmadd213ps), .init(\.vfmadd231ps),
    .init(\.vfmsub132ps), .init(\.vfmsub213ps), .init(\.vfmsub231ps), .init(\.vfnmadd132ps), .init(\.vfnmadd213ps),
    .init(\.vfnmadd231ps), .init(\.vdpbf16ps), .init(\.vaddss), .init(\.vsubss), .init(\.vmulss), .init(\.vdivss),
    .init(\.vmaxss), .init(\.vminss), .init(\.vsqrtss), .init(\.vfmadd231ss), .init(\.vroundps), .init(\.vrndscaleps),
    .init(\.vreduceps), .init(\.vscalefps), .init(\.vgetexpps), .init(\.vgetmantps), .init(\.vrcpps),
    .init(\.vrcp14ps), .init(\.vrsqrtps), .init(\.vrsqrt14ps), .init(\.vandps), .init(\.vandnps), .init(\.vorps),
    .init(\.vxorps), .init(\.vcmpps),
    .init(\.vblendvps), .init(\.vblendmps), .init(\.vcvtps2dq), .init(\.vcvttps2dq), .init(\.vcvtdq2ps),
    .init(\.vcvtph2ps), .init(\.vcvtps2ph), .init(\.vcvtneps2bf16), .init(\.vcvtne2ps2bf16), .init(\.vpaddd),
    .init(\.vpsubd), .init(\.vpmulld),
    .init(\.vpmaxsd), .init(\.vpminsd), .init(\.vpslld), .init(\.vpsrld), .init(\.vpsrad), .init(\.vpsllvd),
    .init(\.vpsrlvd), .init(\.vpsravd), .init(\.vpcmpd), .init(\.vpand), .init(\.vpor), .init(\.vpxor), .init(\.vpandd),
    .init(\.vpord), .init(\.vpxord), .init(\.vpternlogd), .init(\.vpmaddubsw), .init(\.vpmaddwd), .init(\.vpdpbusd),
    .init(\.vpdpbusdVEX), .init(\.vpdpwssd), .init(\.vpdpwssdVEX), .init(\.vpmovzxbd), .init(\.vpmovsxbd),
    .init(\.vpmovzxbw), .init(\.vpmovzxwd),
    .init(\.vpmovsxwd), .init(\.vpmovdb), .init(\.vpmovusdb), .init(\.vpmovsdb), .init(\.vpmovdw), .init(\.vpackssdw),
    .init(\.vpackusdw), .init(\.vpacksswb), .init(\.vpackuswb),
    .init(\.vpmaxub), .init(\.vpminub), .init(\.vpaddw), .init(\.vpaddsw), .init(\.vpsubw), .init(\.vpmulhrsw),
    .init(\.vpsllw), .init(\.vpsrlw), .init(\.vpsraw), .init(\.vpsubsb), .init(\.vpshufb), .init(\.vpermw),
    .init(\.vpunpcklbw),
    .init(\.vpunpckhbw), .init(\.vpunpcklwd), .init(\.vpunpckhwd),
  ]

  private static let vectorMoves: [SweptInstruction] = [
    .init(\.vmovups), .init(\.vmovaps), .init(\.vmovdqu), .init(\.vmovdqu8), .init(\.vmovdqu16), .init(\.vmovdqu32),
    .init(\.vmovntps), .init(\.vmaskmovps), .init(\.vgatherdps), .init(\.vcompressps), .init(\.vexpandps),
    .init(\.vmovss), .init(\.vmovd), .init(\.vmovq), .init(\.vbroadcastss), .init(\.vpbroadcastd),
    .init(\.vpbroadcastw), .init(\.vpbroadcastb), .init(\.vbroadcastf128), .init(\.vbroadcastf32x4),
    .init(\.vbroadcasti32x4), .init(\.vinsertf128), .init(\.vinsertf32x4), .init(\.vinsertf32x8),
    .init(\.vinsertf64x4), .init(\.vextractf128), .init(\.vextractf32x4), .init(\.vextractf32x8),
    .init(\.vextractf64x4), .init(\.vpermps), .init(\.vpermd), .init(\.vpermi2ps), .init(\.vpermt2ps),
    .init(\.vpermilps), .init(\.vshufps), .init(\.vshuff32x4), .init(\.vperm2f128), .init(\.vunpcklps),
    .init(\.vunpckhps), .init(\.vunpcklpd), .init(\.vunpckhpd),
  ]

  private static let masks: [SweptInstruction] = [
    .init("kmovw") { $0.moves("kmovw", $0.assembler.kmovw, memory: "word ptr", general: \.text32) },
    .init("kmovd") { $0.moves("kmovd", $0.assembler.kmovd, memory: "dword ptr", general: \.text32) },
    .init("kmovq") { $0.moves("kmovq", $0.assembler.kmovq, memory: "qword ptr", general: \.text) },
    .init("kandw") { $0.operations("kandw", $0.assembler.kandw) },
    .init("korw") { $0.operations("korw", $0.assembler.korw) },
    .init("kxnorw") { $0.operations("kxnorw", $0.assembler.kxnorw) },
    .init("kxorw") { $0.operations("kxorw", $0.assembler.kxorw) },
    .init("kortestw") { sweep in
      for a in MaskRegister.all {
        for b in MaskRegister.all { sweep.add(sweep.assembler.kortestw(a, b), "kortestw \(a.text), \(b.text)") }
      }
    },
  ]
}

extension Sweep {
  fileprivate func moves(
    _ name: String, _ move: MaskMove, memory size: String, general: KeyPath<GeneralRegister, String>
  ) {
    for k in MaskRegister.all {
      for other in MaskRegister.all { add(move(k, other), "\(name) \(k.text), \(other.text)") }
      for register in GeneralRegister.all {
        add(move(k, register), "\(name) \(k.text), \(register[keyPath: general])")
        add(move(register, k), "\(name) \(register[keyPath: general]), \(k.text)")
      }
    }
    for memory in MemoryCase.all {
      let k = pick(MaskRegister.all)
      add(move(k, memory.address), "\(name) \(k.text), \(size) \(memory.text)")
      add(move(memory.address, k), "\(name) \(size) \(memory.text), \(k.text)")
    }
  }

  fileprivate func operations(_ name: String, _ operation: MaskOperation) {
    for d in MaskRegister.all {
      for a in MaskRegister.all {
        for b in MaskRegister.all { add(operation(d, a, b), "\(name) \(d.text), \(a.text), \(b.text)") }
      }
    }
  }
}
