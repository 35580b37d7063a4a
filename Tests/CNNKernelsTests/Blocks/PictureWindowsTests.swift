import CNNCore
import CNNRuntime
import Testing
import TileSupport
import X86Assembler

@testable import CNNKernels

/// The windows of pictures, and the convolutions of them, against the numbers they are made of.
@Suite struct PictureWindowsTests {
  private static let geometries = [
    // The first layers of a ResNet and of an EfficientNet; whole windows with borders that differ; one channel.
    "h9 w13 ic3 oc5 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3", "n2 h8 w6 ic3 oc4 kh3 kw3 sh2 sw2 pt0 pl0 pb1 pr1",
    "h5 w7 ic3 oc2 kh3 kw3 pt1 pl1 pb1 pr1", "n3 h6 w40 ic1 oc3 kh5 kw5 sh1 sw3 pt2 pl2 pb2 pr2",
    "h4 w4 ic4 oc3 kh2 kw8 pl4 pr3",
    "h3 w3 ic2 oc17",
  ]
  private static let mean: [Float] = [120, 110, 100, 90], deviation: [Float] = [60, 50, 40, 30]

  /// The numbers of a picture, rounded, zeros beside it; of pixels they are normalised.
  private static func number(
    _ g: ConvolutionGeometry, _ pixels: [UInt8], image: Int, _ row: Int, _ column: Int, _ c: Int
  ) -> Float {
    guard (0..<g.inputHeight).contains(row), (0..<g.inputWidth).contains(column) else { return 0 }
    let pixel = pixels[((image * g.inputHeight + row) * g.inputWidth + column) * g.inputChannels + c]
    return Float(BFloat16((Float(pixel) - mean[c]) / deviation[c]))
  }

  @Test(arguments: geometries)
  func aConvolutionOfTheWindowsIsTheConvolution(_ line: String) throws {
    let g = try ConvolutionCase(line).geometry
    let pixels = (0..<g.inputCount).map { (index: Int) -> UInt8 in UInt8(truncatingIfNeeded: index &* 89 &+ index / 7) }
    let weight = (0..<g.weightCount).map { (index: Int) -> Float in Float((index * 31 + index / 5) % 23 - 11) }
    let channels = 0..<g.inputChannels
    let numbers = pixels.enumerated().map { index, pixel in
      (Float(pixel) - Self.mean[index % g.inputChannels]) / Self.deviation[index % g.inputChannels]
    }
    for (workers, isNumber) in [(1, false), (3, false), (2, true)] {
      // Numbers are rounded by code.
      if isNumber && !BFloat16ProductTests.hasVectors { continue }
      let library = KernelLibrary(CodeTarget(.avx512BF16))
      let windows = try PictureWindows(
        g,
        isNumber
          ? .number : .pixel(mean: Array(Self.mean[channels]), deviation: Array(Self.deviation[channels])),
        library: library)
      if isNumber { try library.finish() }
      let memory = try ConvolutionBuffer(byteCount: windows.byteCount(threads: workers))
      func write(_ x: UnsafeRawBufferPointer) {
        if let x = x.baseAddress { windows.write(x, into: memory.base, workers: Workers(count: workers)) }
      }
      isNumber ? numbers.withUnsafeBytes(write) : pixels.withUnsafeBytes(write)
      #expect(memory.isGuardIntact)
      let filter = weight.withUnsafeBufferPointer { windows.filter($0.baseAddress!) }
      let w = windows.geometry, lanes = UnsafeMutableRawPointer(memory.base).assumingMemoryBound(to: BFloat16.self)
      #expect([w.outputHeight, w.outputWidth, w.outputChannels] == [g.outputHeight, g.outputWidth, g.outputChannels])
      for pixel in 0..<windows.tensor.pixels {
        let rest = (w.inputChannels..<32).allSatisfy { lanes[pixel * 32 + $0].bitPattern == 0 }
        #expect(rest)
      }
      for output in 0..<g.outputCount {
        let channel = output % g.outputChannels, pixel = output / g.outputChannels
        let column = pixel % g.outputWidth, row = pixel / g.outputWidth % g.outputHeight
        let image = pixel / g.outputWidth / g.outputHeight
        var expected: Float = 0, found: Float = 0
        for c in channels {
          for tap in 0..<g.taps {
            expected +=
              Self.number(
                g, pixels, image: image, row * g.strideHeight - g.padTop + tap / g.kernelWidth,
                column * g.strideWidth - g.padLeft + tap % g.kernelWidth, c)
              * weight[(channel * g.inputChannels + c) * g.taps + tap]
          }
        }
        for tap in 0..<w.kernelHeight {
          let place = (image * w.inputHeight + row * w.strideHeight + tap) * w.inputWidth + column
          for lane in 0..<w.inputChannels {
            found += Float(lanes[place * 32 + lane]) * filter[(channel * w.inputChannels + lane) * w.kernelHeight + tap]
          }
        }
        #expect(abs(expected - found) <= 1e-3, "\(line), \(output)")
        if abs(expected - found) > 1e-3 { return }
      }
    }
  }

  @Test func whatHasNoWindowsIsRefusedWithAReason() throws {
    let wide = try ConvolutionCase("h9 w99 ic3 oc5 kh3 kw11").geometry
    #expect(PictureWindows.refusal(wide) == "a row of the window holds 33 numbers, more than a block")
    let dilated = try ConvolutionCase("h9 w9 ic3 oc5 kh3 kw3 dh2 dw2").geometry
    #expect(PictureWindows.refusal(dilated) == "the dilation is 2x2; windows of pictures need 1x1")
  }

  /// Numbers of float32, by tiles, with what follows them.
  @Test(.enabled(if: Tiles.instructionSet != nil), arguments: geometries)
  func tilesComputePictures(_ line: String) throws {
    let g = try ConvolutionCase(line).geometry, workers = Workers(count: 2)
    let library = KernelLibrary(CodeTarget(Tiles.instructionSet ?? []))
    let convolution = try TileConvolution(
      g, input: .picture(.number), isRounded: false,
      epilogue: Epilogue(hasBias: true, activation: VectorActivation(.relu, constants: [])), workers: workers,
      library: library)
    try library.finish()
    let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: 3, stream: 1)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: 3, stream: 2)
    let bias = try ConvolutionBuffer(randomCount: convolution.biasCount, seed: 3, stream: 3)
    let filter = try ConvolutionBuffer(byteCount: convolution.filterCount * 2)
    let workspace = try ConvolutionBuffer(byteCount: convolution.workspaceByteCount)
    let y = try ConvolutionBuffer(byteCount: convolution.output.byteCount)
    let packed = UnsafeMutableRawPointer(filter.base).assumingMemoryBound(to: BFloat16.self)
    convolution.pack(weight.base, scale: nil, into: packed, workers: workers)
    convolution.run(
      x.base, filter: packed, bias: bias.base, residual: nil, into: y.base, workspace: workspace.base, workers: workers)
    let isIntact = [filter, workspace, y].allSatisfy(\.isGuardIntact)
    #expect(isIntact)
    for output in 0..<g.outputCount {
      let channel = output % g.outputChannels, pixel = output / g.outputChannels
      let row = pixel / g.outputWidth % g.outputHeight, image = pixel / g.outputWidth / g.outputHeight
      var expected = bias[channel]
      for tap in 0..<g.taps {
        let y = row * g.strideHeight - g.padTop + tap / g.kernelWidth
        let x0 = pixel % g.outputWidth * g.strideWidth - g.padLeft + tap % g.kernelWidth
        guard (0..<g.inputHeight).contains(y), (0..<g.inputWidth).contains(x0) else { continue }
        for c in 0..<g.inputChannels {
          let number = x[((image * g.inputHeight + y) * g.inputWidth + x0) * g.inputChannels + c]
          expected += Float(BFloat16(number)) * Float(BFloat16(weight[(channel * g.inputChannels + c) * g.taps + tap]))
        }
      }
      expected = max(0, expected)
      let layout = convolution.output
      let place =
        layout.byteOffset(image: image, block: channel / 16) / 4 + pixel % (g.outputHeight * g.outputWidth) * 16
      #expect(abs(y[place + channel % 16] - expected) <= 1e-4, "\(line), \(output)")
      if abs(y[place + channel % 16] - expected) > 1e-4 { return }
    }
  }
}
