import CNNCore
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNKernels

/// Convolutions by tiles against the oracle of their products, bit for bit, on random awkward shapes.
@Suite struct TileConvolutionTests {
  private static let hasTiles = Tiles.instructionSet != nil

  /// Compares.
  private static func check(_ c: BFloat16ConvolutionCheck) throws {
    let library = KernelLibrary(CodeTarget(Tiles.instructionSet ?? [], secondCacheByteCount: 1 << (14 + c.seed % 7)))
    let workers = c.workers
    let convolution = try TileConvolution(
      c.geometry, input: c.input, outputBorder: c.outputBorder, isRounded: c.isRounded, epilogue: c.epilogue,
      workers: workers, library: library)
    try library.finish()
    try c.check(
      .init(
        input: convolution.input, output: convolution.output, filterByteCount: convolution.filterCount * 2,
        biasCount: convolution.biasCount, workspaceByteCount: convolution.workspaceByteCount,
        pack: {
          convolution.pack($0, scale: $1, into: $2.assumingMemoryBound(to: BFloat16.self), workers: workers)
        },
        run: {
          convolution.run(
            $0, filter: $1.assumingMemoryBound(to: BFloat16.self), bias: $2, residual: $3, into: $4, workspace: $5,
            workers: workers)
        },
        sum: { bias, a, b in zip(a, b).reduce(0) { BFloat16Product.addingTile(to: $0, $1.0, $1.1) } + bias }))
  }

  @Test(.enabled(if: hasTiles), arguments: 0..<6)
  func convolutionsAreTheOraclesBitForBit(_ part: Int) throws {
    try BFloat16ConvolutionCheck.random(part: part, count: 12, outputBorders: true, Self.check)
  }

  /// What networks are made of, of which random shapes hit little.
  @Test(
    .enabled(if: hasTiles),
    arguments: [
      "h7 w7 ic64 oc48 kh3 kw3 pt1 pl1 pb1 pr1", "h14 w14 ic64 oc16 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1",
      "n3 ic96 oc100", "h28 w28 ic32 oc32 sh2 sw2", "n2 h14 w14 ic32 oc48",
      "h56 w56 ic8 oc8 kh3 kw3 pt1 pl1 pb1 pr1 g2",
      "h8 w40 ic32 oc16 kh1 kw1 sh1 sw2",
    ])
  func shapesOfNetworksAreTheOraclesBitForBit(_ line: String) throws {
    let g = try ConvolutionCase(line).geometry
    let wider = BlockedTensor.Border(top: 1, left: 2, bottom: 3, right: 1)
    for (workers, border) in [(1, nil), (2, nil), (2, g.border), (1, g.border.union(wider))] {
      try Self.check(
        .init(
          geometry: g,
          epilogue: Epilogue(
            hasBias: true, addsResidual: true, activation: VectorActivation(.relu, constants: [])),
          border: border, outputBorder: border == nil ? .none : wider, workers: Workers(count: workers)))
    }
  }

  @Test func whatTilesCannotComputeIsRefusedWithAReason() throws {
    func geometry(groups: Int) throws -> ConvolutionGeometry {
      try ConvolutionGeometry(
        batch: 1, inputHeight: 4, inputWidth: 4, inputChannels: 32, outputChannels: 32, kernelHeight: 1, kernelWidth: 1,
        groups: groups)
    }
    let plain = try geometry(groups: 1), channelwise = try geometry(groups: 32)
    let withTiles = CodeTarget([.avx512BF16, .amxBF16]), without = CodeTarget([.avx512BF16, .amxInt8])
    #expect(TileConvolution.refusal(plain, withTiles) == nil)
    #expect(TileConvolution.refusal(try geometry(groups: 8), withTiles) == nil)
    let reason = "every channel has a filter of its own, which is no product"
    #expect(TileConvolution.refusal(channelwise, withTiles) == reason)
    let framed = try ConvolutionCase("h8 w8 ic32 oc32 kh3 kw3 pt1 pl1 pb1 pr1").geometry
    func refusal(_ border: BlockedTensor.Border) -> String? {
      TileConvolution.refusal(framed, input: .padded(border), withTiles)
    }
    #expect(refusal(.init(top: 1, left: 1, right: 2)) == "the image's border is narrower than the padding")
    #expect(refusal(.init(top: 1, left: 1, bottom: 1, right: 2)) == nil)
    let message = "a convolution cannot be computed by tiles: amx has no products of tiles of bfloat16"
    #expect(throws: CNNError(.invalidArgument, message)) {
      try TileConvolution(
        plain, isRounded: true, epilogue: Epilogue(), workers: Workers(count: 1), library: KernelLibrary(without))
    }
  }

  /// Against cycles of 2.7 GHz on one thread, as measured with images and filters that stay in the second cache.
  @Test(
    arguments: [
      ("h56 w56 ic64 oc64", 26), ("h56 w56 ic256 oc64", 69), ("h56 w56 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1", 114),
      ("h28 w28 ic128 oc128 kh3 kw3 pt1 pl1 pb1 pr1", 112), ("h28 w28 ic512 oc128", 64), ("h14 w14 ic256 oc1024", 62),
      ("h14 w14 ic1024 oc256", 60), ("h14 w14 ic256 oc256 kh3 kw3 pt1 pl1 pb1 pr1", 104),
    ])
  func cyclesAreThoseMeasured(_ line: String, _ microseconds: Double) throws {
    let cycles = TileConvolution.cycles(try ConvolutionCase(line).geometry, workers: Workers(count: 1))
    #expect((0.7...1.3).contains(cycles / (microseconds * 2700)), "\(cycles / 2700)")
  }

  /// A copy takes a few hundredths of what follows it.
  @Test func anImageThatHasItsBorderIsNotCopied() throws {
    let g = try ConvolutionCase("h28 w28 ic128 oc128 kh3 kw3 pt1 pl1 pb1 pr1").geometry, workers = Workers(count: 1)
    let copying = TileConvolution.cycles(g, workers: workers)
    let share = 1 - TileConvolution.cycles(g, input: .padded(g.border), workers: workers) / copying
    #expect((0.02...0.1).contains(share), "\(share)")
    let plain = try ConvolutionCase("h28 w28 ic128 oc128").geometry
    #expect(
      TileConvolution.cycles(plain, workers: workers)
        == TileConvolution.cycles(plain, input: .padded(.none), workers: workers))
  }

  /// Few filters do not pay for putting the windows of a picture together: measured, tiles took twice as long as the direct
  /// algorithm for the first four, about as long for the fifth, whose result they round besides, and a third for the last.
  @Test(
    arguments: [
      ("h224 w224 ic1 oc16 kh5 kw5 pt2 pl2 pb2 pr2", false), ("h224 w224 ic3 oc16 kh3 kw3 pt1 pl1 pb1 pr1", false),
      ("h224 w224 ic3 oc16 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", false),
      ("h32 w32 ic3 oc16 kh3 kw3 pt1 pl1 pb1 pr1", false),
      ("h224 w224 ic3 oc32 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", true),
      ("h224 w224 ic3 oc64 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3", true),
    ])
  func tilesAreCheaperForPicturesWhereTheyWereMeasuredToBe(_ line: String, _ isCheaper: Bool) throws {
    let g = try ConvolutionCase(line).geometry, workers = Workers(count: 1)
    let target = CodeTarget([.avx512BF16, .amxBF16], secondCacheByteCount: 2 << 20)
    let tiles = TileConvolution.cycles(g, input: .picture(.number), workers: workers)
    let request = ConvolutionRequest(g, input: .picture(.number), workers: workers)
    let best = try #require(ConvolutionAlgorithms.best(request, target))
    #expect((tiles < best.cycles(request, target)) == isCheaper, "\(tiles), \(best.cycles(request, target))")
  }

  /// Every pixel is a result once, from the place that the window begins at.
  @Test func walksReachEveryResultOnce() throws {
    for (height, width, stride, border, images) in [
      (7, 7, 1, 1, 1), (14, 14, 2, 1, 2), (1, 1, 1, 0, 40), (5, 33, 1, 2, 2), (17, 50, 3, 0, 1), (3, 3, 1, 0, 1),
      (1, 17, 1, 0, 1), (1, 1, 1, 0, 23), (9, 45, 2, 0, 1),
    ] {
      let input = BlockedTensor(
        images: images, height: height, width: width, channels: 16,
        border: .init(top: border, left: border, bottom: border, right: border))
      let kernel = 2 * border + 1
      let output = BlockedTensor(
        images: images, height: (input.paddedHeight - kernel) / stride + 1,
        width: (input.paddedWidth - kernel) / stride + 1, channels: 16)
      for most in [2, 4] {
        let walk = TileWalk(TileInput(input), stride: [stride, stride], output: PixelGrid(output), most: most)
        var sources: [Int: Int] = [:]
        for round in walk.rounds {
          let end = round.input + (round.tiles - 1) * walk.nextTile + (walk.pixels - 1) * walk.pixelStride
          #expect(round.input >= 0 && end + ((kernel - 1) * (input.paddedWidth + 1) + 1) * 64 <= input.blockByteCount)
          for span in round.spans {
            for pixel in 0..<span.pixels {
              let row = span.source / 64 + pixel, tile = row / walk.pixels
              #expect(tile < round.tiles)
              let source = round.input + tile * walk.nextTile + row % walk.pixels * walk.pixelStride
              #expect(sources.updateValue(source, forKey: span.output + pixel * 64) == nil)
            }
          }
        }
        for image in 0..<images {
          for row in 0..<output.height {
            for column in 0..<output.width {
              let place = image * output.imageByteCount + row * output.rowByteCount + column * 64
              let expected = image * input.imageByteCount + row * stride * input.rowByteCount + column * stride * 64
              #expect(sources[place] == expected)
            }
          }
        }
        #expect(sources.count == output.images * output.height * output.width)
      }
    }
  }
}
