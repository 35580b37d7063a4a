import CNNCore
import X86Assembler

/// What multiplies and adds in a processor.
public enum ArithmeticUnit: Sendable, CaseIterable {
  /// float32 in vector registers.
  case vectors
  /// Integers of 8 bits, or those widened to 16, in vector registers.
  case integers
  /// bfloat16 in tiles.
  case tiles
}

/// What this machine can do at most with so many threads, as measured.
public struct MachineLimits: Sendable, Equatable {
  /// Multiplications and additions of float32 in a second, in vector registers.
  public let operationsPerSecond: Double
  /// Multiplications and additions of integers in a second, in vector registers; nil where it was not asked for, and where
  /// no code is made.
  public internal(set) var integerOperationsPerSecond: Double?
  /// Multiplications and additions of bfloat16 in a second, in tiles; nil where it was not asked for, and where this process
  /// has no tiles.
  public internal(set) var tileOperationsPerSecond: Double?
  /// Bytes read from memory in a second.
  public let bytesPerSecond: Double
  /// A processor's cycles in a second; nil where the system gives no memory for code.
  public let cyclesPerSecond: Double?

  /// The shortest time in which a unit can do so much.
  public func seconds(operations: Int, by unit: ArithmeticUnit, byteCount: Int) -> Double {
    let rate =
      switch unit {
      case .vectors: operationsPerSecond
      case .integers: integerOperationsPerSecond ?? operationsPerSecond
      case .tiles: tileOperationsPerSecond ?? operationsPerSecond
      }
    return max(Double(operations) / rate, Double(byteCount) / bytesPerSecond)
  }

  /// The time of so many cycles; nil for none, and where the clock is not known.
  public func seconds(cycles: Double) -> Double? {
    cycles > 0 ? cyclesPerSecond.map { cycles / $0 } : nil
  }

  private static let known = Guarded<[Int: MachineLimits]> { [:] }

  /// The limits of so many threads: measured the first time they are asked for, in about a quarter of a second.
  ///
  /// The rate of integers is measured the first time it is asked for, and that of tiles each time, in less than a tenth of a
  /// second; the best of tiles is kept: on shared processors it was seen to be a quarter for seconds.
  /// - Parameter units: those whose rates are needed.
  /// - Throws: `.outOfMemory` where there is no room for a buffer larger than the caches.
  public static func measured(threads: Int, of units: Set<ArithmeticUnit>) throws(CNNError) -> MachineLimits {
    try known.withLock { (known) throws(CNNError) in
      let workers = Workers(count: threads)
      var limits: MachineLimits
      if let before = known[threads] {
        limits = before
      } else {
        limits = MachineLimits(
          operationsPerSecond: operationRate(workers), bytesPerSecond: try memoryRate(workers),
          cyclesPerSecond: clockRate())
      }
      if units.contains(.integers), limits.integerOperationsPerSecond == nil {
        limits.integerOperationsPerSecond = integerRate(workers)
      }
      if units.contains(.tiles), let rate = tileRate(workers) {
        limits.tileOperationsPerSecond = max(limits.tileOperationsPerSecond ?? 0, rate)
      }
      known[threads] = limits
      return limits
    }
  }

  /// The best of many short trials: a trial can only be too slow, where another process takes a processor in the midst. No
  /// more are begun after a tenth of a second, which under an emulator one trial takes.
  private static func bestRate(trials: Int, amount: Int, _ body: () -> Void) -> Double {
    var best = Int.max
    let deadline = monotonicNanoseconds() + 100_000_000
    for _ in 0..<trials {
      let start = monotonicNanoseconds()
      body()
      let end = monotonicNanoseconds()
      best = min(best, end - start)
      if end > deadline { break }
    }
    return Double(amount) * 1e9 / Double(max(best, 1))
  }

  // MARK: - Arithmetic

  /// Enough accumulators for two units with a latency of four or five cycles; AVX2 has four registers left, of which the
  /// next one is what is multiplied.
  private static let accumulatorCount = 12, factor = accumulatorCount

  private static func operationRate(_ workers: Workers) -> Double {
    let rounds = 50_000
    // Portable steps call OpenBLAS, which uses all that the processor has.
    let selected = InstructionSet.selected
    let set = selected.contains(.avx2) ? selected : Processor.host.instructionSet
    if let rate = generatedRate(workers, rounds: rounds, in: set) { return rate }
    let amount = workers.count * rounds * 8 * 4 * 2
    return bestRate(trials: 300, amount: amount) { workers.run { portableLoop(rounds: rounds, seed: Float($0)) } }
  }

  /// The rate in the widest registers of a set; nil where the system gives no memory for code, or the set has none.
  private static func generatedRate(_ workers: Workers, rounds: Int, in set: InstructionSet) -> Double? {
    func rate<Register: VectorRegister>(_ kind: Register.Type) -> Double? {
      Self.rate(
        of: loop { k, sum in k.vfmadd231ps(Register(sum), Register(factor), Register(factor)) }, "multiply_add_peak",
        workers, rounds: rounds, operations: accumulatorCount * Register.laneCount * 2)
    }
    return set.contains(.avx512) ? rate(Zmm.self) : set.contains(.avx2) ? rate(Ymm.self) : nil
  }

  /// The rate of products of levels, four in a lane by one instruction, or else two by two, with AVX2 of sums of two (see
  /// `ProductOfSums` of the kernels); nil where no code is made.
  private static func integerRate(_ workers: Workers) -> Double? {
    let set = InstructionSet.selected, isWide = set.contains(.avx512)
    guard set.contains(.avx2) else { return nil }
    let hasByteProducts = set.contains(isWide ? .avx512VNNI : .avxVNNI)
    func rate<Register: VectorRegister>(_ kind: Register.Type) -> Double? {
      let code = loop { k, sum in
        let (sum, factor, product) = (Register(sum), Register(factor), Register(factor + 1))
        if !hasByteProducts {
          let second = isWide ? factor : Register(Self.factor + 2)
          if !isWide {
            k.vpaddw(product, factor, factor)
            k.vpaddw(second, factor, factor)
          }
          k.vpmaddwd(product, isWide ? factor : product, second)
          k.vpaddd(sum, sum, product)
        } else if isWide {
          k.vpdpbusd(sum, factor, factor)
        } else {
          k.vpdpbusdVEX(sum, factor, factor)
        }
      }
      return Self.rate(
        of: code, "integer_peak", workers, rounds: 50_000,
        operations: accumulatorCount * Register.laneCount * (hasByteProducts || !isWide ? 4 : 2) * 2)
    }
    return isWide ? rate(Zmm.self) : rate(Ymm.self)
  }

  /// The rate of a loop with so many operations in each of its rounds, whose number is its argument; nil where the system
  /// gives no memory for code.
  private static func rate(
    of k: Assembler, _ name: String, _ workers: Workers, rounds: Int, operations: Int
  ) -> Double? {
    guard let code = try? k.finish(name: name), let memory = try? ExecutableMemory([code]) else { return nil }
    let loop = unsafeBitCast(memory.address(of: 0), to: (@convention(c) (Int) -> Void).self)
    let amount = workers.count * rounds * operations
    return withExtendedLifetime(memory) { bestRate(trials: 300, amount: amount) { workers.run { _ in loop(rounds) } } }
  }

  /// Code that multiplies and adds in every accumulator, as many times as its argument says.
  private static func loop(_ multiplyAdd: (Assembler, _ sum: Int) -> Void) -> Assembler {
    let k = Assembler()
    for number in 0...accumulatorCount { k.vxorps(Xmm(number), Xmm(number), Xmm(number)) }
    k.loop(.rdi) {
      for sum in 0..<accumulatorCount { multiplyAdd(k, sum) }
    }
    k.vzeroupper()
    k.ret()
    return k
  }

  /// The rate of products of tiles; nil where this process has none.
  private static func tileRate(_ workers: Workers) -> Double? {
    guard InstructionSet.selected.contains(.amxBF16), TilePermission.refusal == nil else { return nil }
    // Four tiles of sums hide the latency of a product; 16 x 16 sums of 32 products each.
    let sums = TileRegister.all.prefix(4), rows = 16
    return rate(
      of: tileLoop(sums, TileRegister.all[4], TileRegister.all[5], rows: rows), "tile_peak", workers, rounds: 1_000,
      operations: sums.count * rows * rows * 32 * 2)
  }

  /// Code that adds products to all sums, as many times as its argument says. It configures the tiles and releases them, as
  /// each worker does.
  private static func tileLoop(
    _ sums: ArraySlice<TileRegister>, _ left: TileRegister, _ right: TileRegister, rows: Int
  ) -> Assembler {
    let k = Assembler()
    var tiles = TileConfiguration()
    for tile in sums + [left, right] { tiles[tile] = .init(rows: rows, rowByteCount: 64) }
    k.configureTiles(tiles)
    k.loop(.rdi) {
      for sum in sums { k.tdpbf16ps(sum, left, right) }
    }
    k.tilerelease()
    k.ret()
    return k
  }

  /// The rate of a loop that takes a cycle each time on every processor.
  private static func clockRate() -> Double? {
    let k = Assembler()
    k.loop(.rdi) {}
    k.ret()
    return rate(of: k, "clock", Workers(count: 1), rounds: 100_000, operations: 1)
  }

  @inline(never)
  private static func portableLoop(rounds: Int, seed: Float) {
    var (a, b, c, d) = (SIMD4(repeating: seed), SIMD4(repeating: seed), SIMD4(repeating: seed), SIMD4(repeating: seed))
    var (e, f, g, h) = (a, b, c, d)
    // Below 1, so that the numbers stay ordinary ones.
    let factor = SIMD4<Float>(repeating: 0.5), term = SIMD4<Float>(repeating: 0.25)
    for _ in 0..<rounds {
      (a, b, c, d) = (a * factor + term, b * factor + term, c * factor + term, d * factor + term)
      (e, f, g, h) = (e * factor + term, f * factor + term, g * factor + term, h * factor + term)
    }
    keep((a + b + c + d + e + f + g + h).sum())
  }

  // MARK: - Memory

  private static func memoryRate(_ workers: Workers) throws(CNNError) -> Double {
    // Twice the last cache; some virtual machines report a whole server's, of which they have a share.
    let byteCount = min(max(2 * Processor.host.l3ByteCount, 64 << 20), 256 << 20)
    let memory = try Memory(byteCount: byteCount, for: "measuring memory bandwidth")
    let lines = byteCount / 64
    // Pages that were never written are all one page of zeros.
    workers.forEachRange(of: lines) { range, _ in
      (memory.base + range.lowerBound * 64).initializeMemory(as: UInt8.self, repeating: 1, count: range.count * 64)
    }
    return bestRate(trials: 8, amount: byteCount) {
      workers.forEachRange(of: lines) { range, _ in readLines(memory.base + range.lowerBound * 64, count: range.count) }
    }
  }

  @inline(never)
  private static func readLines(_ base: UnsafeMutableRawPointer, count: Int) {
    let words = UnsafePointer(base.assumingMemoryBound(to: SIMD8<UInt64>.self))
    var sum = SIMD8<UInt64>()
    for index in 0..<count { sum = sum &+ words[index] }
    keep(Float(sum.wrappedSum() & 1))
  }

  /// So that the compiler does not leave out what computes the number.
  @inline(never)
  @_optimize(none)
  private static func keep(_ number: Float) {}
}
