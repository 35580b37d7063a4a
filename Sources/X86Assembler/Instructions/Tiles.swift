extension Assembler {
  // MARK: - Configuration

  /// Sets the shape of all tiles from 64 bytes, and clears them.
  public func ldtilecfg(_ source: Address) {
    encodeVEX(.np, .m0F38, 0x49, width: 0, reg: 0, rm: .memory(source), mnemonic: "ldtilecfg")
  }
  /// Stores the shape of all tiles as 64 bytes.
  public func sttilecfg(_ destination: Address) {
    encodeVEX(.p66, .m0F38, 0x49, width: 0, reg: 0, rm: .memory(destination), mnemonic: "sttilecfg")
  }
  /// Gives up all tiles, so that the system need not save them.
  public func tilerelease() {
    encodeVEX(.np, .m0F38, 0x49, width: 0, reg: 0, rm: .register(0), mnemonic: "tilerelease")
  }
  /// Clears a tile.
  public func tilezero(_ tile: TileRegister) {
    encodeVEX(.pF2, .m0F38, 0x49, width: 0, reg: tile.number, rm: .register(0), mnemonic: "tilezero")
  }

  // MARK: - Between memory and tiles

  /// Rows from memory, one each stride.
  public var tileloadd: TileLoad { TileLoad(assembler: self, prefix: .pF2, mnemonic: #function) }
  /// `tileloadd` of what is not read again soon.
  public var tileloaddt1: TileLoad { TileLoad(assembler: self, prefix: .p66, mnemonic: #function) }
  /// Rows to memory, one each stride.
  public func tilestored(_ destination: Address, _ tile: TileRegister) {
    encodeTileMove(.pF3, tile, destination, "tilestored")
  }

  // MARK: - Products

  /// Adds to each float of the destination the products of pairs of bfloat16: of a row of `a` with a column of pairs of `b`.
  public var tdpbf16ps: TileProduct { TileProduct(assembler: self, prefix: .pF3, opcode: 0x5C, mnemonic: #function) }
  /// The same of fours of signed bytes of `a` and `b`, to 32 bits.
  public var tdpbssd: TileProduct { TileProduct(assembler: self, prefix: .pF2, opcode: 0x5E, mnemonic: #function) }
  /// The same of signed bytes of `a` and unsigned ones of `b`.
  public var tdpbsud: TileProduct { TileProduct(assembler: self, prefix: .pF3, opcode: 0x5E, mnemonic: #function) }
  /// The same of unsigned bytes of `a` and signed ones of `b`.
  public var tdpbusd: TileProduct { TileProduct(assembler: self, prefix: .p66, opcode: 0x5E, mnemonic: #function) }
  /// The same of unsigned bytes of `a` and `b`.
  public var tdpbuud: TileProduct { TileProduct(assembler: self, prefix: .np, opcode: 0x5E, mnemonic: #function) }

  /// Tiles have no other addresses than base + stride * scale + displacement.
  fileprivate func encodeTileMove(
    _ prefix: OpcodeRow.Prefix, _ tile: TileRegister, _ address: Address, _ mnemonic: StaticString
  ) {
    guard case .register = address.base, address.index != .none else {
      return fail(mnemonic, "its address needs a base register and, as an index, one that holds the stride of rows")
    }
    encodeVEX(prefix, .m0F38, 0x4B, width: 0, reg: tile.number, rm: .memory(address), mnemonic: mnemonic)
  }
}

/// A tile from memory: the address's index is the register that holds the stride of rows in bytes.
public struct TileLoad {
  let assembler: Assembler
  let prefix: OpcodeRow.Prefix
  let mnemonic: StaticString

  /// Loads.
  public func callAsFunction(_ destination: TileRegister, _ source: Address) {
    assembler.encodeTileMove(prefix, destination, source, mnemonic)
  }
}

/// A destination and two sources, three different tiles.
public struct TileProduct {
  let assembler: Assembler
  let prefix: OpcodeRow.Prefix
  let opcode: UInt8
  let mnemonic: StaticString

  /// Adds the product of `a` and `b`.
  public func callAsFunction(_ destination: TileRegister, _ a: TileRegister, _ b: TileRegister) {
    guard destination != a, destination != b, a != b else {
      return assembler.fail(mnemonic, "its three tiles must be different ones")
    }
    assembler.encodeVEX(
      prefix, .m0F38, opcode, width: 0, reg: destination.number, vvvv: b.number, rm: .register(a.number),
      mnemonic: mnemonic)
  }
}
