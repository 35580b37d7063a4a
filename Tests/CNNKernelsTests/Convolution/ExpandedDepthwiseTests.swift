import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// The pair of a pointwise and a depthwise convolution against the references of both, one after the other.
struct ExpandedDepthwiseTests {
  @Test(arguments: BlockedConvolutionTests.targets)
  func pairsEqualTheTwoConvolutions(_ target: CodeTarget) throws {
    var generator = PhiloxGenerator(seed: 11, stream: 1)
    func pick(_ values: [Int]) -> Int { values[Int(generator.unit() * Float(values.count)) % values.count] }
    var checked = 0
    while checked < 60 {
      let images = pick([1, 2, 3]), height = pick([1, 3, 7, 14, 23, 40]), width = pick([1, 2, 7, 14, 17, 33])
      let inputs = pick([8, 16, 17, 24, 40]), hidden = pick([8, 16, 24, 40, 72, 100]), kernel = pick([3, 5])
      let stride = pick([1, 2]), pads = (0..<4).map { _ in pick(Array(0...kernel / 2)) }
      guard
        let depthwise = try? ConvolutionGeometry(
          batch: images, inputHeight: height, inputWidth: width, inputChannels: hidden, outputChannels: hidden,
          kernelHeight: kernel, kernelWidth: kernel, strideHeight: stride, strideWidth: stride, padTop: pads[0],
          padLeft: pads[1], padBottom: pads[2], padRight: pads[3], groups: hidden),
        BlockedConvolutionTests.isPossible(depthwise)
      else { continue }
      let pointwise = try ConvolutionGeometry(
        batch: images, inputHeight: height, inputWidth: width, inputChannels: inputs, outputChannels: hidden,
        kernelHeight: 1, kernelWidth: 1)
      // A small second cache, so that there are several strips of rows.
      let small = CodeTarget(target.instructionSet, secondCacheByteCount: pick([1 << 14, 1 << 20]))
      try check(pointwise, depthwise, small, workers: Workers(count: pick([1, 2, 3])), seed: UInt64(checked))
      checked += 1
    }
  }

  private func check(
    _ pointwise: ConvolutionGeometry, _ depthwise: ConvolutionGeometry, _ target: CodeTarget, workers: Workers,
    seed: UInt64
  ) throws {
    let library = KernelLibrary(target), silu = VectorActivation(.silu, constants: [])
    let epilogue = Epilogue(hasBias: true, activation: silu)
    let pair = ExpandedDepthwise(
      pointwise, epilogue: epilogue, depthwise: depthwise, epilogue: epilogue, accumulatesSum: true, workers: workers,
      library: library)
    try library.finish()
    func random(_ count: Int, _ stream: UInt64) throws -> ConvolutionBuffer {
      try ConvolutionBuffer(randomCount: count, seed: seed, stream: stream)
    }
    // OIHW and HWIO of a pointwise filter are transposes, of a depthwise one [C, taps] and [taps, C].
    func transposed(_ values: ConvolutionBuffer, rows: Int) throws -> ConvolutionBuffer {
      let columns = values.count / rows, result = try ConvolutionBuffer(count: values.count)
      for row in 0..<rows {
        for column in 0..<columns { result.base[column * rows + row] = values[row * columns + column] }
      }
      return result
    }
    let hidden = depthwise.inputChannels
    let x = try random(pointwise.inputCount, 1)
    let first = try random(pointwise.weightCount, 2), second = try random(depthwise.weightCount, 3)
    let firstTransposed = try transposed(first, rows: hidden), secondTransposed = try transposed(second, rows: hidden)
    let firstBias = try random(pair.biasCount, 4), secondBias = try random(pair.biasCount, 5)
    let firstPacked = try ConvolutionBuffer(count: pair.expansionFilterCount)
    let secondPacked = try ConvolutionBuffer(count: pair.depthwiseFilterCount)
    let workspace = try ConvolutionBuffer(byteCount: pair.workspaceByteCount)
    let xBlocked = try ConvolutionBuffer(byteCount: pair.input.byteCount)
    let yBlocked = try ConvolutionBuffer(byteCount: pair.output.byteCount)
    let meanBlocked = try ConvolutionBuffer(byteCount: pair.mean.byteCount)
    let y = try ConvolutionBuffer(count: depthwise.outputCount)
    let mean = try ConvolutionBuffer(count: depthwise.batch * hidden)
    BlockedCopies.pack(x.base, into: xBlocked.base, pair.input, workers: workers)
    pair.packExpansion(first.base, scale: nil, into: firstPacked.base, workers: workers)
    pair.packDepthwise(second.base, scale: nil, into: secondPacked.base)
    pair.run(
      xBlocked.base, expansion: .init(filter: firstPacked.base, bias: firstBias.base),
      depthwise: .init(filter: secondPacked.base, bias: secondBias.base), into: yBlocked.base, mean: meanBlocked.base,
      workspace: workspace.base, workers: workers)
    BlockedCopies.unpack(yBlocked.base, pair.output, into: y.base, workers: workers)
    BlockedCopies.unpack(meanBlocked.base, pair.mean, into: mean.base, workers: workers)

    func silued(_ values: [Double]) -> [Double] { values.map { BlockedConvolutionTests.reference(.silu, $0) } }
    var between = [Double](repeating: .nan, count: pointwise.outputCount)
    ConvolutionReference.forward(
      x: x.base, weight: firstTransposed.base, bias: firstBias.base, y: &between,
      geometry: pointwise)
    let rounded = try ConvolutionBuffer(count: between.count)
    for (index, value) in silued(between).enumerated() { rounded.base[index] = Float(value) }
    var expected = [Double](repeating: .nan, count: depthwise.outputCount)
    ConvolutionReference.forward(
      x: rounded.base, weight: secondTransposed.base, bias: secondBias.base, y: &expected,
      geometry: depthwise)
    expected = silued(expected)
    let largest = max(expected.map(\.magnitude).max() ?? 0, 1e-6)
    for (index, value) in expected.enumerated() where !(abs(Double(y[index]) - value) < 1e-5 * largest) {
      Issue.record("\(pointwise) \(depthwise) \(target): \(y[index]) at \(index), expected \(value)")
      return
    }
    let pixels = depthwise.outputHeight * depthwise.outputWidth
    for image in 0..<depthwise.batch {
      for channel in 0..<hidden {
        let sum = (0..<pixels).reduce(0.0) { $0 + expected[(image * pixels + $1) * hidden + channel] }
        #expect(abs(Double(mean[image * hidden + channel]) - sum / Double(pixels)) < 1e-5 * largest)
      }
    }
    withExtendedLifetime((firstTransposed, secondTransposed)) {}
    let isIntact = [firstPacked, secondPacked, workspace, xBlocked, yBlocked, meanBlocked].allSatisfy(\.isGuardIntact)
    #expect(isIntact)
  }
}
