import CNNCore
import CNNRuntime
import Glibc
import Testing
import X86Assembler

@testable import CNNKernels

/// Generated poolings and functions against the portable ones.
struct BlockedPoolingTests {
  @Test(arguments: BlockedConvolutionTests.targets)
  func poolingsEqualThePortableOnes(_ target: CodeTarget) throws {
    var generator = PhiloxGenerator(seed: 5, stream: 2)
    func pick(_ values: [Int]) -> Int { values[Int(generator.unit() * Float(values.count)) % values.count] }
    let workers = Workers(count: 2)
    for index in 0..<120 {
      let kernel = pick([1, 2, 3, 5]), stride = pick([1, 2, 3]), isMaximum = index % 2 == 0
      let height = pick([5, 7, 14, 31]), width = pick([5, 8, 17, 30]), padding = pick(Array(0...kernel / 2))
      let geometry = Pooling.Geometry(
        images: pick([1, 2]), channels: pick([1, 3, 16, 24, 40]), input: .init(height, width),
        output: .init((height + 2 * padding - kernel) / stride + 1, (width + 2 * padding - kernel) / stride + 1),
        window: .init(kernel, kernel), stride: .init(stride, stride), paddingBefore: .init(padding, padding),
        paddingAfter: .init(padding, padding))
      let countsPadding = index % 4 == 1
      let library = KernelLibrary(target)
      let pooling = try BlockedPooling(
        geometry, isMaximum: isMaximum, countsPadding: countsPadding, library: library)
      try library.finish()
      let count = geometry.images * height * width * geometry.channels
      let results = geometry.images * geometry.output.height * geometry.output.width * geometry.channels
      let x = try ConvolutionBuffer(randomCount: count, seed: UInt64(index), stream: 1)
      if index % 6 == 0 { x.base[count / 2] = .nan }
      let expected = try ConvolutionBuffer(count: results), y = try ConvolutionBuffer(count: results)
      if isMaximum {
        Pooling.maximum(x.base, into: expected.base, geometry, workers: workers)
      } else {
        Pooling.average(x.base, into: expected.base, countsPadding: countsPadding, geometry, workers: workers)
      }
      let xBlocked = try ConvolutionBuffer(byteCount: pooling.input.byteCount)
      let yBlocked = try ConvolutionBuffer(byteCount: pooling.output.byteCount)
      BlockedCopies.pack(x.base, into: xBlocked.base, pooling.input, workers: workers)
      pooling.run(xBlocked.base, into: yBlocked.base, workers: workers)
      BlockedCopies.unpack(yBlocked.base, pooling.output, into: y.base, workers: workers)
      for position in 0..<results {
        let (a, b) = (y[position], expected[position])
        let agrees = isMaximum ? a == b || (a.isNaN && b.isNaN) : a.isNaN == b.isNaN && (a.isNaN || abs(a - b) < 1e-6)
        #expect(agrees, "\(geometry) \(isMaximum) \(countsPadding): \(a) at \(position), expected \(b)")
        if !agrees { return }
      }
      let isIntact = [xBlocked, yBlocked, y].allSatisfy(\.isGuardIntact)
      #expect(isIntact)
    }
  }

  /// Every 997th float between the limits.
  @Test(arguments: BlockedConvolutionTests.targets)
  func theExponentialIsWithinTwoUnitsInTheLastPlace(_ target: CodeTarget) throws {
    let library = KernelLibrary(target), lanes = target.lanes
    let kernel = library.kernel(0, name: "exponential") {
      let code = VectorCode(target), k = code.assembler
      let v = (0..<4).map { WideRegister(number: $0, lanes: lanes) }
      k.mov(.rax, GeneralRegister.rdi[0])
      code.load(v[0], GeneralRegister.rax[0])
      code.exponential(v[1], ofNegated: v[0], v[2], v[3])
      code.store(GeneralRegister.rax[0], v[1])
      k.vzeroupper()
      k.ret()
      return code
    }
    try library.finish()
    let buffer = try ConvolutionBuffer(count: lanes)
    var worst = 0.0
    var x: Float = -87
    while x < 87 {
      for lane in 0..<lanes { buffer.base[lane] = x + Float(lane) * 0.000_37 }
      let given = (0..<lanes).map { buffer[$0] }
      var address = UnsafeRawPointer(buffer.base)
      kernel(&address)
      for lane in 0..<lanes {
        let expected = exp(-Double(given[lane]))
        worst = max(worst, abs(Double(buffer[lane]) - expected) / Double(Float(expected).ulp))
      }
      x += 0.003_1
    }
    #expect(worst <= 2, "\(worst) ulp")
  }

  @Test(arguments: BlockedConvolutionTests.targets)
  func activationsOfExtremesAreThoseOfTheirLimits(_ target: CodeTarget) throws {
    let extremes: [Float] = [.infinity, 200, -200, .nan, 0, -0.0, 0x1p-133, 3e38]
    let cases: [(ActivationFunction, [Float])] = [
      (.relu, [.infinity, 200, 0, .nan, 0, 0, 0x1p-133, 3e38]), (.relu6, [6, 6, 0, .nan, 0, 0, 0x1p-133, 6]),
      (.sigmoid, [1, 1, 0, .nan, 0.5, 0.5, 0.5, 1]), (.silu, [.infinity, 200, 0, .nan, 0, 0, 0, 3e38]),
      (.hardSwish, [.infinity, 200, 0, .nan, 0, 0, 0, 3e38]), (.gelu, [.infinity, 200, 0, .nan, 0, 0, 0, 3e38]),
    ]
    for (function, expected) in cases {
      let library = KernelLibrary(target)
      let activation = try #require(VectorActivation(function, constants: []))
      let kernel = library.kernel(0, name: function.rawValue) {
        let code = VectorCode(target), k = code.assembler
        let v = (0...activation.temporaryCount).map { WideRegister(number: $0, lanes: 8) }
        k.mov(.rax, GeneralRegister.rdi[0])
        code.load(v[0], GeneralRegister.rax[0])
        code.apply(activation, to: v[0], temporaries: Array(v[1...]))
        code.store(GeneralRegister.rax[0], v[0])
        k.vzeroupper()
        k.ret()
        return code
      }
      try library.finish()
      let buffer = try ConvolutionBuffer(count: 8)
      for lane in 0..<8 { buffer.base[lane] = extremes[lane] }
      var address = UnsafeRawPointer(buffer.base)
      kernel(&address)
      for lane in 0..<8 {
        let (a, b) = (buffer[lane], expected[lane])
        #expect(
          a.isNaN ? b.isNaN : a == b || abs(a - b) <= 1e-6 * max(1, abs(b)), "\(function) of \(extremes[lane]): \(a)")
      }
    }
  }
}
