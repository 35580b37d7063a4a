import X86Assembler

/// The products of F(4 x 4, 3 x 3) for a few tiles and 16 output channels, with the filter transformed on the way.
///
/// Where a filter meets few tiles, the time is that of reading it, and the transformed one has four times the bytes. So
/// the filter is transformed when it is used: for 16 input channels and a row of six positions, which stay in the first
/// cache, and are multiplied at once. The six rows of positions follow each other while the filter is there too.
///
/// With the middle taps times 1/√2 (`tapFactors`) and the rows' factors moved to the transformed input (`inputFactors`),
/// what remains of G are the rows [1 0 0], [1 ±1 1/2], [1/2 ±1 1] and [0 0 1]: one multiplication and two additions for
/// two of them.
struct WinogradFewTilesKernel: Hashable, Sendable {
  let target: CodeTarget
  /// The tiles.
  var extent: WinogradTiles.Extent
  /// The blocks of input channels, the channels of the last, and bytes from one to the next in the transformed input.
  var blocks, lastDepth, blockStride: Int
  /// Bytes from a position to the next in the transformed input and among the products.
  var inputPositionStride, outputPositionStride: Int
  /// How far ahead the filter is fetched, in bytes; 0 for not.
  var prefetchDistance: Int

  /// How far to fetch ahead: two blocks of channels.
  static let prefetchDistance = 2 * 9 * 1024
  /// Cycles for the transforms of 16 output channels of an input channel.
  static let cycles = 75.0

  /// What the taps of the stored filter are multiplied by.
  static let tapFactors: [Float] = {
    let p = WinogradTransform.inner, row = [1, p, 1]
    return row.flatMap { left in row.map { Float(left * $0) } }
  }()

  /// What each row or column of the transformed input is multiplied by.
  static let inputFactors = zip(WinogradTransform.f4.filterFactors, [1.0, 1, 1, 2, 2, 1]).map { $0 * $1 }

  var name: String {
    "winograd_few_\(target.vectorName)_\(extent.tiles)tiles_\(extent.tiles(at: 4, 4).count)whole_"
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
  var lanes: Int { kernel.target.lanes }
  /// The registers of 16 output channels.
  var halves: Range<Int> { 0..<16 / lanes }

  let input = GeneralRegister.rax, filter = GeneralRegister.rsi, output = GeneralRegister.rdx
  let blocks = GeneralRegister.rcx, channels = GeneralRegister.r8
  /// Of the channels that are computed now: the transformed input, the filter and the transformed filter.
  let x = GeneralRegister.r9, g = GeneralRegister.r10, u = GeneralRegister.r11

  /// The transformed filter of a row of positions: for each of them 16 channels of 16 lanes.
  static let positionByteCount = 16 * 64

  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }

  func emit() {
    k.beginFrame(byteCount: 6 * Self.positionByteCount)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(filter, GeneralRegister.rdi[8])
    k.mov(output, GeneralRegister.rdi[16])
    code.zero(register(0))
    for row in 0..<6 {
      for position in 0..<6 {
        for tile in kernel.extent.tiles(at: row, position) {
          for half in halves { code.store(sum(row, position, tile, half), register(0)) }
        }
      }
    }
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
    k.endFrame()
  }

  /// Where the sum of a position and a tile is between blocks.
  private func sum(_ row: Int, _ position: Int, _ tile: Int, _ half: Int) -> Address {
    output[(row * 6 + position) * kernel.outputPositionStride + tile * 64 + half * 32]
  }

  /// All products of a block of channels.
  private func block(depth: Int) {
    for row in 0..<6 where !kernel.extent.tiles(at: row, 0).isEmpty {
      transform(row, depth)
      for positions in groups(of: row) { multiply(row, positions, depth) }
    }
    k.add(filter, 9 * depth * 64)
    k.add(input, kernel.blockStride)
  }

  /// Runs `body` for all channels, some at a time.
  private func forEachChannel(of depth: Int, atOnce step: Int, _ body: (_ channel: Int) -> Void, then: () -> Void) {
    k.mov(channels, depth / step)
    k.loop(channels) {
      for channel in 0..<step { body(channel) }
      then()
    }
  }

  // MARK: - The filter

  /// Transforms the filters of a row of positions.
  private func transform(_ row: Int, _ depth: Int) {
    k.mov(g, filter)
    k.mov(u, .rsp)
    let step = depth % 2 == 0 ? 2 : 1
    forEachChannel(of: depth, atOnce: step) { channel in
      for half in halves { transform(row, channel, half, depth) }
      if kernel.prefetchDistance > 0 {
        for line in [row, row + 6] where line < 9 {
          k.prefetcht1(g[(line * depth + channel) * 64 + kernel.prefetchDistance])
        }
      }
    } then: {
      k.add(g, step * 64)
      k.add(u, step * 64)
    }
  }

  private func transform(_ row: Int, _ channel: Int, _ half: Int, _ depth: Int) {
    // Registers in turn, so that one channel's do not wait for another's.
    let first = (channel % 2 + half % 2) % 2 * 7
    let t = (0..<3).map { register(first + $0) }, temporaries = (3..<7).map { register(first + $0) }
    let factor = code.constant(0.5, lanes: lanes)
    for column in 0..<3 {
      func tap(_ row: Int) -> Address { g[((row * 3 + column) * depth + channel) * 64 + half * 32] }
      if row == 0 || row == 5 {
        code.load(t[column], tap(row == 0 ? 0 : 2))
      } else {
        let (whole, halved) = row < 3 ? (0, 2) : (2, 0)
        code.load(t[column], tap(halved))
        code.multiply(t[column], t[column], factor)
        code.add(t[column], t[column], .memory(tap(whole)))
        if row % 2 == 1 {
          code.add(t[column], t[column], .memory(tap(1)))
        } else {
          code.subtract(t[column], t[column], .memory(tap(1)))
        }
      }
    }
    func store(_ position: Int, _ value: WideRegister) {
      code.store(u[position * Self.positionByteCount + channel * 64 + half * 32], value)
    }
    store(0, t[0])
    store(5, t[2])
    for (position, whole, halved) in [(1, t[0], t[2]), (3, t[2], t[0])] {
      let sum = temporaries[position - 1], difference = temporaries[position]
      code.copy(difference, whole)
      code.multiplyAdd(difference, halved, factor)
      code.add(sum, difference, t[1])
      code.subtract(difference, difference, .register(t[1]))
      store(position, sum)
      store(position + 1, difference)
    }
  }

  // MARK: - The products

  /// Positions of a row that are summed together: so many that eight sums are under way where there are registers.
  private func groups(of row: Int) -> [[Int]] {
    let tiles = kernel.extent.tiles(at: row, 0).count
    if tiles * halves.count >= 8 { return (0..<6).map { [$0] } }
    if tiles * halves.count >= 4 { return [[0, 5], [1, 2], [3, 4]] }
    return [[0, 1, 5], [2, 3, 4]]
  }

  /// Multiplies a block of channels at some positions.
  private func multiply(_ row: Int, _ positions: [Int], _ depth: Int) {
    let loaded = positions.count * halves.count + (kernel.target.hasAVX512 ? 0 : 1)
    let limit = min(16, (kernel.target.registerCount - loaded) / (positions.count * halves.count))
    let all = kernel.extent.tiles(at: row, 0)
    let (sizes, counts) = Tiling.cut(all.count, limit)
    var first = all.lowerBound
    for size in zip(sizes, counts).flatMap({ Array(repeating: $0, count: $1) }) {
      multiply(row, positions, tiles: first..<first + size, depth)
      first += size
    }
  }

  private func multiply(_ row: Int, _ positions: [Int], tiles: Range<Int>, _ depth: Int) {
    // The sums, by position, tile and half.
    var sums: [(position: Int, tile: Int, half: Int)] = []
    for position in positions {
      for tile in kernel.extent.tiles(at: row, position).clamped(to: tiles) {
        for half in halves { sums.append((position, tile, half)) }
      }
    }
    if sums.isEmpty { return }
    let filters = positions.map { position in halves.map { half in (position, half) } }.flatMap { $0 }
    func filterRegister(_ position: Int, _ half: Int) -> WideRegister {
      register(sums.count + (filters.firstIndex { $0 == (position, half) } ?? 0))
    }
    let element = register(sums.count + filters.count)

    for (number, sum) in sums.enumerated() {
      code.load(register(number), self.sum(row, sum.position, sum.tile, sum.half))
    }
    k.mov(x, input)
    k.add(x, row * 6 * kernel.inputPositionStride)
    k.mov(u, .rsp)
    let step = [4, 2, 3, 1].first { depth % $0 == 0 && $0 * sums.count <= 64 } ?? 1
    forEachChannel(of: depth, atOnce: step) { channel in
      for (position, half) in filters {
        code.load(filterRegister(position, half), u[position * Self.positionByteCount + channel * 64 + half * 32])
      }
      for (number, sum) in sums.enumerated() {
        let place = x[sum.position * kernel.inputPositionStride + sum.tile * 64 + channel * 4]
        let filter = filterRegister(sum.position, sum.half)
        if kernel.target.hasAVX512 {
          code.multiplyAdd(register(number), filter, .memory(place.splat))
        } else {
          if sum.half == 0 { code.broadcast(element, place) }
          code.multiplyAdd(register(number), filter, element)
        }
      }
    } then: {
      k.add(x, step * 4)
      k.add(u, step * 64)
    }
    for (number, sum) in sums.enumerated() {
      code.store(self.sum(row, sum.position, sum.tile, sum.half), register(number))
    }
  }
}
