import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Passes over levels on every instruction set, bit for bit beside the loops that define them.
@Suite struct QuantizedStreamTests {
  /// What a pass is tried on.
  private struct Case {
    let tensor: BlockedTensor
    let workers: Workers
    let x: [UInt8]
    var random: RandomNumbers
    var count: Int { x.count }

    init(seed: UInt64) {
      random = RandomNumbers(seed: seed)
      // Large ones are divided by their pixels, of which one has fewer than four for each worker.
      let sides = seed % 4 == 3 ? 23...29 : 1...9
      tensor = BlockedTensor(
        images: random.int(1...3), height: seed == 7 ? 23 : random.int(sides),
        width: seed == 7 ? 23 : random.int(sides), channels: random.int(1...130), element: .uint8)
      workers = Workers(count: seed == 7 ? 500 : random.int(1...3))
      x = random.bytes(tensor.images * tensor.height * tensor.width * tensor.channels)
    }

    /// Runs a pass on every target.
    func check(
      _ expected: [UInt8], _ result: BlockedTensor, sourceLocation: SourceLocation = #_sourceLocation,
      _ run: (
        _ x: UnsafeRawPointer, _ y: UnsafeMutableRawPointer, _ library: KernelLibrary
      ) throws -> Void
    ) throws {
      for target in CodeTarget.tried {
        let input = try ByteImages(x, tensor), y = try ByteImages(result)
        try withExtendedLifetime(input) { try run(input.base, y.base, KernelLibrary(target)) }
        let numbers = y.numbers, wrong = numbers.indices.first { numbers[$0] != expected[$0] }
        #expect(wrong == nil, "\(target.instructionSet): \(tensor)", sourceLocation: sourceLocation)
        #expect(y.isGuardIntact, sourceLocation: sourceLocation)
      }
    }
  }

  @Test(arguments: 0..<UInt64(12)) func floatsAreRoundedAsDefined(_ seed: UInt64) throws {
    var random = RandomNumbers(seed: seed)
    let channels = random.int(1...4), count = random.int(1...3000), workers = Workers(count: random.int(1...3))
    let levels = try random.levels(scale: 0.5...2)
    let ofPixels = try #require(
      PixelLevels(scale: [1, 0.5, 0.25][random.int(0...2)], zeroPoints: random.bytes(channels)))
    // Ties, numbers beyond all levels and no numbers among them.
    var x = (0..<count).map { _ in Float(random.int(-600...600)) / 2 }
    for (place, odd) in [Float.nan, .infinity, -.infinity, 3e38, -3e38, -0.0].enumerated() where place < count {
      x[count - 1 - place] = odd
      x[place * count / 6] = odd
    }
    let rounded = KernelChecks.output(count, initial: UInt8(0)) {
      QuantizedElementwise.quantize(x, levels, into: $0, count: count, workers: $1)
    }
    let pixels = KernelChecks.output(count, initial: UInt8(0)) {
      QuantizedElementwise.quantizePixels(x, ofPixels, into: $0, count: count, workers: $1)
    }
    for target in CodeTarget.tried {
      let library = KernelLibrary(target)
      let one = ByteRounding([levels], library: library)
      let several = ByteRounding(ofPixels.channels, library: library)
      try library.finish()
      for (rounding, expected) in [(one, rounded), (several, pixels)] {
        // A byte behind the last one stays as it is.
        var y = [UInt8](repeating: 77, count: count + 1)
        y.withUnsafeMutableBufferPointer {
          guard let y = $0.baseAddress else { return }
          rounding.run(x, into: y, count: count, workers: workers)
        }
        #expect(y == expected + [77], "\(target.instructionSet): \(count) numbers of \(channels) channels")
      }
    }
  }

  @Test(arguments: 0..<UInt64(12)) func tablesAreLookedUpAsDefined(_ seed: UInt64) throws {
    var random = RandomNumbers(seed: seed)
    let count = random.int(0...3000), workers = Workers(count: random.int(1...3))
    // All bytes among them, and tables in which every part is another one.
    let x = random.bytes(count).enumerated().map { $0 < 256 ? UInt8($0) : $1 }, table = random.bytes(256)
    let bytes = KernelChecks.output(count, initial: UInt8(0)) {
      QuantizedElementwise.look(up: x, in: table, into: $0, count: count, workers: $1)
    }
    for target in CodeTarget.tried {
      let library = KernelLibrary(target)
      let look = ByteTable(table, library: library)
      try library.finish()
      // What is behind the last one stays as it is.
      var y = [UInt8](repeating: 77, count: count + 1), own = x + [77]
      y.withUnsafeMutableBufferPointer {
        guard let y = $0.baseAddress else { return }
        look.look(up: x, into: y, count: count, workers: workers)
      }
      own.withUnsafeMutableBufferPointer {
        guard let own = $0.baseAddress else { return }
        look.look(up: own, into: own, count: count, workers: workers)
      }
      #expect(y == bytes + [77] && own == y, "\(target.instructionSet): \(count) bytes")
    }
  }

  @Test(arguments: 0..<UInt64(12)) func sumsAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let sum = QuantizedSum(try c.random.levels(), try c.random.levels(), try c.random.levels())
    let b = c.random.bytes(c.count)
    let expected = KernelChecks.output(c.count, initial: UInt8(0)) {
      QuantizedElementwise.add(c.x, b, sum, into: $0, count: c.count, workers: $1)
    }
    try c.check(expected, c.tensor) { x, y, library in
      let stream = QuantizedStream(sum, c.tensor, library: library)
      try library.finish()
      let second = try ByteImages(b, c.tensor)
      withExtendedLifetime(second) { stream.run(x, second.base, into: y, workspace: y, workers: c.workers) }
    }
  }

  @Test(arguments: 0..<UInt64(16)) func productsAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let product = QuantizedProduct(try c.random.levels(), try c.random.levels(), try c.random.levels(scale: 0.01...0.5))
    let byPixel = seed % 2 == 0, factors = byPixel ? c.tensor.onePixel : c.tensor
    let channels = c.tensor.channels, pixels = byPixel ? c.tensor.height * c.tensor.width : 1
    let b = c.random.bytes(c.count / pixels)
    let expected = KernelChecks.output(c.count, initial: UInt8(0)) {
      QuantizedElementwise.multiply(
        c.x, by: b, product, into: $0, images: c.count / channels / pixels, pixels: pixels, channels: channels,
        workers: $1)
    }
    try c.check(expected, c.tensor) { x, y, library in
      let stream = QuantizedStream(product, byPixel: byPixel, c.tensor, library: library)
      try library.finish()
      let second = try ByteImages(b, factors)
      withExtendedLifetime(second) { stream.run(x, second.base, into: y, workspace: y, workers: c.workers) }
    }
  }

  @Test(arguments: 0..<UInt64(12)) func meansAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let mean = QuantizedMean(try c.random.levels(), try c.random.levels())
    let geometry = Pooling.Geometry.global(
      images: c.tensor.images, channels: c.tensor.channels, height: c.tensor.height, width: c.tensor.width)
    let expected = KernelChecks.output(c.tensor.images * c.tensor.channels, initial: UInt8(0)) {
      QuantizedPooling.pool(c.x, mean: mean, countsPadding: false, into: $0, geometry, workers: $1)
    }
    try c.check(expected, c.tensor.onePixel) { x, y, library in
      let stream = QuantizedStream(mean, c.tensor, library: library)
      try library.finish()
      let workspace = try Memory(count: stream.workspaceByteCount(c.workers), of: .uint8, for: "test")
      stream.run(x, nil, into: y, workspace: workspace.base, workers: c.workers)
    }
  }

  @Test(arguments: 0..<UInt64(12)) func meansAsFloatsAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let mean = QuantizedMean(try c.random.levels(), nil), count = c.tensor.images * c.tensor.channels
    let geometry = Pooling.Geometry.global(
      images: c.tensor.images, channels: c.tensor.channels, height: c.tensor.height, width: c.tensor.width)
    let expected = KernelChecks.output(count, initial: Float(0)) {
      QuantizedPooling.pool(c.x, mean: mean, countsPadding: false, into: $0, geometry, workers: $1)
    }
    for target in CodeTarget.tried {
      let library = KernelLibrary(target), input = try ByteImages(c.x, c.tensor)
      let stream = QuantizedStream(mean, c.tensor, library: library)
      try library.finish()
      let means = c.tensor.onePixel.with(element: .float32), y = try ConvolutionBuffer(byteCount: means.byteCount)
      let workspace = try Memory(count: stream.workspaceByteCount(c.workers), of: .uint8, for: "test")
      withExtendedLifetime(input) {
        stream.run(input.base, nil, into: y.base, workspace: workspace.base, workers: c.workers)
      }
      var found = [Float](repeating: 0, count: count)
      BlockedCopies.unpack(y.base, means, into: &found, workers: c.workers)
      #expect(found == expected && y.isGuardIntact, "\(target.instructionSet): \(c.tensor)")
    }
  }

  @Test(arguments: 0..<UInt64(12)) func floatsInBlocksAreConvertedAsDefined(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let levels = try c.random.levels(scale: 0.5...2), count = c.count
    // Ties, numbers beyond all levels and no numbers among them.
    var x = (0..<count).map { _ in Float(c.random.int(-600...600)) / 2 }
    for (place, odd) in [Float.nan, .infinity, -.infinity, 3e38, -3e38, -0.0].enumerated() {
      x[place * count / 6] = odd
    }
    let rounded = KernelChecks.output(count, initial: UInt8(0)) {
      QuantizedElementwise.quantize(x, levels, into: $0, count: count, workers: $1)
    }
    let meant = KernelChecks.output(count, initial: Float(0)) {
      QuantizedElementwise.dequantize(c.x, levels, into: $0, count: count, workers: $1)
    }
    let tensor = c.tensor.with(element: .float32)
    for target in CodeTarget.tried {
      let library = KernelLibrary(target)
      let toLevels = ByteConversion(tensor, levels, isToLevels: true, library: library)
      let toFloats = ByteConversion(tensor, levels, isToLevels: false, library: library)
      try library.finish()
      let floats = try ConvolutionBuffer(byteCount: tensor.byteCount), bytes = try ByteImages(c.tensor)
      BlockedCopies.pack(x, into: floats.base, tensor, workers: c.workers)
      toLevels.run(floats.base, into: bytes.base, workers: c.workers)
      #expect(bytes.numbers == rounded && bytes.isGuardIntact, "\(target.instructionSet): \(tensor)")
      let given = try ByteImages(c.x, c.tensor)
      withExtendedLifetime(given) { toFloats.run(given.base, into: floats.base, workers: c.workers) }
      var found = [Float](repeating: 0, count: count)
      BlockedCopies.unpack(floats.base, tensor, into: &found, workers: c.workers)
      #expect(found == meant && floats.isGuardIntact, "\(target.instructionSet): \(tensor)")
    }
  }

  /// Windows of random sizes on the images of a case; without padding where an average is to have windows of one size.
  private func windows(_ c: inout Case, isPadded: Bool, isDilated: Bool) -> Pooling.Geometry {
    func axis(_ size: Int) -> (window: Int, stride: Int, dilation: Int, padding: Int, output: Int) {
      let window = c.random.int(1...min(4, size)), stride = c.random.int(1...3)
      let padding = isPadded ? c.random.int(0...(window - 1) / 2) : 0
      let dilation = isDilated && (window - 1) * 2 < size ? c.random.int(1...2) : 1
      let extent = (window - 1) * dilation + 1
      return (window, stride, dilation, padding, (size + 2 * padding - extent) / stride + 1)
    }
    let rows = axis(c.tensor.height), columns = axis(c.tensor.width)
    return Pooling.Geometry(
      images: c.tensor.images, channels: c.tensor.channels, input: .init(c.tensor.height, c.tensor.width),
      output: .init(rows.output, columns.output), window: .init(rows.window, columns.window),
      stride: .init(rows.stride, columns.stride), dilation: .init(rows.dilation, columns.dilation),
      paddingBefore: .init(rows.padding, columns.padding), paddingAfter: .init(rows.padding, columns.padding))
  }

  @Test(arguments: 0..<UInt64(16)) func largestLevelsAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let g = windows(&c, isPadded: true, isDilated: true)
    let output = g.blockedOutput.with(element: .uint8)
    let expected = KernelChecks.output(g.images * g.output.height * g.output.width * g.channels, initial: UInt8(0)) {
      QuantizedPooling.pool(c.x, mean: nil, countsPadding: false, into: $0, g, workers: $1)
    }
    try c.check(expected, output) { x, y, library in
      let pooling = try BlockedPooling(
        g, isMaximum: true, countsPadding: false, input: .uint8, output: .uint8, library: library)
      try library.finish()
      pooling.run(x, into: y, workers: c.workers)
    }
  }

  @Test(arguments: 0..<UInt64(16)) func meansOfWindowsAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let mean = QuantizedMean(try c.random.levels(), try c.random.levels())
    let countsPadding = seed % 2 == 0, g = windows(&c, isPadded: countsPadding, isDilated: false)
    #expect(QuantizedAveragePooling.refusal(g, countsPadding: countsPadding) == nil)
    let output = g.blockedOutput.with(element: .uint8)
    let expected = KernelChecks.output(g.images * g.output.height * g.output.width * g.channels, initial: UInt8(0)) {
      QuantizedPooling.pool(c.x, mean: mean, countsPadding: countsPadding, into: $0, g, workers: $1)
    }
    try c.check(expected, output) { x, y, library in
      let pooling = try QuantizedAveragePooling(g, mean, countsPadding: countsPadding, library: library)
      try library.finish()
      let workspace = try Memory(count: pooling.workspaceByteCount(c.workers), of: .uint8, for: "test")
      pooling.run(x, into: y, workspace: workspace.base, workers: c.workers)
    }
  }

  @Test(arguments: 0..<UInt64(12)) func channelsBehindOthersAreThoseOfTheDefinition(_ seed: UInt64) throws {
    var c = Case(seed: seed)
    let result = try c.random.levels(), own = seed % 3 == 0 ? result : try c.random.levels()
    let before = c.random.int(0...130), after = c.random.int(0...70), channels = c.tensor.channels
    let concatenation = QuantizedConcatenation([result, own], result)
    let whole = c.tensor.with(channels: before + channels + after), rows = c.count / channels
    let given = c.random.bytes(rows * whole.channels)
    var expected = given
    concatenation.write(
      1, c.x, count: channels, into: &expected, length: whole.channels, offset: before, rows: rows, workers: c.workers)
    let x = try ByteImages(c.x, c.tensor), y = try ByteImages(given, whole)
    concatenation.write(1, x.base, c.tensor, into: y.base, whole, offset: before, workers: c.workers)
    #expect(y.numbers == expected)
    // And these are what the levels stand for, rounded.
    for row in 0..<rows {
      for channel in 0..<channels {
        let level =
          own == result ? c.x[row * channels + channel] : result.level(of: own.value(of: c.x[row * channels + channel]))
        #expect(expected[row * whole.channels + before + channel] == level)
      }
    }
  }
}
