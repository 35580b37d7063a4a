import X86Assembler

/// Six of the thirty-six products of F(4 x 4, 3 x 3), those of one row of positions, for a few tiles and 16 output
/// channels, with the filter transformed on the way.
///
/// Where a filter meets few tiles, the time is that of reading it, and the transformed one has four times the bytes. So
/// for each row of G a pass over the nine numbers makes the six it needs and multiplies them at once; they never leave
/// the registers. The factors of G's rows are applied to the transformed input, so that what remains are the rows
/// [1 0 0], [1 ±p p^2], [1 ±q q^2] and [0 0 1].
struct WinogradRowKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Which row of positions.
  var row: Int
  /// How many tiles, 1 to 4.
  var tiles: Int
  /// The blocks of input channels, the channels of the last, and bytes from one to the next in the transformed input.
  var blocks, lastDepth, blockStride: Int
  /// Bytes from a position to the next in the transformed input and among the products.
  var inputPositionStride, outputPositionStride: Int
  /// Bytes from one panel of the filter to the next, which is fetched meanwhile; 0 for none.
  var prefetchDistance: Int

  /// The most tiles that a call can take; there must be registers for the sums of all.
  static let largestTileCount = 4
  var name: String { "winograd_row_\(target.instructionSet.rawValue)_\(row)_\(tiles)tiles_\(blocks)blocks" }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler
    let input = GeneralRegister.rax, filter = GeneralRegister.rsi, output = GeneralRegister.rdx
    let counter = GeneralRegister.rcx
    func vector(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: 16) }
    func sum(_ position: Int, _ tile: Int) -> WideRegister { vector(position * tiles + tile) }
    let t = (0..<3).map { vector(24 + $0) }, even = vector(27), u = vector(28), linear = vector(29), square = vector(30)

    /// One row of G times one column of the filter, which begins at `place`.
    func leftTransform(_ t: WideRegister, _ place: (_ tap: Int) -> Address) {
      switch row {
      case 0: code.load(t, place(0))
      case 5: code.load(t, place(2))
      default:
        code.load(t, place(0))
        code.multiplyAdd(t, square, .memory(place(2)))
        code.multiplyAdd(t, linear, .memory(place(1)))
      }
    }
    func multiply(_ position: Int, _ u: WideRegister, channel: Int) {
      for tile in 0..<tiles {
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
        for (position, point) in [(1, WinogradTransform.inner), (3, WinogradTransform.outer)] {
          let linear = code.constant(Float(point), lanes: 16)
          code.copy(even, t[0])
          code.multiplyAdd(even, t[2], code.constant(position == 1 ? 0.5 : 2, lanes: 16))
          code.copy(u, even)
          code.multiplyAdd(u, t[1], linear)
          multiply(position, u, channel: channel)
          code.multiplySubtract(even, t[1], linear)
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
    if (1...4).contains(row) {
      code.broadcast(linear, k.constant(Float(WinogradTransform.filterRows[row][1])))
      code.broadcast(square, k.constant(Float(WinogradTransform.filterRows[row][2])))
    }
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
      for tile in 0..<tiles {
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
