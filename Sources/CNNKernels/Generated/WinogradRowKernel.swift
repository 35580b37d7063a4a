import X86Assembler

/// Six of the thirty-six products of F(4 x 4, 3 x 3), those of one row of positions, for a few tiles and 16 output
/// channels, with the filter transformed on the way.
///
/// Where a filter meets few tiles, the time is that of reading it, and the transformed one has four times the bytes. So
/// for each row of G a pass over the nine numbers makes the six it needs and multiplies them at once; they never leave
/// the registers.
///
/// With the middle taps times 1/√2 (`tapFactors`) and the rows' factors moved to the transformed input (`inputFactors`),
/// what remains of G are the rows [1 0 0], [1 ±1 1/2], [1/2 ±1 1] and [0 0 1]: one multiplication and two additions for
/// two of them, and processors add beside multiplying.
struct WinogradRowKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Which row of positions.
  var row: Int
  /// How many tiles, 1 to 4, and which of them have the position that short ones lack.
  var tiles: Int
  var wholeTiles: Range<Int>
  /// The blocks of input channels, the channels of the last, and bytes from one to the next in the transformed input.
  var blocks, lastDepth, blockStride: Int
  /// Bytes from a position to the next in the transformed input and among the products.
  var inputPositionStride, outputPositionStride: Int
  /// Bytes from one panel of the filter to the next, which is fetched meanwhile; 0 for none.
  var prefetchDistance: Int

  /// What the taps of the stored filter are multiplied by.
  static let tapFactors: [Float] = {
    let p = WinogradTransform.inner, row = [1, p, 1]
    return row.flatMap { left in row.map { Float(left * $0) } }
  }()

  /// What each row or column of the transformed input is multiplied by.
  static let inputFactors = zip(WinogradTransform.f4.filterFactors, [1.0, 1, 1, 2, 2, 1]).map { $0 * $1 }

  /// The most tiles that a call can take; there must be registers for the sums of all.
  static let largestTileCount = 4
  var name: String { "winograd_row_\(target.instructionSet.rawValue)_\(row)_\(tiles)tiles_\(wholeTiles.count)whole_\(blocks)blocks" }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler
    let input = GeneralRegister.rax, filter = GeneralRegister.rsi, output = GeneralRegister.rdx
    let counter = GeneralRegister.rcx
    func vector(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: 16) }
    func sum(_ position: Int, _ tile: Int) -> WideRegister { vector(position * tiles + tile) }
    let t = (0..<3).map { vector(24 + $0) }, even = vector(27), u = vector(28), half = vector(29)

    /// One row of G times one column of the filter, which begins at `place`.
    func leftTransform(_ t: WideRegister, _ place: (_ tap: Int) -> Address) {
      if row == 0 { return code.load(t, place(0)) }
      if row == 5 { return code.load(t, place(2)) }
      let (whole, halved) = row < 3 ? (0, 2) : (2, 0)
      code.load(t, place(whole))
      code.multiplyAdd(t, half, .memory(place(halved)))
      if row % 2 == 1 { code.add(t, t, .memory(place(1))) } else { code.subtract(t, t, .memory(place(1))) }
    }
    func participants(at position: Int) -> Range<Int> {
      position == WinogradTransform.shortPosition ? wholeTiles : 0..<tiles
    }
    func multiply(_ position: Int, _ u: WideRegister, channel: Int) {
      for tile in participants(at: position) {
        let place = input[(row * 6 + position) * inputPositionStride + tile * 64 + channel * 4]
        code.multiplyAdd(sum(position, tile), u, .memory(place.splat))
      }
    }
    func block(depth: Int) {
      for channel in 0..<depth {
        for column in 0..<3 {
          leftTransform(t[column]) { filter[(($0 * 3 + column) * depth + channel) * 64] }
        }
        if prefetchDistance > 0 {
          for line in [row, row + 6] where line < 9 {
            k.prefetcht1(filter[(line * depth + channel) * 64 + prefetchDistance])
          }
        }
        multiply(0, t[0], channel: channel)
        multiply(5, t[2], channel: channel)
        for (position, whole, halved) in [(1, t[0], t[2]), (3, t[2], t[0])] {
          code.copy(even, whole)
          code.multiplyAdd(even, halved, half)
          code.add(u, even, t[1])
          multiply(position, u, channel: channel)
          if participants(at: position + 1).isEmpty { continue }
          code.subtract(even, even, .register(t[1]))
          multiply(position + 1, even, channel: channel)
        }
      }
      k.add(filter, 9 * depth * 64)
      k.add(input, blockStride)
    }

    k.push(.rbp)
    k.mov(.rbp, .rsp)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(filter, GeneralRegister.rdi[8])
    k.mov(output, GeneralRegister.rdi[16])
    code.broadcast(half, k.constant(0.5))
    for number in 0..<6 * tiles { code.zero(vector(number)) }
    let full = lastDepth == 16 ? blocks : blocks - 1
    if full > 0 {
      k.mov(counter, full)
      let next = k.newLabel()
      k.align(32)
      k.bind(next)
      block(depth: 16)
      k.dec(counter)
      k.jump(.ne, next)
    }
    if full < blocks { block(depth: lastDepth) }
    for position in 0..<6 {
      for tile in participants(at: position) {
        code.store(output[(row * 6 + position) * outputPositionStride + tile * 64], sum(position, tile))
      }
    }
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What a row of products is called with.
struct WinogradRowArguments {
  /// The first tile of the transformed input at position 0.
  var input: UnsafeRawPointer
  /// The panel's filters: for every block of input channels and tap the channels, for each of those 16 lanes.
  var filter: UnsafeRawPointer
  /// The first tile of the products at position 0.
  var output: UnsafeMutableRawPointer
}
