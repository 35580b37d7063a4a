@testable import X86Assembler

extension SweptInstruction {
  static let tiles: [SweptInstruction] = [
    .init("ldtilecfg") { s in s.configurations("ldtilecfg") { s.assembler.ldtilecfg($0) } },
    .init("sttilecfg") { s in s.configurations("sttilecfg") { s.assembler.sttilecfg($0) } },
    .init("tilerelease") { s in s.add(s.assembler.tilerelease(), "tilerelease") },
    .init("tilezero") { s in
      for tile in TileRegister.all { s.add(s.assembler.tilezero(tile), "tilezero \(tile.text)") }
    },
    .init("tileloadd") { s in
      s.strided { tile, address, text in
        s.add(s.assembler.tileloadd(tile, address), "tileloadd \(tile.text), \(text)")
      }
    },
    .init("tileloaddt1") { s in
      s.strided { tile, address, text in
        s.add(s.assembler.tileloaddt1(tile, address), "tileloaddt1 \(tile.text), \(text)")
      }
    },
    .init("tilestored") { s in
      s.strided { tile, address, text in
        s.add(s.assembler.tilestored(address, tile), "tilestored \(text), \(tile.text)")
      }
    },
    .init("tdpbf16ps") { $0.products("tdpbf16ps", $0.assembler.tdpbf16ps) },
    .init("tdpbssd") { $0.products("tdpbssd", $0.assembler.tdpbssd) },
    .init("tdpbsud") { $0.products("tdpbsud", $0.assembler.tdpbsud) },
    .init("tdpbusd") { $0.products("tdpbusd", $0.assembler.tdpbusd) },
    .init("tdpbuud") { $0.products("tdpbuud", $0.assembler.tdpbuud) },
  ]
}

extension TileRegister {
  var text: String { "tmm\(number)" }
}

extension Sweep {
  fileprivate func configurations(_ name: String, _ emit: (Address) -> Void) {
    for memory in MemoryCase.all { add(emit(memory.address), "\(name) \(memory.text)") }
  }

  fileprivate func strided(_ body: (TileRegister, Address, String) -> Void) {
    for tile in TileRegister.all {
      for memory in MemoryCase.all where memory.address.index != .none { body(tile, memory.address, memory.text) }
    }
  }

  fileprivate func products(_ name: String, _ form: TileProduct) {
    for d in TileRegister.all {
      for a in TileRegister.all where a != d {
        for b in TileRegister.all where b != d && b != a {
          add(form(d, a, b), "\(name) \(d.text), \(a.text), \(b.text)")
        }
      }
    }
  }
}
