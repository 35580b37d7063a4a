import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// A convolution of bfloat16 on random numbers, which a test compares with the oracle of its products, bit for bit.
struct BFloat16ConvolutionCheck {
  let geometry: ConvolutionGeometry
  var isRounded = true
  var epilogue = Epilogue()
  var border: BlockedTensor.Border?
  var outputBorder = BlockedTensor.Border.none
  var workers = Workers(count: 1)
  var seed: UInt64 = 1

  /// How the image lies.
  var input: ConvolutionInput { border.map { .padded($0) } ?? .blocked }

  /// What is checked: some implementation's plan.
  struct Plan {
    let input, output: BlockedTensor
    let filterByteCount, biasCount, workspaceByteCount: Int
    let pack: (_ weight: UnsafePointer<Float>, _ scale: UnsafePointer<Float>, _ packed: UnsafeMutableRawPointer) -> Void
    let run:
      (
        _ x: UnsafeRawPointer, _ filter: UnsafeRawPointer, _ bias: UnsafePointer<Float>?, _ residual: UnsafeRawPointer?,
        _ y: UnsafeMutableRawPointer, _ workspace: UnsafeMutableRawPointer
      ) -> Void
    /// The sum of products, of whole blocks of 32 channels one after the other, and the bias.
    let sum: (_ bias: Float, _ a: [[BFloat16]], _ b: [[BFloat16]]) -> Float
  }

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

  /// Compares; the first difference is told.
  func check(_ plan: Plan) throws {
    let g = geometry
    let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 1)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
    let bias = try ConvolutionBuffer(randomCount: plan.biasCount, seed: seed, stream: 3)
    let scale = try ConvolutionBuffer(randomCount: g.outputChannels, seed: seed, stream: 4)
    let residual = try ConvolutionBuffer(randomCount: g.outputCount, seed: seed, stream: 5)
    let input = try Self.blocked({ BFloat16(x[$0]) }, plan.input, channels: g.inputChannels)
    let filter = try ConvolutionBuffer(byteCount: plan.filterByteCount)
    let workspace = try ConvolutionBuffer(byteCount: plan.workspaceByteCount)
    let y = try ConvolutionBuffer(byteCount: plan.output.byteCount)
    let residualBlocked: ConvolutionBuffer
    if isRounded {
      residualBlocked = try Self.blocked({ BFloat16(residual[$0]) }, plan.output, channels: g.outputChannels)
    } else {
      let plain = plan.output.with(border: .none), buffer = try ConvolutionBuffer(byteCount: plain.byteCount)
      residualBlocked = try ConvolutionBuffer(byteCount: plan.output.byteCount)
      BlockedCopies.pack(residual.base, into: buffer.base, plain, workers: workers)
      BlockedCopies.copy(buffer.base, plain, into: residualBlocked.base, plan.output, workers: workers)
    }
    plan.pack(weight.base, scale.base, filter.base)
    plan.run(
      input.base, filter.base, epilogue.hasBias ? UnsafePointer(bias.base) : nil,
      epilogue.addsResidual ? UnsafeRawPointer(residualBlocked.base) : nil, y.base, workspace.base)
    let isIntact = [input, filter, workspace, y].allSatisfy(\.isGuardIntact)
    #expect(isIntact, "\(g)")
    Self.checkBorder(y, plan.output)
    if isRounded { Self.checkLanesBehindChannels(y, plan.output) }

    // The right sides of each output channel's products, in order, and the left sides of each pixel's by their blocks.
    let taps = g.kernelHeight * g.kernelWidth, inputs = g.groupInputChannels
    let blocks = (0..<g.outputChannels).map { Self.blocks(of: g, output: $0) }
    let rights = (0..<g.outputChannels).map { channel in
      let start = channel / g.groupOutputChannels * inputs
      return blocks[channel].flatMap { block in
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
        var sum = plan.sum(epilogue.hasBias ? bias[channel] : 0, blocks[channel].flatMap(left), rights[channel])
        if epilogue.addsResidual {
          let term = residual[pixel * g.outputChannels + channel]
          sum += isRounded ? Float(BFloat16(term)) : term
        }
        let found = Self.result(y, plan.output, isRounded: isRounded, pixel: pixel, channel: channel)
        let function = epilogue.activation?.function
        if let function, function != .relu {
          let expected = Float(BlockedConvolutionTests.reference(function, Double(sum)))
          // Half a unit in the last place where it is rounded, and the other way where that is near.
          let bound = expected.magnitude * (isRounded ? 0x1p-7 : 1e-6) + 1e-6
          #expect(abs(found - expected) <= bound, "\(g), \(self): \(pixel), \(channel): \(found), \(expected)")
          if !(abs(found - expected) <= bound) { return }
        } else {
          let y = function == .relu ? max(0, sum) : sum
          let expected = isRounded ? Float(BFloat16Product.rounded(y)) : y
          #expect(found == expected, "\(g), \(self): \(pixel), \(channel)")
          if found != expected { return }
        }
      }
    }
  }

  /// What products of bfloat16 read behind the last channel is finite.
  private static func checkLanesBehindChannels(_ y: ConvolutionBuffer, _ layout: BlockedTensor) {
    let isFinite = (0..<layout.images * layout.height * layout.width).allSatisfy { pixel in
      (layout.channels..<layout.blocks * 32).allSatisfy {
        result(y, layout, isRounded: true, pixel: pixel, channel: $0).isFinite
      }
    }
    #expect(isFinite, "\(layout)")
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

  /// Awkward ones, of which each part has others.
  static func random(
    part: Int, count: Int, outputBorders: Bool, _ check: (BFloat16ConvolutionCheck) throws -> Void
  ) throws {
    var generator = PhiloxGenerator(seed: 11, stream: UInt64(part))
    func pick<T>(_ values: [T]) -> T { values[Int(generator.next() % UInt64(values.count))] }
    let functions: [ActivationFunction?] = [nil, .relu, .silu, nil, .relu, .hardSwish, .sigmoid]
    var done = 0
    while done < count {
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
        g.batch * g.outputHeight * g.outputWidth * g.outputChannels * kernel * kernel < 20_000, !g.isChannelwise
      else { continue }
      var c = BFloat16ConvolutionCheck(
        geometry: g, isRounded: done % 3 != 2, workers: Workers(count: 1 + done % 3), seed: UInt64(done + 100 * part))
      c.epilogue = Epilogue(
        hasBias: done % 2 == 1, addsResidual: done % 4 == 3,
        activation: functions[done % functions.count].flatMap { VectorActivation($0, constants: []) })
      if done % 5 == 4 {
        c.border = .init(top: g.padTop + 1, left: g.padLeft + 2, bottom: g.padBottom, right: g.padRight + 1)
      }
      if outputBorders, done % 3 > 0 { c.outputBorder = .init(top: done % 2, left: 1, bottom: 2, right: done % 4) }
      try check(c)
      done += 1
    }
  }
}
