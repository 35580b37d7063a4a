import CNNCore
import CNNRuntime
import Glibc
import Testing
import X86Assembler

@testable import CNNKernels

private func reference(_ function: ActivationFunction, _ x: Double) -> Double {
  switch function {
  case .relu: x < 0 ? 0 : x
  case .relu6: x < 0 ? 0 : x > 6 ? 6 : x
  case .silu: x / (1 + exp(-x))
  case .sigmoid: 1 / (1 + exp(-x))
  case .hardSwish: x * min(max(x + 3, 0), 6) / 6
  case .hardSigmoid: min(max(x + 3, 0), 6) / 6
  case .gelu: x * 0.5 * erfc(-x / 2.0.squareRoot())
  case .tanh: Glibc.tanh(x)
  case .geluTanh: x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  case .leakyRelu: x > 1 ? min(x, 5) : 0.25 * (x - 1)
  case .elu: x > 0 ? x : 0.5 * expm1(x)
  case .selu: 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x))
  case .softplus: max(x, 0) + log1p(exp(-abs(x)))
  case .softsign: x.isInfinite ? (x > 0 ? 1 : -1) : x / (1 + abs(x))
  case .exponential: exp(x)
  case .mish: x * Glibc.tanh(max(x, 0) + log1p(exp(-abs(x))))
  case .clip: min(max(x, -2), 5)
  case .erf: Glibc.erf(x)
  case .logarithm: Glibc.log(x)
  case .power: pow(x, 3)
  }
}

/// The derivative in closed form; at a corner the side that the kernels take.
private func slope(_ function: ActivationFunction, _ x: Double) -> Double {
  let s = 1 / (1 + exp(-x)), rest = 1 / (1 + exp(x))
  switch function {
  case .relu: return x > 0 ? 1 : 0
  case .relu6: return x > 0 && x < 6 ? 1 : 0
  case .silu: return s + x * s * rest
  case .sigmoid: return s * rest
  case .hardSwish: return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5
  case .hardSigmoid: return abs(x) < 3 ? 1.0 / 6 : 0
  case .gelu: return 0.5 * erfc(-x / 2.0.squareRoot()) + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot()
  case .tanh: return 1 / (cosh(x) * cosh(x))
  case .geluTanh:
    let factor = 2 * (2 / Double.pi).squareRoot(), u = factor * (x + 0.044715 * x * x * x)
    return 1 / (1 + exp(-u)) + x * factor * (1 + 3 * 0.044715 * x * x) / ((1 + exp(-u)) * (1 + exp(u)))
  case .leakyRelu: return x <= 1 ? 0.25 : x > 5 ? 0 : 1
  case .elu: return x > 0 ? 1 : 0.5 * exp(x)
  case .selu: return 1.0507009873554805 * (x > 0 ? 1 : 1.6732632423543772 * exp(x))
  case .softplus: return s
  case .softsign: return 1 / ((1 + abs(x)) * (1 + abs(x)))
  case .exponential: return exp(x)
  case .mish:
    let t = Glibc.tanh(max(x, 0) + log1p(exp(-abs(x)))), c = cosh(max(x, 0) + log1p(exp(-abs(x))))
    return t + x * s / (c * c)
  case .clip: return x < -2 || x > 5 ? 0 : 1
  case .erf: return 2 / Double.pi.squareRoot() * exp(-x * x)
  case .logarithm: return 1 / x
  case .power: return 3 * x * x
  }
}

/// The numbers for which the function is one: of those below 0 there is no logarithm.
private func domain(_ function: ActivationFunction, _ x: [Float]) -> [Float] {
  function == .logarithm ? x.map { $0.magnitude + 0.01 } : x
}

/// The constants that `reference` has.
private func constants(_ function: ActivationFunction) -> SIMD4<Float> {
  switch function {
  case .leakyRelu: [0.25, 1, 5, 0]
  case .elu: [0.5, 0, 0, 0]
  case .clip: [-2, 5, 0, 0]
  case .power: [3, 0, 0, 0]
  default: SIMD4()
  }
}

private func forward(_ function: ActivationFunction, _ x: [Float], workers: Int = 1) throws -> GuardedFloats {
  let y = try GuardedFloats(x.count)
  ActivationKernels.forward(
    function, constants: constants(function), x, into: y.pointer, count: x.count, workers: Workers(count: workers))
  return y
}

private func backward(_ function: ActivationFunction, _ x: [Float], _ dy: [Float], workers: Int = 1) throws
  -> GuardedFloats
{
  let dx = try GuardedFloats(x.count)
  ActivationKernels.backward(
    function, constants: constants(function), x, dy, into: dx.pointer, count: x.count, workers: Workers(count: workers))
  return dx
}

private let grid = (0..<4003).map { Float($0) / 200 - 10 } + [-88, -30, 30, 88, 1e-20, -1e-20, 0]

/// Floats of both signs and of every size, subnormal ones too, 12 of each power of two; and what is no number.
private let everySize: [Float] =
  (0..<255 * 12).flatMap { index -> [Float] in
    let float = Float(bitPattern: UInt32(index / 12) << 23 | UInt32(index % 12) * 0xA_AAAB)
    return [float, -float]
  } + [.infinity, -.infinity, .nan]

/// The values and the derivatives of an activation at some places, by each of its kernels: the portable ones, and the
/// generated code for every target that this machine has.
private func results(
  _ function: ActivationFunction, at x: [Float]
) throws -> [(name: String, values: [Float], slopes: [Float])] {
  let ones = [Float](repeating: 1, count: x.count)
  var found = [("portable", try forward(function, x).values, try backward(function, x, ones).values)]
  let lanes = constants(function)
  let numbers = function.constants.indices.map { Double(lanes[$0]) }
  for target in BlockedConvolutionTests.targets {
    guard let activation = VectorActivation(function, constants: numbers) else { continue }
    let library = KernelLibrary(target)
    let tensor = BlockedTensor(images: 1, height: 1, width: (x.count + 15) / 16, channels: 16)
    let value = StreamStepKernels(.activation(activation, tensor), library: library)
    let gradient = StreamStepKernels(.activationGradient(activation, tensor), library: library)
    try library.finish()
    let buffers = try (0..<4).map { _ in try ConvolutionBuffer(count: (x.count + 15) / 16 * 16) }
    for index in 0..<buffers[0].count {
      (buffers[0].base[index], buffers[1].base[index]) = (index < x.count ? x[index] : 0, 1)
    }
    try value.run([buffers[0], buffers[2]], workers: Workers(count: 2))
    try gradient.run([buffers[0], buffers[1], buffers[3]], workers: Workers(count: 2))
    found.append(
      ("\(target.instructionSet)", x.indices.map { buffers[2][$0] }, x.indices.map { buffers[3][$0] }))
  }
  return found
}

/// The formula in double precision, or at an infinity where it has no value, since that times zero is none, its limit.
private func limit(_ function: ActivationFunction, _ x: Float) -> Double {
  let value = reference(function, Double(x))
  guard value.isNaN, x.isInfinite else { return value }
  return reference(function, Double(x < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude))
}

/// Whether a result is within its bound. Where the formula has no value, as the root of a negative number, there is nothing
/// to hold it to.
private func isWithin(_ bound: ActivationBound, _ actual: Float, _ expected: Double, at x: Float) -> Bool {
  if expected.isNaN { return !x.isNaN || actual.isNaN }
  if Float(expected).isInfinite || actual.isInfinite { return actual == Float(expected) }
  // Subnormal results are rounded to few floats, in a few steps.
  let rounding = 4 * Double(Float.leastNonzeroMagnitude)
  return abs(Double(actual) - expected) <= bound.relative * abs(expected) + bound.absolute + rounding
}

@Test(arguments: ActivationFunction.allCases)
func everyActivationIsWithinItsBoundEverywhere(_ function: ActivationFunction) throws {
  let x = everySize + grid, bound = ActivationTable[function].bound
  for (name, values, _) in try results(function, at: x) {
    let wrong = x.indices.first { !isWithin(bound, values[$0], limit(function, x[$0]), at: x[$0]) }
    #expect(wrong == nil, "\(name) \(function)(\(x[wrong ?? 0])) is \(values[wrong ?? 0])")
  }
}

/// The code where the value is rounded to bfloat16 next, before that rounding and after it.
@Test(
  .enabled(if: Processor.host.instructionSet.contains(.avx512BF16)),
  arguments: ActivationFunction.allCases.filter { ActivationTable[$0].code != nil })
func everyActivationThatIsRoundedIsWithinItsBoundEverywhere(_ function: ActivationFunction) throws {
  let allBFloat16 = (0...UInt16.max).map { Float(BFloat16(bitPattern: $0)) }
  let x = everySize + grid + allBFloat16, bound = ActivationTable[function].roundedBound
  #expect(bound.relative < 0x1p-11)
  let lanes = constants(function)
  let activation = try #require(
    VectorActivation(function, constants: function.constants.indices.map { Double(lanes[$0]) }))
  let library = KernelLibrary(CodeTarget(.avx512BF16))
  let kernel = library.kernel(0, name: "rounded") { roundedKernel(activation) }
  try library.finish()
  let buffers = try (0..<3).map { _ in try ConvolutionBuffer(count: (x.count + 15) / 16 * 16) }
  for index in 0..<buffers[0].count { buffers[0].base[index] = index < x.count ? x[index] : 0 }
  var arguments = RoundedArguments(
    x: buffers[0].base, y: buffers[1].base, rounded: buffers[2].base, count: buffers[0].count / 16)
  kernel(&arguments)
  let isIntact = buffers.allSatisfy(\.isGuardIntact)
  #expect(isIntact)
  let rounded = UnsafeRawPointer(buffers[2].base).assumingMemoryBound(to: BFloat16.self)
  for (index, x) in x.enumerated() {
    let expected = limit(function, x), value = buffers[1][index]
    guard isWithin(bound, value, expected, at: x) else {
      Issue.record("\(function)(\(x)) is \(value), expected \(expected)")
      return
    }
    // One unit in the last place, where that is one: subnormal numbers of bfloat16 are given as zero.
    let nearest = BFloat16(Float(expected))
    guard !expected.isNaN, Float(expected).magnitude >= Float.leastNormalMagnitude * 2 else { continue }
    let distance = abs(Int(rounded[index].bitPattern) - Int(nearest.bitPattern))
    guard bound.absolute > abs(expected) * 0x1p-11 || distance <= 1 else {
      Issue.record("\(function)(\(x)) is rounded to \(rounded[index]), not to \(nearest)")
      return
    }
  }
}

private struct RoundedArguments {
  var x, y, rounded: UnsafeMutablePointer<Float>
  /// How many times 16.
  var count: Int
}

/// Writes the value that is rounded next, and what it is rounded to.
private func roundedKernel(_ activation: VectorActivation) -> VectorCode {
  let code = VectorCode(CodeTarget(.avx512BF16)), k = code.assembler, next = k.newLabel()
  let v = (0...activation.temporaryCount).map { WideRegister(number: $0, lanes: 16) }
  for (index, register) in [GeneralRegister.rax, .rdx, .rcx, .rsi].enumerated() {
    k.mov(register, GeneralRegister.rdi[8 * index])
  }
  k.bind(next)
  code.load(v[0], GeneralRegister.rax[])
  code.apply(activation, to: v[0], temporaries: Array(v[1...]), isRounded: true)
  code.store(GeneralRegister.rdx[], v[0])
  code.roundToBFloat16(v[0], v[0])
  code.store(GeneralRegister.rcx[], WideRegister(number: 0, lanes: 8))
  k.add(.rax, 64)
  k.add(.rdx, 64)
  k.add(.rcx, 32)
  k.dec(.rsi)
  k.jump(.ne, next)
  k.vzeroupper()
  k.ret()
  return code
}

@Test(arguments: ActivationFunction.allCases)
func everyActivationsDerivativeIsWithinItsBoundEverywhere(_ function: ActivationFunction) throws {
  let x = domain(function, everySize + grid).filter(\.isFinite), bound = ActivationTable[function].gradientBound
  for (name, _, slopes) in try results(function, at: x) {
    let wrong = x.indices.first { !isWithin(bound, slopes[$0], slope(function, Double(x[$0])), at: x[$0]) }
    #expect(wrong == nil, "\(name) \(function)'(\(x[wrong ?? 0])) is \(slopes[wrong ?? 0])")
  }
}

@Test(arguments: ActivationFunction.allCases)
func activationGradientIsTheSlope(_ function: ActivationFunction) throws {
  let corners: [Float] = [-3, -2, 0, 1, 3, 5, 6]
  let x = domain(function, grid).filter { value in corners.allSatisfy { abs(value - $0) > 1e-4 } }
  let dy = randomFloats(x.count, seed: 4)
  let dx = try backward(function, x, dy)
  #expect(dx.isIntact)
  let wrong = x.indices.first { i in
    let slope = KernelChecks.gradient(of: { reference(function, $0[0]) }, at: [Double(x[i])])[0]
    return !(abs(Double(dx.pointer[i]) - Double(dy[i]) * slope) <= 1e-6 * max(1, abs(slope)))
  }
  #expect(wrong == nil, "\(function)'(\(x[wrong ?? 0]))")
}

@Test func activationGradientsAtCornersArePyTorchs() throws {
  let x: [Float] = [-3, 0, 3, 6]
  let ones = [Float](repeating: 1, count: 4)
  #expect(try backward(.relu, x, ones).values == [0, 0, 1, 1])
  #expect(try backward(.relu6, x, ones).values == [0, 0, 1, 0])
  #expect(try backward(.hardSigmoid, x, ones).values == [0, 1 / 6, 0, 0])
  #expect(try backward(.hardSwish, x, ones).values == [0, 0.5, 1, 1])
  #expect(try backward(.leakyRelu, [0, 1, 2, 5, 6], [1, 1, 1, 1, 1]).values == [0.25, 0.25, 1, 1, 0])
  #expect(try backward(.elu, [0, 1], [1, 1]).values == [0.5, 1])
  #expect(try backward(.clip, [-3, -2, 0, 5, 6], [1, 1, 1, 1, 1]).values == [0, 1, 1, 1, 0])
}

@Test(arguments: ActivationFunction.allCases)
func activationPassesNaNOnAndTakesInfinity(_ function: ActivationFunction) throws {
  let y = try forward(function, [.nan, .infinity, 1]).values
  #expect(y[0].isNaN)
  #expect(y[1] == Float(reference(function, .infinity)))
  #expect(!y[2].isNaN)
}

@Test func flatActivationsHideInfiniteGradients() throws {
  #expect(try backward(.relu, [-1, 1], [.infinity, 2]).values == [0, 2])
  #expect(try backward(.relu6, [7, 1], [.infinity, 2]).values == [0, 2])
}

@Test(arguments: ActivationFunction.allCases)
func activationIsTheSameForAnyDivisionAndInPlace(_ function: ActivationFunction) throws {
  for count in [0, 1, 7, 8, 9, 100_003] {
    let x = domain(function, randomFloats(count, seed: 1).map { $0 * 8 })
    let dy = randomFloats(count, seed: 2)
    let y = try forward(function, x), dx = try backward(function, x, dy)
    #expect(!y.values.contains { $0.isNaN } && !dx.values.contains { $0.isNaN })
    for workers in teamSizes {
      #expect(try forward(function, x, workers: workers).bits == y.bits)
      #expect(try backward(function, x, dy, workers: workers).bits == dx.bits)
    }
    let inPlace = try GuardedFloats(x)
    ActivationKernels.forward(
      function, constants: constants(function), inPlace.pointer, into: inPlace.pointer, count: count,
      workers: Workers(count: 2))
    #expect(inPlace.bits == y.bits && inPlace.isIntact)
    let gradient = try GuardedFloats(dy)
    ActivationKernels.backward(
      function, constants: constants(function), x, gradient.pointer, into: gradient.pointer, count: count,
      workers: Workers(count: 2))
    #expect(gradient.bits == dx.bits && gradient.isIntact)
  }
}

@Test func exponentialIsWithinTwoUnitsInTheLastPlace() {
  var worst = 0.0
  var x: Float = -104
  while x < 88.8 {
    let lanes = SIMD8<Float>((0..<8).map { x + Float($0) * 0.00007 })
    let values = ActivationMath.exponential(lanes)
    for lane in 0..<8 {
      let expected = exp(Double(lanes[lane]))
      guard expected <= Double(Float.greatestFiniteMagnitude) else { continue }
      worst = max(worst, abs(Double(values[lane]) - expected) / Double(Float(expected).ulp))
    }
    x += 0.00057
  }
  #expect(worst <= 2)
  let special = ActivationMath.exponential([-.infinity, .infinity, .nan, 0, -0.0, 200, -200, 1e-30])
  #expect(special[0] == 0 && special[1] == .infinity && special[2].isNaN && special[3] == 1 && special[4] == 1)
  #expect(special[5] == .infinity && special[6] == 0 && special[7] == 1)
}

@Test func normalDistributionKeepsTheRelativeAccuracyOfItsLowerTail() {
  let wrong = stride(from: Float(-12), to: 6, by: 0.001).first { x in
    let value = Double(ActivationMath.normalDistribution(SIMD8(repeating: x)).cumulative[0])
    let expected = 0.5 * erfc(-Double(x) / 2.0.squareRoot())
    return !(abs(value - expected) <= 5e-7 * expected * max(1, Double(x * x) / 4))
  }
  #expect(wrong == nil)
}
