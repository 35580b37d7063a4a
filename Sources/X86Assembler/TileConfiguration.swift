/// The shapes of the eight tiles, as `ldtilecfg` reads them: 64 bytes of palette 1.
public struct TileConfiguration: Hashable, Sendable {
  /// A tile's shape: up to 16 rows of up to 64 bytes, a multiple of 4. A tile that is not used has none.
  public struct Shape: Hashable, Sendable {
    /// How many rows.
    public var rows: Int
    /// How long each is.
    public var rowByteCount: Int

    /// A shape of this size.
    public init(rows: Int, rowByteCount: Int) { (self.rows, self.rowByteCount) = (rows, rowByteCount) }
  }

  /// The shapes by the tiles' numbers.
  public private(set) var shapes: [Shape?] = Array(repeating: nil, count: 8)

  /// No tiles.
  public init() {}

  /// The shape of a tile.
  public subscript(tile: TileRegister) -> Shape? {
    get { shapes[tile.number] }
    set { shapes[tile.number] = newValue }
  }

  /// The 64 bytes in words of 32 bits, a constant for `ldtilecfg`. Sizes that do not exist fault where they are loaded.
  public var words: [UInt32] {
    var bytes = [UInt8](repeating: 0, count: 64)
    bytes[0] = 1  // The palette.
    for (number, shape) in shapes.enumerated() {
      guard let shape else { continue }
      bytes[16 + 2 * number] = UInt8(truncatingIfNeeded: shape.rowByteCount)
      bytes[17 + 2 * number] = UInt8(truncatingIfNeeded: shape.rowByteCount >> 8)
      bytes[48 + number] = UInt8(truncatingIfNeeded: shape.rows)
    }
    return stride(from: 0, to: 64, by: 4).map { start in
      (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) }
    }
  }
}

extension Assembler {
  /// Sets the shapes of all tiles, and clears them.
  public func configureTiles(_ configuration: TileConfiguration) { ldtilecfg(constantVector(configuration.words)) }
}
