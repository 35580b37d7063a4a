import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Convolutions by tiles against the oracle of their products, bit for bit, on random awkward shapes.
@Suite struct TileConvolutionTests {
  /// Images of bfloat16 in blocks of 32 channels; the lanes behind the last channel hold some other numbers.
  static func blocked(
    _ x: (Int) -> BFloat16, _ layout: BlockedTensor, channels: Int
  ) throws -> ConvolutionBuffer {
    let buffer = try ConvolutionBuffer(byteCount: layout.byteCount)
    let border = layout.border, base = UnsafeMutableRawPointer(buffer.base)
    for block in 0..<layout.blocks {
      for image in 0..<layout.images {
        for row in 0..<layout.paddedHeight {
          for column in 0..<layout.paddedWidth {
            let place = (base + layout.byteOffset(image: image, block: block) + row * layout.rowByteCount + column * 64)
              .assumingMemoryBound(to: BFloat16.self)
            let (y, x0) = (row - border.top, column - border.left)
            let isInside = (0..<layout.height).contains(y) && (0..<layout.width).contains(x0)
            for lane in 0..<32 {
              let channel = block * 32 + lane
              let pixel = (image * layout.height + y) * layout.width + x0
              place[lane] =
                !isInside ? BFloat16(0) : channel < channels ? x(pixel * channels + channel) : BFloat16(Float(lane))
            }
          }
        }
      }
    }
    return buffer
  }

  /// The number of a pixel's channel in a result.
  static func result(
    _ y: ConvolutionBuffer, _ layout: BlockedTensor, isRounded: Bool, pixel: Int, channel: Int
  ) -> Float {
    let lanes = isRounded ? 32 : 16
    let line = pixel / layout.width, image = line / layout.height
    let place =
      UnsafeRawPointer(y.base) + layout.byteOffset(image: image, block: channel / lanes) + layout.originByteOffset
      + line % layout.height * layout.rowByteCount + pixel % layout.width * 64
    return isRounded
      ? Float(place.load(fromByteOffset: channel % 32 * 2, as: BFloat16.self))
      : place.load(fromByteOffset: channel % 16 * 4, as: Float.self)
  }

  private struct Case {
    let geometry: ConvolutionGeometry
    var isRounded = true
    var epilogue = Epilogue()
    var border: BlockedTensor.Border?
    var outputBorder = BlockedTensor.Border.none
    var workers = 1
    var seed: UInt64 = 1
  }

  /// Compares; the first difference is told.
  private static func check(_ c: Case) throws {
    let g = c.geometry, workers = Workers(count: c.workers)
    let library = KernelLibrary(CodeTarget(Processor.host.instructionSet, secondCacheByteCount: 1 << (14 + c.seed % 7)))
    let convolution = try TileConvolution(
      g, input: c.border.map { .padded($0) } ?? .blocked, outputBorder: c.outputBorder, isRounded: c.isRounded,
      epilogue: c.epilogue,
      workers: workers, library: library)
    try library.finish()
    let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: c.seed, stream: 1)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: c.seed, stream: 2)
    let bias = try ConvolutionBuffer(randomCount: convolution.biasCount, seed: c.seed, stream: 3)
    let scale = try ConvolutionBuffer(randomCount: g.outputChannels, seed: c.seed, stream: 4)
    let residual = try ConvolutionBuffer(randomCount: g.outputCount, seed: c.seed, stream: 5)
    let input = try Self.blocked({ BFloat16(x[$0]) }, convolution.input, channels: g.inputChannels)
    let filter = try ConvolutionBuffer(byteCount: convolution.filterCount * 2)
    let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
    let y = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
    let residualBlocked: ConvolutionBuffer
    if c.isRounded {
      residualBlocked = try Self.blocked({ BFloat16(residual[$0]) }, convolution.output, channels: g.outputChannels)
    } else {
      let plain = convolution.output.with(border: .none), buffer = try ConvolutionBuffer(byteCount: plain.byteCount)
      residualBlocked = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
      BlockedCopies.pack(residual.base, into: buffer.base, plain, workers: workers)
      BlockedCopies.copy(buffer.base, plain, into: residualBlocked.base, convolution.output, workers: workers)
    }
    let packed = UnsafeMutableRawPointer(filter.base).assumingMemoryBound(to: BFloat16.self)
    convolution.pack(weight.base, scale: scale.base, into: packed, workers: workers)
    convolution.run(
      input.base, filter: packed, bias: c.epilogue.hasBias ? bias.base : nil,
      residual: c.epilogue.addsResidual ? UnsafeRawPointer(residualBlocked.base) : nil, into: y.base,
      workspace: workspace.base, workers: workers)
    let isIntact = [input, filter, workspace, y].allSatisfy(\.isGuardIntact)
    #expect(isIntact, "\(g)")
    checkBorder(y, convolution.output)

    // The right sides of each output channel's tiles, in order, and the left sides of each pixel's by their blocks.
    let taps = g.kernelHeight * g.kernelWidth, inputs = g.groupInputChannels
    let tiles = (0..<g.outputChannels).map { blocks(of: g, output: $0) }
    let rights = (0..<g.outputChannels).map { channel in
      let start = channel / g.groupOutputChannels * inputs
      return tiles[channel].flatMap { block in
        (0..<taps).map { tap in
          (0..<32).map { lane in
            let own = block.lowerBound + lane - start
            guard block.count > lane, (0..<inputs).contains(own) else { return BFloat16(0) }
            return BFloat16(weight[(channel * inputs + own) * taps + tap] * scale[channel])
          }
        }
      }
    }
    for pixel in 0..<g.batch * g.outputHeight * g.outputWidth {
      var lefts: [Int: [[BFloat16]]] = [:]
      func left(_ block: Range<Int>) -> [[BFloat16]] {
        if let known = lefts[block.lowerBound] { return known }
        let new = (0..<taps).map { Self.left(g, x, pixel: pixel, tap: $0, block) }
        lefts[block.lowerBound] = new
        return new
      }
      for channel in 0..<g.outputChannels {
        var sum: Float = 0
        for (a, b) in zip(tiles[channel].flatMap(left), rights[channel]) {
          sum = BFloat16Product.addingTile(to: sum, a, b)
        }
        if c.epilogue.hasBias { sum += bias[channel] }
        if c.epilogue.addsResidual {
          let term = residual[pixel * g.outputChannels + channel]
          sum += c.isRounded ? Float(BFloat16(term)) : term
        }
        let found = result(y, convolution.output, isRounded: c.isRounded, pixel: pixel, channel: channel)
        let function = c.epilogue.activation?.function
        if let function, function != .relu {
          let expected = Float(BlockedConvolutionTests.reference(function, Double(sum)))
          // Half a unit in the last place where it is rounded, and the other way where that is near.
          let bound = expected.magnitude * (c.isRounded ? 0x1p-7 : 1e-6) + 1e-6
          #expect(abs(found - expected) <= bound, "\(g), \(c): \(pixel), \(channel): \(found), \(expected)")
          if !(abs(found - expected) <= bound) { return }
        } else {
          let y = function == .relu ? max(0, sum) : sum
          let expected = c.isRounded ? Float(BFloat16Product.rounded(y)) : y
          #expect(found == expected, "\(g), \(c): \(pixel), \(channel)")
          if found != expected { return }
        }
      }
    }
  }

  /// The border is zeros.
  static func checkBorder(_ y: ConvolutionBuffer, _ layout: BlockedTensor) {
    let border = layout.border
    for block in 0..<layout.blocks {
      for image in 0..<layout.images {
        for row in -border.top..<layout.height + border.bottom {
          for column in -border.left..<layout.width + border.right {
            if (0..<layout.height).contains(row) && (0..<layout.width).contains(column) { continue }
            let place =
              layout.byteOffset(image: image, block: block) + layout.originByteOffset + row * layout.rowByteCount
              + column * 64
            let isZero = (place / 4..<place / 4 + 16).allSatisfy { y[$0].bitPattern == 0 }
            #expect(isZero, "\(layout), row \(row), column \(column)")
          }
        }
      }
    }
  }

  /// The numbers of a pixel's window at one tap, of a block of channels, beside which there are zeros.
  private static func left(
    _ g: ConvolutionGeometry, _ x: ConvolutionBuffer, pixel: Int, tap: Int, _ block: Range<Int>
  ) -> [BFloat16] {
    var result = [BFloat16](repeating: BFloat16(0), count: 32)
    let column = pixel % g.outputWidth, line = pixel / g.outputWidth
    let y = line % g.outputHeight * g.strideHeight - g.padTop + tap / g.kernelWidth * g.dilationHeight
    let x0 = column * g.strideWidth - g.padLeft + tap % g.kernelWidth * g.dilationWidth
    guard (0..<g.inputHeight).contains(y), (0..<g.inputWidth).contains(x0) else { return result }
    let place = ((line / g.outputHeight * g.inputHeight + y) * g.inputWidth + x0) * g.inputChannels
    for (lane, channel) in block.enumerated() { result[lane] = BFloat16(x[place + channel]) }
    return result
  }

  /// The blocks of input channels that are summed for an output channel, in order: groups that share blocks lie beside
  /// each other, and the terms of the others are zero.
  private static func blocks(of g: ConvolutionGeometry, output: Int) -> [Range<Int>] {
    let parts = (try? ChannelGroups.parts(of: g, blockChannels: 32)) ?? []
    guard let part = parts.last(where: { $0.firstOutput <= output }) else { return [] }
    let size = part.geometry.inputChannels / part.count
    let index = (output - part.firstOutput) / (part.geometry.outputChannels / part.count)
    let start = part.firstInput + index * size
    return stride(from: start, to: start + size, by: 32).map { $0..<min($0 + 32, start + size) }
  }

  private static let hasTiles = BFloat16ProductTests.hasTiles

  @Test(.enabled(if: hasTiles), arguments: 0..<6)
  func convolutionsAreTheOraclesBitForBit(_ part: Int) throws {
    var generator = PhiloxGenerator(seed: 11, stream: UInt64(part))
    func pick<T>(_ values: [T]) -> T { values[Int(generator.next() % UInt64(values.count))] }
    let functions: [ActivationFunction?] = [nil, .relu, .silu, nil, .relu, .hardSwish, .sigmoid]
    var done = 0
    while done < 12 {
      let kernel = pick([1, 1, 2, 3, 3, 5, 7]), stride = pick([1, 1, 1, 2, 3]), groups = pick([1, 1, 1, 2, 3, 8])
      let pads = (0..<4).map { _ in kernel == 1 ? 0 : pick(Array(0...(kernel / 2))) }
      let sizes = [1, 2, 3, 5, 7, 8, 14, 17, 33]
      guard
        let g = try? ConvolutionGeometry(
          batch: pick([1, 1, 2, 3]), inputHeight: pick(sizes), inputWidth: pick(sizes),
          inputChannels: groups * pick([1, 3, 16, 17, 24, 32, 40]),
          outputChannels: groups * pick([1, 7, 16, 17, 24, 32, 40]), kernelHeight: kernel, kernelWidth: kernel,
          strideHeight: stride, strideWidth: pick([stride, stride, 1]), dilationHeight: pick([1, 1, 2]),
          dilationWidth: pick([1, 1, 2]), padTop: pads[0], padLeft: pads[1], padBottom: pads[2], padRight: pads[3],
          groups: groups),
        g.batch * g.outputHeight * g.outputWidth * g.outputChannels * kernel * kernel < 20_000
      else { continue }
      var c = Case(geometry: g, isRounded: done % 3 != 2, workers: 1 + done % 3, seed: UInt64(done + 100 * part))
      c.epilogue = Epilogue(
        hasBias: done % 2 == 1, addsResidual: done % 4 == 3,
        activation: functions[done % functions.count].flatMap { VectorActivation($0, constants: []) })
      if done % 5 == 4 {
        c.border = .init(top: g.padTop + 1, left: g.padLeft + 2, bottom: g.padBottom, right: g.padRight + 1)
      }
      if done % 3 > 0 { c.outputBorder = .init(top: done % 2, left: 1, bottom: 2, right: done % 4) }
      try Self.check(c)
      done += 1
    }
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
        Case(
          geometry: g,
          epilogue: Epilogue(
            hasBias: true, addsResidual: true, activation: VectorActivation(.relu, constants: [])),
          border: border, outputBorder: border == nil ? .none : wider, workers: workers))
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
        let walk = TileWalk(input, stride: [stride, stride], output: output, most: most)
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
