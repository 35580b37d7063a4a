import X86Assembler

/// The products of F(4 x 4, 3 x 3) for a few tiles and 16 output channels, with the filter transformed on the way.
///
/// Where a filter meets few tiles, the time is that of reading it, and the transformed one has four times the bytes. So
/// for each row of positions the six transformed filters are made of the nine numbers and multiplied at once; they never
/// leave the registers. The six rows follow each other for 16 input channels at a time, whose filters are then in the
/// first cache.
///
/// With the middle taps times 1/√2 (`tapFactors`) and the rows' factors moved to the transformed input (`inputFactors`),
/// what remains of G are the rows [1 0 0], [1 ±1 1/2], [1/2 ±1 1] and [0 0 1]: one multiplication and two additions for
/// two of them, and processors add beside multiplying.
struct WinogradFewTilesKernel: Hashable, Sendable {
  let target: CodeTarget
  /// The tiles, 1 to 4.
  var extent: WinogradTiles.Extent
  /// The blocks of input channels, the channels of the last, and bytes from one to the next in the transformed input.
  var blocks, lastDepth, blockStride: Int
  /// Bytes from a position to the next in the transformed input and among the products.
  var inputPositionStride, outputPositionStride: Int
  /// How far ahead the filter is fetched, in bytes; 0 for not.
  var prefetchDistance: Int

  /// How far to fetch ahead: two blocks of channels.
  static let prefetchDistance = 2 * 9 * 1024
  /// The floats behind a filter that are read and not used.
  static let filterMargin = 16

  /// What the taps of the stored filter are multiplied by.
  static let tapFactors: [Float] = {
    let p = WinogradTransform.inner, row = [1, p, 1]
    return row.flatMap { left in row.map { Float(left * $0) } }
  }()

  /// What each row or column of the transformed input is multiplied by.
  static let inputFactors = zip(WinogradTransform.f4.filterFactors, [1.0, 1, 1, 2, 2, 1]).map { $0 * $1 }

  /// The most tiles that a call can take; there must be registers for the sums of a row.
  static let largestTileCount = 4
  var name: String {
    "winograd_few_\(target.instructionSet.rawValue)_\(extent.tiles)tiles_\(extent.tiles(at: 4, 4).count)whole_"
      + "\(blocks)blocks"
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    Emitter(kernel: self, code: code).emit()
    return code
  }
}

/// What a call computes with.
struct WinogradFewTilesArguments {
  /// The first tile of the transformed input at position 0.
  var input: UnsafeRawPointer
  /// The panel's filters: for every block of input channels and tap the channels, for each of those 16 lanes.
  var filter: UnsafeRawPointer
  /// The first tile of the products at position 0.
  var output: UnsafeMutableRawPointer
}

/// Writes the code of one kernel.
private struct Emitter {
  let kernel: WinogradFewTilesKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let input = GeneralRegister.rax, filter = GeneralRegister.rsi, output = GeneralRegister.rdx
  let blocks = GeneralRegister.rcx, channels = GeneralRegister.r8
  /// Of the channels that are multiplied now.
  let x = GeneralRegister.r9, g = GeneralRegister.r10

  /// A row of G times the columns of a filter, and the transformed filters of positions 1 to 4.
  let t = (24..<27).map { WideRegister(number: $0, lanes: 16) }
  let u = (27..<31).map { WideRegister(number: $0, lanes: 16) }
  let half = WideRegister(number: 31, lanes: 16)
  func sum(_ position: Int, _ tile: Int) -> WideRegister { WideRegister(number: position * 4 + tile, lanes: 16) }

  func emit() {
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(filter, GeneralRegister.rdi[8])
    k.mov(output, GeneralRegister.rdi[16])
    code.broadcast(half, k.constant(0.5))
    code.zero(u[0])
    for row in 0..<6 { forEachSum(of: row) { place, _ in code.store(place, u[0]) } }
    let isLastShorter = kernel.lastDepth < 16, full = kernel.blocks - (isLastShorter ? 1 : 0)
    if full > 0 {
      k.mov(blocks, full)
      let next = k.newLabel()
      k.bind(next)
      block(depth: 16)
      k.dec(blocks)
      k.jump(.ne, next)
    }
    if isLastShorter { block(depth: kernel.lastDepth) }
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  /// The sums of a row of positions, and where they are between blocks.
  private func forEachSum(of row: Int, _ body: (Address, WideRegister) -> Void) {
    for position in 0..<6 {
      for tile in kernel.extent.tiles(at: row, position) {
        body(output[(row * 6 + position) * kernel.outputPositionStride + tile * 64], sum(position, tile))
      }
    }
  }

  /// All products of a block of channels.
  private func block(depth: Int) {
    let step = [4, 3, 2].first { depth % $0 == 0 } ?? 1
    for row in 0..<6 where !kernel.extent.tiles(at: row, 0).isEmpty {
      forEachSum(of: row) { place, sum in code.load(sum, place) }
      k.mov(x, input)
      k.add(x, row * 6 * kernel.inputPositionStride)
      k.mov(g, filter)
      k.mov(channels, depth / step)
      leftTransform(row, channel: 0, depth)
      let next = k.newLabel()
      k.align(32)
      k.bind(next)
      for channel in 0..<step { products(row, channel, depth) }
      k.add(x, step * 4)
      k.add(g, step * 64)
      k.dec(channels)
      k.jump(.ne, next)
      forEachSum(of: row) { place, sum in code.store(place, sum) }
    }
    k.add(filter, 9 * depth * 64)
    k.add(input, kernel.blockStride)
  }

  /// The products of a row of positions and one channel of a block. The next channel's filter is read and half transformed
  /// between them, so that nothing waits for it; behind the last channel that is of no use and does no harm.
  private func products(_ row: Int, _ channel: Int, _ depth: Int) {
    for (index, whole, halved) in [(0, t[0], t[2]), (2, t[2], t[0])] {
      let (sum, difference) = (u[index], u[index + 1])
      code.copy(difference, whole)
      code.multiplyAdd(difference, halved, half)
      code.add(sum, difference, t[1])
      code.subtract(difference, difference, .register(t[1]))
    }
    multiply(row, 0, t[0], channel)
    multiply(row, 5, t[2], channel)
    leftTransform(row, channel: channel + 1, depth)
    if kernel.prefetchDistance > 0 {
      for line in [row, row + 6] where line < 9 {
        k.prefetcht1(g[(line * depth + channel) * 64 + kernel.prefetchDistance])
      }
    }
    for position in 1...4 { multiply(row, position, u[position - 1], channel) }
  }

  /// One row of G times the columns of a channel's filter.
  private func leftTransform(_ row: Int, channel: Int, _ depth: Int) {
    for column in 0..<3 {
      func tap(_ row: Int) -> Address { g[((row * 3 + column) * depth + channel) * 64] }
      if row == 0 || row == 5 {
        code.load(t[column], tap(row == 0 ? 0 : 2))
      } else {
        let (whole, halved) = row < 3 ? (0, 2) : (2, 0)
        code.load(t[column], tap(whole))
        code.multiplyAdd(t[column], half, .memory(tap(halved)))
        if row % 2 == 1 {
          code.add(t[column], t[column], .memory(tap(1)))
        } else {
          code.subtract(t[column], t[column], .memory(tap(1)))
        }
      }
    }
  }

  private func multiply(_ row: Int, _ position: Int, _ u: WideRegister, _ channel: Int) {
    for tile in kernel.extent.tiles(at: row, position) {
      let place = x[position * kernel.inputPositionStride + tile * 64 + channel * 4]
      code.multiplyAdd(sum(position, tile), u, .memory(place.splat))
    }
  }
}
