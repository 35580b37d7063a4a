import CNNCore
import CNNRuntime
import Glibc
import Testing
import TileSupport
import X86Assembler

@testable import CNNKernels

/// The oracle of sums of products of bfloat16 against the processor's own instructions, bit for bit.
@Suite struct BFloat16ProductTests {
  static let hasTiles = Tiles.instructionSet != nil
  static let hasVectors = Processor.host.instructionSet.contains(.avx512BF16)

  private struct Arguments {
    var a, b, c: UnsafeMutableRawPointer
  }

  /// Runs code that finds pointers to a, b and c in rsi, rdx and rcx.
  private static func run(
    a: [BFloat16], b: [BFloat16], c: [Float], _ write: @escaping @Sendable (Assembler) -> Void
  ) throws -> [Float] {
    let target = CodeTarget(Tiles.instructionSet ?? Processor.host.instructionSet), library = KernelLibrary(target)
    let kernel = library.kernel("test", name: "test") {
      let code = VectorCode(target), k = code.assembler, arguments = GeneralRegister.rdi
      for (index, register) in [GeneralRegister.rsi, .rdx, .rcx].enumerated() { k.mov(register, arguments[8 * index]) }
      write(k)
      k.vzeroupper()
      k.ret()
      return code
    }
    try library.finish()
    var (a, b, c) = (a, b, c)
    a.withUnsafeMutableBytes { a in
      b.withUnsafeMutableBytes { b in
        c.withUnsafeMutableBytes { c in
          guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
          var arguments = Arguments(a: a, b: b, c: c)
          kernel(&arguments)
        }
      }
    }
    return c
  }

  /// Numbers of all magnitudes: of those whose products are near 1, of tiny ones whose sums are subnormal, of zeros.
  private struct Numbers {
    var generator: PhiloxGenerator

    mutating func number(exponents: ClosedRange<Int>) -> Float {
      let kind = generator.next() % 16
      if kind == 0 { return 0 }
      if kind == 1 { return Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()) & 0x807F_FFFF) }
      let span = UInt64(exponents.upperBound - exponents.lowerBound) + 1
      let exponent = exponents.lowerBound + Int(truncatingIfNeeded: generator.next() % span)
      return scalbn(2 * generator.unit() - 1, exponent)
    }
    mutating func brains(_ count: Int, _ exponents: ClosedRange<Int>) -> [BFloat16] {
      (0..<count).map { _ in BFloat16(number(exponents: exponents)) }
    }
    mutating func floats(_ count: Int, _ exponents: ClosedRange<Int>) -> [Float] {
      (0..<count).map { _ in number(exponents: exponents) }
    }
  }

  static let ranges: [ClosedRange<Int>] = [0...1, -12...12, -66 ... -60, -126 ... -1]

  @Test(.enabled(if: hasTiles), arguments: ranges)
  func aProductOfTilesIsTheOraclesBitForBit(_ exponents: ClosedRange<Int>) throws {
    for (round, (rows, columns, pairs)) in [(16, 16, 16), (16, 16, 16), (5, 7, 3), (1, 1, 1), (16, 9, 11)].enumerated()
    {
      var numbers = Numbers(generator: PhiloxGenerator(seed: 3, stream: UInt64(round)))
      // a: rows of pairs; b: for each pair a row of pairs, one for each column.
      let a = numbers.brains(rows * 32, exponents), b = numbers.brains(pairs * 32, exponents)
      let c = numbers.floats(rows * 16, -130 ... -110)
      let found = try Self.run(a: a, b: b, c: c) { k in
        var tiles = TileConfiguration()
        tiles[.tmm0] = .init(rows: rows, rowByteCount: columns * 4)
        tiles[.tmm1] = .init(rows: rows, rowByteCount: pairs * 4)
        tiles[.tmm2] = .init(rows: pairs, rowByteCount: columns * 4)
        k.configureTiles(tiles)
        k.mov(.rax, 64)
        k.tileloadd(.tmm0, GeneralRegister.rcx[.rax])
        k.tileloadd(.tmm1, GeneralRegister.rsi[.rax])
        k.tileloaddt1(.tmm2, GeneralRegister.rdx[.rax])
        k.tdpbf16ps(.tmm0, .tmm1, .tmm2)
        k.tilestored(GeneralRegister.rcx[.rax], .tmm0)
        k.tilerelease()
      }
      var expected = c
      for row in 0..<rows {
        for column in 0..<columns {
          let left = (0..<2 * pairs).map { a[row * 32 + $0] }
          let right = (0..<2 * pairs).map { b[$0 / 2 * 32 + column * 2 + $0 % 2] }
          expected[row * 16 + column] = BFloat16Product.addingTile(to: c[row * 16 + column], left, right)
        }
      }
      #expect(found.map(\.bitPattern) == expected.map(\.bitPattern), "\(rows) x \(columns) x \(pairs)")
    }
  }

  @Test(.enabled(if: hasVectors), arguments: ranges)
  func aVectorOfPairsIsTheOraclesBitForBit(_ exponents: ClosedRange<Int>) throws {
    var numbers = Numbers(generator: PhiloxGenerator(seed: 4, stream: 1))
    for _ in 0..<50 {
      let a = numbers.brains(32, exponents), b = numbers.brains(32, exponents), c = numbers.floats(16, -130...3)
      let found = try Self.run(a: a, b: b, c: c) { k in
        k.vmovups(Zmm(0), GeneralRegister.rcx[])
        k.vmovups(Zmm(1), GeneralRegister.rsi[])
        k.vdpbf16ps(Zmm(0), Zmm(1), GeneralRegister.rdx[])
        k.vmovups(GeneralRegister.rcx[], Zmm(0))
      }
      let expected = (0..<16).map {
        BFloat16Product.addingPair(to: c[$0], (a[2 * $0], a[2 * $0 + 1]), (b[2 * $0], b[2 * $0 + 1]))
      }
      #expect(found.map(\.bitPattern) == expected.map(\.bitPattern))
    }
  }

  @Test(.enabled(if: hasVectors)) func floatsAreRoundedAsTheOracleRoundsThem() throws {
    var generator = PhiloxGenerator(seed: 5, stream: 1)
    let special: [Float] = [
      .infinity, -.infinity, .nan, -.nan, Float(nan: 1, signaling: true), .greatestFiniteMagnitude,
      .leastNormalMagnitude,
      .leastNonzeroMagnitude, -.leastNonzeroMagnitude, Float(bitPattern: 0x007F_FFFF), Float(bitPattern: 0x3F80_8000),
      Float(bitPattern: 0x3F81_8000), Float(bitPattern: 0x3F80_8001), 0, -0.0, Float(bitPattern: 0x7F80_0001),
    ]
    for round in 0..<50 {
      // Any bits at all.
      let c =
        round == 0 ? special : (0..<16).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: generator.next())) }
      let found = try Self.run(a: [], b: [], c: c) { k in
        k.vmovups(Zmm(0), GeneralRegister.rcx[])
        k.vcvtne2ps2bf16(Zmm(1), Zmm(0), Zmm(0))
        k.vmovups(GeneralRegister.rcx[], Zmm(1))
      }
      let halves = found.flatMap { [UInt16(truncatingIfNeeded: $0.bitPattern), UInt16($0.bitPattern >> 16)] }
      let expected = c.map { BFloat16Product.rounded($0).bitPattern }
      #expect(halves == expected + expected)
    }
  }
}
