import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Generated passes over blocked tensors against the portable kernels on the same numbers, row-major.
struct StreamTests {
  static let tensors = [
    BlockedTensor(images: 1, height: 1, width: 2, channels: 1),
    BlockedTensor(images: 2, height: 3, width: 5, channels: 3),
    BlockedTensor(images: 3, height: 7, width: 7, channels: 17),
    BlockedTensor(images: 5, height: 1, width: 1, channels: 33),
    BlockedTensor(images: 2, height: 40, width: 33, channels: 24),
  ]
  static let functions = ActivationFunction.allCases.compactMap {
    VectorActivation($0, constants: $0 == .clip ? [-0.25, 0.5] : $0.constants.map(\.usual))
  }

  /// A tensor row-major and blocked, with NaN behind the last channel and between blocks.
  struct Image {
    let rows, blocked: ConvolutionBuffer
    let tensor: BlockedTensor

    init(_ tensor: BlockedTensor, seed: UInt64, stream: UInt64, factor: Float = 1) throws {
      self.tensor = tensor
      let count = tensor.pixels * tensor.channels
      rows = try ConvolutionBuffer(randomCount: count, seed: seed, stream: stream)
      for index in 0..<count { rows.base[index] *= factor }
      blocked = try ConvolutionBuffer(byteCount: tensor.byteCount)
      BlockedCopies.pack(rows.base, into: blocked.base, tensor, workers: Workers(count: 1))
      BlockedWeightGradientTests.poison(blocked, tensor)
    }

    init(emptyLike tensor: BlockedTensor) throws {
      self.tensor = tensor
      rows = try ConvolutionBuffer(count: tensor.pixels * tensor.channels)
      blocked = try ConvolutionBuffer(byteCount: tensor.byteCount)
    }

    /// The blocked numbers, row-major.
    var values: [Double] {
      BlockedCopies.unpack(blocked.base, tensor, into: rows.base, workers: Workers(count: 1))
      return (0..<rows.count).map { Double(rows[$0]) }
    }
  }

  static func floats(_ count: Int, _ seed: UInt64, _ stream: UInt64, shift: Float = 0) throws -> ConvolutionBuffer {
    let buffer = try ConvolutionBuffer(randomCount: count, seed: seed, stream: stream)
    for index in 0..<count { buffer.base[index] += shift }
    return buffer
  }

  static func expectClose(_ a: [Double], _ b: [Double], _ tolerance: Double, _ what: String) {
    let scale = max(b.map(\.magnitude).max() ?? 0, 1e-6)
    let isClose = zip(a, b).allSatisfy { abs($0 - $1) <= tolerance * scale }
    #expect(isClose && a.count == b.count, "\(what): \(a.prefix(5)), expected \(b.prefix(5))")
  }

  static func doubles(_ buffer: ConvolutionBuffer) -> [Double] { (0..<buffer.count).map { Double(buffer[$0]) } }

  /// Statistics, result and gradients of a normalisation, with and without what is fused into it.
  @Test(arguments: BlockedConvolutionTests.targets, tensors)
  func normalizationsEqualThePortableOnes(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    let plain: [VectorActivation?] = [nil] + Self.functions
    for (number, activation) in plain.enumerated() {
      for addsResidual in activation == nil || activation?.function == .relu ? [false, true] : [false] {
        try checkNormalization(target, tensor, activation, addsResidual: addsResidual, workers: 1 + number % 3)
      }
    }
  }

  /// All functions, in place too.
  @Test(arguments: BlockedConvolutionTests.targets, tensors)
  func activationsEqualThePortableOnes(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    for (number, activation) in Self.functions.enumerated() {
      let library = KernelLibrary(target), team = Workers(count: 1 + number % 3)
      let kernel = StreamStepKernels(.activation(activation, tensor), library: library)
      try library.finish()
      let x = try Image(tensor, seed: 2, stream: UInt64(number), factor: 4), y = try Image(emptyLike: tensor)
      try kernel.run([x.blocked, y.blocked], workers: team)
      try kernel.run([x.blocked, x.blocked], workers: team)
      var constants = SIMD4<Float>()
      for (lane, constant) in activation.constants.enumerated() { constants[lane] = constant }
      let expected = try ConvolutionBuffer(count: x.rows.count)
      ActivationKernels.forward(
        activation.function, constants: constants, x.rows.base, into: expected.base, count: expected.count,
        workers: team)
      let what = "\(activation) \(tensor) \(target.instructionSet)"
      Self.expectClose(y.values, Self.doubles(expected), 1e-6, what)
      #expect(x.values == y.values && x.blocked.isGuardIntact && y.blocked.isGuardIntact, "\(what)")
    }
  }

  private func checkNormalization(
    _ target: CodeTarget, _ tensor: BlockedTensor, _ activation: VectorActivation?, addsResidual: Bool, workers: Int
  ) throws {
    let what = "\(tensor) \(activation?.description ?? "") \(addsResidual) \(target.instructionSet)"
    let team = Workers(count: workers), library = KernelLibrary(target), channels = tensor.channels
    let kind = BlockedNormalization(
      epsilon: 1e-3, momentum: 0.25, unbiased: false, addsResidual: addsResidual, activation: activation)
    let normalization = StreamStepKernels(.normalization(tensor, kind), library: library)
    let normalizationAgain = StreamStepKernels(.normalizationByStatistics(tensor, kind), library: library)
    let source: NormalizationGradientSource =
      addsResidual && activation != nil ? .result : activation.map { .activation($0) } ?? .gradient
    let gradient = StreamStepKernels(.normalizationGradient(tensor, source), library: library)
    try library.finish()
    // Far from zero, so that a variance from sums of squares would be wrong.
    let x = try Image(tensor, seed: 1, stream: 1), residual = try Image(tensor, seed: 1, stream: 2)
    for index in 0..<x.rows.count { x.rows.base[index] += tensor.pixels > 8 ? 300 : 0 }
    BlockedCopies.pack(x.rows.base, into: x.blocked.base, tensor, workers: team)
    BlockedWeightGradientTests.poison(x.blocked, tensor)
    let dy = try Image(tensor, seed: 1, stream: 3)
    let gamma = try Self.floats(channels, 1, 4, shift: 1.5), beta = try Self.floats(channels, 1, 5)
    let y = try Image(emptyLike: tensor), dx = try Image(emptyLike: tensor), dResidual = try Image(emptyLike: tensor)
    let mean = try GuardedFloats(channels), inverse = try GuardedFloats(channels)
    let nextMean = try GuardedFloats(channels), nextVariance = try GuardedFloats(channels)
    let dGamma = try GuardedFloats(channels), dBeta = try GuardedFloats(channels)
    let running = try Self.floats(channels, 1, 6)
    let added: [any PortMemory] = addsResidual ? [residual.blocked] : []
    try normalization.run(
      [x.blocked, gamma, beta, running, running] + added
        + [y.blocked, mean, inverse, nextMean, nextVariance], workers: team)
    let again = try Image(emptyLike: tensor)
    try normalizationAgain.run(
      [x.blocked, gamma, beta] + added + [mean, inverse, again.blocked],
      workers: team)
    #expect(again.values == y.values, "\(what)")
    let given: [any PortMemory] =
      source == .gradient ? [] : source == .result ? [y.blocked] : [beta]
    try gradient.run(
      [x.blocked, dy.blocked, gamma, mean, inverse] + given
        + [dx.blocked, dGamma, dBeta] + (source == .result ? [dResidual.blocked] : []),
      workers: team)
    let isIntact =
      [x.blocked, y.blocked, dx.blocked, dResidual.blocked].allSatisfy(\.isGuardIntact)
      && [mean, inverse, nextMean, nextVariance, dGamma, dBeta].allSatisfy(\.isIntact)
    #expect(isIntact, "\(what)")

    // The same by the portable kernels: normalisation, addition, function, and back.
    let rows = tensor.pixels, count = rows * channels
    let expected = try (0..<6).map { _ in try ConvolutionBuffer(count: count) }
    let (z, sum, value, dSum, dx2) = (expected[0], expected[1], expected[2], expected[3], expected[4])
    let statistics = try (0..<5).map { _ in try ConvolutionBuffer(count: channels) }
    let space = try ConvolutionBuffer(
      byteCount: BatchNormalizationKernels.workspaceByteCount(channels: channels, workers: team))
    BatchNormalizationKernels.trainingForward(
      x.rows.base, rows: rows, channels: channels, gamma: gamma.base, beta: beta.base, epsilon: 1e-3, into: z.base,
      mean: statistics[0].base, variance: statistics[1].base, inverseDeviation: statistics[2].base,
      workspace: space.base, workers: team)
    for index in 0..<count { sum.base[index] = z[index] + (addsResidual ? residual.rows[index] : 0) }
    if let activation {
      var constants = SIMD4<Float>()
      for (lane, constant) in activation.constants.enumerated() { constants[lane] = constant }
      ActivationKernels.forward(
        activation.function, constants: constants, sum.base, into: value.base, count: count, workers: team)
      ActivationKernels.backward(
        activation.function, constants: constants, sum.base, dy.rows.base, into: dSum.base, count: count, workers: team)
    } else {
      value.base.update(from: sum.base, count: count)
      dSum.base.update(from: dy.rows.base, count: count)
    }
    BatchNormalizationKernels.trainingBackward(
      x.rows.base, rows: rows, channels: channels, mean: statistics[0].base, inverseDeviation: statistics[2].base,
      gamma: gamma.base, dy: dSum.base, dx: dx2.base, dGamma: statistics[3].base, dBeta: statistics[4].base,
      workspace: space.base, workers: team)
    Self.expectClose(mean.values.map(Double.init), Self.doubles(statistics[0]), 1e-6, "mean of \(what)")
    // A quarter of the batch, and the rest of what was before.
    let next = (0..<channels).map { 0.75 * Double(running.base[$0]) + 0.25 * Double(statistics[1][$0]) }
    Self.expectClose(nextVariance.values.map(Double.init), next, 1e-4, "variance of \(what)")
    // Numbers near 300 have rounding errors of 3e-5, and where a number is at a corner the gradient may be either's.
    let corners = Set((0..<count).filter { isAtCorner(Double(sum[$0]), activation) })
    func away(_ values: [Double]) -> [Double] {
      values.enumerated().filter { !corners.contains($0.offset) }.map(\.element)
    }
    Self.expectClose(y.values, Self.doubles(value), 3e-4, "y of \(what)")
    if corners.isEmpty {
      Self.expectClose(away(dx.values), away(Self.doubles(dx2)), 1e-3, "dx of \(what)")
      Self.expectClose(dGamma.values.map(Double.init), Self.doubles(statistics[3]), 1e-3, "dGamma of \(what)")
      Self.expectClose(dBeta.values.map(Double.init), Self.doubles(statistics[4]), 1e-3, "dBeta of \(what)")
    }
    if source == .result {
      Self.expectClose(away(dResidual.values), away(Self.doubles(dSum)), 1e-6, "dResidual of \(what)")
    }
  }

  /// Whether a number is within rounding of a place where the function's derivative jumps.
  private func isAtCorner(_ x: Double, _ activation: VectorActivation?) -> Bool {
    let corners: [Double] =
      switch activation?.function {
      case .relu: [0]
      case .relu6: [0, 6]
      case .hardSigmoid, .hardSwish: [-3, 3]
      case .clip: [-0.25, 0.5]
      default: []
      }
    return corners.contains { abs(x - $0) < 1e-4 }
  }

  @Test(arguments: BlockedConvolutionTests.targets)
  func activationGradientsEqualThePortableOnes(_ target: CodeTarget) throws {
    let tensor = BlockedTensor(images: 2, height: 5, width: 7, channels: 19)
    // The corners themselves, and what is no number.
    let special: [Float] = [
      0, -0.0, 6, -3, 3, -0.25, 0.5, .nan, .infinity, -.infinity, 1e-30, -1e-30, 40, -40, 90, -90,
    ]
    for activation in Self.functions {
      let library = KernelLibrary(target)
      let gradient = StreamStepKernels(.activationGradient(activation, tensor), library: library)
      try library.finish()
      let x = try Image(tensor, seed: 2, stream: 1, factor: 8), dy = try Image(tensor, seed: 2, stream: 2)
      for (index, value) in special.enumerated() { x.rows.base[index * 17] = value }
      BlockedCopies.pack(x.rows.base, into: x.blocked.base, tensor, workers: Workers(count: 1))
      let dx = try Image(emptyLike: tensor)
      try gradient.run([x.blocked, dy.blocked, dx.blocked], workers: Workers(count: 2))
      var constants = SIMD4<Float>()
      for (lane, constant) in activation.constants.enumerated() { constants[lane] = constant }
      let expected = try ConvolutionBuffer(count: dx.rows.count)
      ActivationKernels.backward(
        activation.function, constants: constants, x.rows.base, dy.rows.base, into: expected.base,
        count: expected.count, workers: Workers(count: 1))
      for (index, (a, b)) in zip(dx.values, Self.doubles(expected)).enumerated() {
        // At an infinity the product 0 times infinity may be made of other factors.
        if !x.rows[index].isFinite && (a.isNaN || b.isNaN) { continue }
        #expect(abs(a - b) <= 2e-6, "\(activation) at \(x.rows[index]): \(a), expected \(b), \(target.instructionSet)")
      }
      #expect(dx.blocked.isGuardIntact)
    }
  }

  @Test(arguments: BlockedConvolutionTests.targets, tensors)
  func sumsEqualThoseInDoublePrecision(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    let a = try Image(tensor, seed: 3, stream: 1), b = try Image(tensor, seed: 3, stream: 2)
    let pixels = tensor.height * tensor.width, channels = tensor.channels
    for ofProducts in [false, true] {
      for workers in 1...3 {
        let library = KernelLibrary(target), team = Workers(count: workers)
        let perImage = StreamStepKernels(.sum(.images, of: tensor, ofProducts: ofProducts), library: library)
        let ofAll = StreamStepKernels(.sum(.all, of: tensor, ofProducts: ofProducts), library: library)
        try library.finish()
        let sums = try Image(emptyLike: tensor.onePixel), total = try GuardedFloats(channels)
        let given: [any PortMemory] = [a.blocked] + (ofProducts ? [b.blocked] : [])
        try perImage.run(given + [sums.blocked], workers: team)
        try ofAll.run(given + [total], workers: team)
        var expected = [Double](repeating: 0, count: tensor.images * channels)
        var expectedTotal = [Double](repeating: 0, count: channels)
        for index in 0..<a.rows.count {
          let value = Double(a.rows[index]) * (ofProducts ? Double(b.rows[index]) : 1), channel = index % channels
          expected[index / channels / pixels * channels + channel] += value
          expectedTotal[channel] += value
        }
        Self.expectClose(sums.values, expected, 1e-5, "sums of \(tensor)")
        Self.expectClose(total.values.map(Double.init), expectedTotal, 1e-5, "total of \(tensor)")
        let isIntact = sums.blocked.isGuardIntact && total.isIntact
        #expect(isIntact)
      }
    }
  }

  /// Bits do not depend on the number of threads.
  @Test(arguments: BlockedConvolutionTests.targets)
  func statisticsAreTheSameBitsForAnyNumberOfThreads(_ target: CodeTarget) throws {
    let tensor = BlockedTensor(images: 3, height: 40, width: 33, channels: 24)
    let x = try Image(tensor, seed: 4, stream: 1), library = KernelLibrary(target)
    let normalization = StreamStepKernels(
      .normalization(tensor, BlockedNormalization(epsilon: 1e-5)), library: library)
    try library.finish()
    var bits: Set<[UInt32]> = []
    for workers in 1...4 {
      let mean = try GuardedFloats(24), variance = try GuardedFloats(24), inverse = try GuardedFloats(24)
      let gamma = try Self.floats(24, 4, 2), y = try Image(emptyLike: tensor), next = try GuardedFloats(24)
      try normalization.run(
        [x.blocked, gamma, gamma, gamma, gamma]
          + [y.blocked, mean, inverse, next, variance],
        workers: Workers(count: workers))
      bits.insert(mean.bits + variance.bits)
    }
    #expect(bits.count == 1)
  }

  /// The program of a kernel keeps its constants in memory where it has more than registers.
  @Test(arguments: BlockedConvolutionTests.targets)
  func programsWithManyConstantsAreRight(_ target: CodeTarget) throws {
    let tensor = BlockedTensor(images: 1, height: 3, width: 5, channels: 20), library = KernelLibrary(target)
    var program = StreamProgram("many")
    let x = program.load(0)
    var sum = program.multiply(x, program.constant(0))
    for index in 1..<8 { sum = program.add(sum, program.multiplyAdd(x, program.constant(index), sum)) }
    program.sum(sum, into: 0)
    program.sumProduct(sum, x, into: 3)
    program.store(sum, 1)
    let pass = StreamPass(program, tensor, library: library)
    try library.finish()
    let image = try Image(tensor, seed: 5, stream: 1), y = try Image(emptyLike: tensor)
    let constants = try Self.floats(8 * 32, 5, 2), sums = try ConvolutionBuffer(byteCount: pass.sumByteCount)
    pass.run(
      StreamPass.Operands(image.blocked.base).stream(1, y.blocked.base)
        .constants(from: 0, count: 8, constants.base, tensor).sums(sums.base), workers: Workers(count: 2))
    let expected = (0..<image.rows.count).map { index -> Double in
      let x = Double(image.rows[index]), channel = index % 20
      func constant(_ number: Int) -> Double { Double(constants[number * 32 + channel]) }
      return (1..<8).reduce(x * constant(0)) { $0 + (x * constant($1) + $0) }
    }
    Self.expectClose(y.values, expected, 1e-5, "\(target.instructionSet)")
    for channel in 0..<20 {
      let total = pass.total(0, block: channel / 16, sums.base)[channel % 16]
      let products = pass.total(3, block: channel / 16, sums.base)[channel % 16]
      let indices = stride(from: channel, to: expected.count, by: 20)
      #expect(abs(total - indices.reduce(0) { $0 + expected[$1] }) < 1e-3)
      #expect(abs(products - indices.reduce(0) { $0 + expected[$1] * Double(image.rows[$1]) }) < 1e-3)
    }
  }

  /// Constants in memory are what those in registers are, in every place of an instruction, and products with them are
  /// rounded with the sum.
  @Test(arguments: BlockedConvolutionTests.targets)
  func constantsMayStandAnywhere(_ target: CodeTarget) throws {
    let tensor = BlockedTensor(images: 1, height: 3, width: 7, channels: 21), library = KernelLibrary(target)
    var program = StreamProgram("constants")
    let x = program.load(0), c = (0..<8).map { program.constant($0) }
    var v = program.multiplyAdd(x, c[0], c[1])
    v = program.multiplyAdd(c[2], v, c[3])
    v = program.multiplyAdd(c[4], c[5], v)
    v = program.multiplyAdd(v, c[6], x)
    v = program.subtract(program.multiplyAdd(c[7], c[0], c[1]), program.multiply(c[2], v))
    v = program.add(v, program.subtract(c[3], c[4]))
    v = program.add(v, program.keep(c[5], wherePositive: c[6]))
    v = program.add(v, program.keep(c[7], whereEqual: c[0], c[0]))
    v = program.add(v, program.activationGradient(VectorActivation(.relu, constants: []), x: c[1], dy: c[2]))
    program.store(c[3], 1)
    program.sumProduct(c[4], c[5], into: 0)
    program.maximum(c[6], into: 1)
    program.store(v, 2)
    let pass = StreamPass(program, tensor, library: library)
    try library.finish()
    let image = try Image(tensor, seed: 6, stream: 1), y = try Image(emptyLike: tensor)
    let third = try Image(emptyLike: tensor)
    let constants = try Self.floats(8 * 32, 6, 2), sums = try ConvolutionBuffer(byteCount: pass.sumByteCount)
    pass.run(
      StreamPass.Operands(image.blocked.base).stream(1, third.blocked.base).stream(2, y.blocked.base)
        .constants(from: 0, count: 8, constants.base, tensor).sums(sums.base), workers: Workers(count: 2))
    func constant(_ number: Int, _ channel: Int) -> Float { constants[number * 32 + channel] }
    let count = image.rows.count
    let expected = (0..<count).map { index -> Double in
      let x = image.rows[index], c = (0..<8).map { constant($0, index % 21) }
      var v = c[1].addingProduct(x, c[0])
      v = c[3].addingProduct(c[2], v)
      v = v.addingProduct(c[4], c[5])
      v = x.addingProduct(v, c[6])
      v = c[1].addingProduct(c[7], c[0]) - c[2] * v
      v += c[3] - c[4]
      v += c[6] > 0 ? c[5] : 0
      v += c[7]
      v += c[1] > 0 ? c[2] : 0
      return Double(v)
    }
    #expect(y.values == expected, "\(target.instructionSet)")
    #expect(third.values == (0..<count).map { Double(constant(3, $0 % 21)) })
    for channel in 0..<21 {
      let product = Double(constant(4, channel) * constant(5, channel)) * 21
      #expect((pass.total(0, block: channel / 16, sums.base)[channel % 16] - product).magnitude < 1e-4)
    }
  }
}
