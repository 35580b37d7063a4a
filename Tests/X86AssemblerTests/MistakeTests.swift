import CNNCore
import Testing

@testable import X86Assembler

/// The message of what `finish` throws after `write`, without the kernel's name.
private func mistake(_ write: (Assembler) -> Void) -> String? {
  let k = Assembler()
  write(k)
  do {
    _ = try k.finish(name: "k")
    return nil
  } catch {
    return error.code == .internalFault && error.message.hasPrefix("kernel 'k': ")
      ? String(error.message.dropFirst("kernel 'k': ".utf8.count)) : "another error: \(error)"
  }
}

private let rdi = GeneralRegister.rdi

@Suite struct MistakeTests {
  @Test func addressesThatDoNotExist() {
    #expect(
      mistake { $0.vaddps(Zmm(0), Zmm(1), rdi[.rsp, 4, 8]) } == "vaddps at offset 0: rsp cannot be an index")
    #expect(mistake { $0.mov(.rax, rdi[.rsp]) } == "mov at offset 0: rsp cannot be an index")
    #expect(mistake { $0.prefetcht0(rdi[.rsp]) } == "prefetcht0 at offset 0: rsp cannot be an index")
    #expect(
      mistake { $0.vmovups(rdi[.rax, 3, 8], Ymm(1)) }
        == "vmovups at offset 0: a scale of 3; 1, 2, 4 or 8 is needed")
    #expect(mistake { $0.lea(.rax, rdi[.rax, 0]) } == "lea at offset 0: a scale of 0; 1, 2, 4 or 8 is needed")
    for displacement in [0x8000_0000, -0x8000_0001, .max, .min] {
      let end = "a displacement of \(displacement) bytes, which is beyond 32 bits"
      #expect(mistake { $0.vmovups(Zmm(0), rdi[displacement]) } == "vmovups at offset 0: \(end)")
      #expect(mistake { $0.vmovss(Xmm(0), rdi[.rax, 4, displacement]) } == "vmovss at offset 0: \(end)")
      #expect(mistake { $0.add(.rax, rdi[displacement]) } == "add at offset 0: \(end)")
      #expect(mistake { $0.kmovw(.k1, rdi[displacement]) } == "kmovw at offset 0: \(end)")
    }
    #expect(
      mistake { $0.vaddps(Zmm(0), Zmm(1), rdi[Zmm(2)]) }
        == "vaddps at offset 0: its index cannot be a vector register")
    let index = "vgatherdps at offset 0: its index must be a vector register as wide as its destination"
    #expect(mistake { $0.vgatherdps(Zmm(0), rdi[Ymm(2)], .merge(.k1)) } == index)
    #expect(mistake { $0.vgatherdps(Ymm(0), rdi[.rax], Ymm(1)) } == index)
  }

  @Test func tilesThatDoNotExist() {
    let stride = "its address needs a base register and, as an index, one that holds the stride of rows"
    #expect(mistake { $0.tileloadd(.tmm0, rdi[64]) } == "tileloadd at offset 0: \(stride)")
    #expect(mistake { $0.tileloaddt1(.tmm0, rdi[]) } == "tileloaddt1 at offset 0: \(stride)")
    #expect(mistake { $0.tilestored($0.constant(1), .tmm0) } == "tilestored at offset 0: \(stride)")
    #expect(mistake { $0.tileloadd(.tmm0, rdi[.rsp]) } == "tileloadd at offset 0: rsp cannot be an index")
    #expect(
      mistake { $0.tileloadd(.tmm0, rdi[.rax, 3]) } == "tileloadd at offset 0: a scale of 3; 1, 2, 4 or 8 is needed")
    #expect(
      mistake { $0.tileloadd(.tmm0, rdi[Zmm(1)]) } == "tileloadd at offset 0: its index cannot be a vector register")
    #expect(
      mistake { $0.tilestored(rdi[.rax].splat, .tmm0) }
        == "tilestored at offset 0: its memory operand cannot be a splat")
    #expect(
      mistake { $0.ldtilecfg(rdi[0x8000_0000]) }
        == "ldtilecfg at offset 0: a displacement of 2147483648 bytes, which is beyond 32 bits")
    let same = "its three tiles must be different ones"
    #expect(mistake { $0.tdpbf16ps(.tmm0, .tmm0, .tmm1) } == "tdpbf16ps at offset 0: \(same)")
    #expect(mistake { $0.tdpbssd(.tmm0, .tmm1, .tmm0) } == "tdpbssd at offset 0: \(same)")
    #expect(mistake { $0.tdpbuud(.tmm2, .tmm1, .tmm1) } == "tdpbuud at offset 0: \(same)")
    #expect(mistake { $0.tdpbuud(.tmm2, .tmm1, .tmm0) } == nil)
  }

  @Test func registersThatDoNotExist() {
    let absent = "registers above 15, masks and splats do not exist in it"
    #expect(mistake { $0.vhaddps(Ymm(16), Ymm(1), Ymm(2)) } == "vhaddps at offset 0: \(absent)")
    #expect(mistake { $0.vhaddps(Ymm(0), Ymm(16), Ymm(2)) } == "vhaddps at offset 0: \(absent)")
    #expect(mistake { $0.vhaddps(Ymm(0), Ymm(1), Ymm(31)) } == "vhaddps at offset 0: \(absent)")
    #expect(mistake { $0.vblendvps(Ymm(0), Ymm(1), Ymm(2), Ymm(3)) } == nil)
    #expect(
      mistake { $0.vblendvps(Ymm(0), Ymm(1), Ymm(2), Ymm(16)) }
        == "vblendvps at offset 0: a vector register beyond 0...15")
    #expect(mistake { $0.vcmpps(Ymm(16), Ymm(1), Ymm(2), 0) } == "vcmpps at offset 0: \(absent)")
    for number in [32, -1, 64, .max, .min] {
      let beyond = "vaddps at offset 0: a vector register beyond 0...31"
      #expect(mistake { $0.vaddps(Zmm(number), Zmm(1), Zmm(2)) } == beyond)
      #expect(mistake { $0.vaddps(Xmm(0), Xmm(number), Xmm(2)) } == beyond)
      #expect(mistake { $0.vaddps(Ymm(0), Ymm(1), Ymm(number)) } == beyond)
      #expect(mistake { $0.vgatherdps(Zmm(0), rdi[Zmm(number)], .merge(.k1)) } != nil)
      #expect(mistake { $0.vblendvps(Ymm(0), Ymm(1), Ymm(2), Ymm(number)) } != nil)
    }
  }

  @Test func widthsThatDoNotExist() {
    #expect(mistake { $0.vhaddps(Zmm(0), Zmm(1), Zmm(2)) } == "vhaddps at offset 0: has no form of 512 bits")
    #expect(mistake { $0.vpermps(Xmm(0), Xmm(1), Xmm(2)) } == "vpermps at offset 0: has no form of 128 bits")
    #expect(mistake { $0.vperm2f128(Xmm(0), Xmm(1), Xmm(2), 0) } == "vperm2f128 at offset 0: has no form of 128 bits")
    #expect(mistake { $0.vextractf64x4(Ymm(0), Ymm(1), 0) } == "vextractf64x4 at offset 0: has no form of 256 bits")
    #expect(mistake { $0.vcmpps(Zmm(0), Zmm(1), Zmm(2), 0) } == "vcmpps at offset 0: has no form of 512 bits")
  }

  @Test func splatsThatDoNotExist() {
    let absent = "registers above 15, masks and splats do not exist in it"
    #expect(mistake { $0.vhaddps(Ymm(0), Ymm(1), rdi[0].splat) } == "vhaddps at offset 0: \(absent)")
    #expect(mistake { $0.vcmpps(Ymm(0), Ymm(1), rdi[0].splat, 0) } == "vcmpps at offset 0: \(absent)")
    // By the row, of every instruction whose memory operand is not a whole vector of 32-bit lanes.
    for instruction in SweptInstruction.all {
      guard let row = instruction.row, row.tuple != .full else { continue }
      let k = Assembler()
      k.encode(row, byteCount: row.widths[0].byteCount, reg: 0, rm: .memory(rdi[0].splat))
      #expect(k.failure?.mentions("its memory operand cannot be a splat") == true, "\(instruction.name)")
    }
    #expect(mistake { $0.vmovups(rdi[0].splat, Zmm(1)) } == "vmovups at offset 0: a splat cannot be written")
    #expect(mistake { $0.mov(.rax, rdi[0].splat) } == "mov at offset 0: its memory operand cannot be a splat")
    #expect(mistake { $0.kmovw(.k1, rdi[0].splat) } == "kmovw at offset 0: its memory operand cannot be a splat")
  }

  @Test func masksThatDoNotExist() {
    let absent = "registers above 15, masks and splats do not exist in it"
    #expect(mistake { $0.vhaddps(Ymm(0), Ymm(1), Ymm(2), .merge(.k1)) } == "vhaddps at offset 0: \(absent)")
    #expect(mistake { $0.vmovdqu(rdi[0], Ymm(1), .merge(.k1)) } == "vmovdqu at offset 0: \(absent)")
    #expect(
      mistake { $0.vaddps(Zmm(0), Zmm(1), Zmm(2), .merge(.k0)) } == "vaddps at offset 0: k0 cannot be a write mask")
    #expect(
      mistake { $0.vmovups(rdi[0], Zmm(1), .zero(.k1)) } == "vmovups at offset 0: a zeroing mask on memory")
    #expect(
      mistake { $0.vcmpps(.k1, Zmm(1), Zmm(2), 0, .zero(.k2)) } == "vcmpps at offset 0: a zeroing mask on a mask")
    #expect(
      mistake { $0.vgatherdps(Zmm(0), rdi[Zmm(1)], .zero(.k1)) } == "vgatherdps at offset 0: a zeroing mask")
    #expect(mistake { $0.vpcmpd(Ymm(0), Ymm(1), Ymm(2), 0) } == "vpcmpd at offset 0: its result can only be a mask")
  }

  @Test func numbersThatDoNotFit() {
    for i in [256, -1, .max, .min] {
      let end = "an immediate of \(i), which is beyond 8 bits"
      #expect(mistake { $0.vshufps(Zmm(0), Zmm(1), Zmm(2), i) } == "vshufps at offset 0: \(end)")
      #expect(mistake { $0.vextractf128(rdi[0], Ymm(1), i) } == "vextractf128 at offset 0: \(end)")
      #expect(mistake { $0.vpslld(Zmm(0), Zmm(1), i) } == "vpslld at offset 0: \(end)")
    }
    for i in [0x8000_0000, -0x8000_0001, .max, .min] {
      let end = "an immediate of \(i), which is beyond 32 bits"
      #expect(mistake { $0.add(.rax, i) } == "add at offset 0: \(end)")
      #expect(mistake { $0.add(.rcx, i) } == "add at offset 0: \(end)")
      #expect(mistake { $0.cmp(rdi[0], i) } == "cmp at offset 0: \(end)")
      #expect(mistake { $0.mov(rdi[0], i) } == "mov at offset 0: \(end)")
      #expect(mistake { $0.test(.rcx, i) } == "test at offset 0: \(end)")
      #expect(mistake { $0.imul(.rcx, .rax, i) } == "imul at offset 0: \(end)")
    }
    #expect(mistake { $0.mov32(rdi[0], 0x1_0000_0000) } != nil)
    #expect(mistake { $0.shl(.rax, 64) } == "shl at offset 0: by 64 bits; 0...63 is needed")
    #expect(mistake { $0.sar(.rax, -1) } == "sar at offset 0: by -1 bits; 0...63 is needed")
    for n in [0, 3, 128, -1, .min] {
      #expect(mistake { $0.align(n) } == "align at offset 0: to \(n); a power of 2 up to 64 is needed")
    }
    #expect(mistake { _ = $0.constantVector([]) } == "constant at offset 0: has no elements")
    #expect(mistake { _ = $0.constant(1, lanes: -1) } == "constant at offset 0: has no elements")
    #expect(mistake { $0.vpbroadcastd(Zmm(0), GeneralRegister.rax) } == nil)
    #expect(
      mistake { $0.vbroadcastss(Zmm(0), GeneralRegister.rax) }
        == "vbroadcastss at offset 0: its source cannot be a general register")
  }

  @Test func labelsThatAreNowhereOrTwice() {
    #expect(mistake { $0.jump($0.newLabel()) } == "label 0 is used and not bound")
    #expect(mistake { $0.lea(.rax, $0.newLabel()) } == "label 0 is used and not bound")
    #expect(
      mistake { k in
        let label = k.newLabel()
        k.bind(label)
        k.ret()
        k.bind(label)
      } == "bind at offset 1: label 0 is bound twice")
    let other = Assembler(), label = other.newLabel()
    other.bind(label)
    let foreign = "a label or constant of another assembler"
    #expect(mistake { $0.bind(label) } == "bind at offset 0: \(foreign)")
    #expect(mistake { $0.jump(label) } == "jump at offset 0: \(foreign)")
    #expect(mistake { $0.jump(.ne, label) } == "jump at offset 0: \(foreign)")
    #expect(mistake { $0.vaddps(Zmm(0), Zmm(0), other.constant(1).splat) } == "vaddps at offset 0: \(foreign)")
    #expect(mistake { _ = $0.newLabel() } == nil)
  }

  @Test func theFirstMistakeIsTheOneReported() {
    let message = mistake { k in
      k.ret()
      k.shl(.rax, 64)
      k.vhaddps(Zmm(0), Zmm(0), Zmm(0))
      k.jump(k.newLabel())
    }
    #expect(message == "shl at offset 1: by 64 bits; 0...63 is needed")
  }
}
