import CNNCore
import CNNRuntime
import Glibc
import Testing

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
  case .softsign: x.isInfinite ? 1 : x / (1 + abs(x))
  case .exponential: exp(x)
  case .mish: x * Glibc.tanh(max(x, 0) + log1p(exp(-abs(x))))
  case .clip: min(max(x, -2), 5)
  case .erf: Glibc.erf(x)
  case .logarithm: Glibc.log(x)
  case .power: pow(x, 3)
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
  Activation.forward(
    function, constants: constants(function), x, into: y.pointer, count: x.count, workers: Workers(count: workers))
  return y
}

private func backward(_ function: ActivationFunction, _ x: [Float], _ dy: [Float], workers: Int = 1) throws
  -> GuardedFloats
{
  let dx = try GuardedFloats(x.count)
  Activation.backward(
    function, constants: constants(function), x, dy, into: dx.pointer, count: x.count, workers: Workers(count: workers))
  return dx
}

private let grid = (0..<20011).map { Float($0) / 1000 - 10 } + [-88, -30, 30, 88, 1e-20, -1e-20, 0]

@Test(arguments: ActivationFunction.allCases)
func activationIsTheFunction(_ function: ActivationFunction) throws {
  let grid = domain(function, grid), y = try forward(function, grid)
  #expect(y.isIntact)
  let wrong = grid.indices.first { i in
    let expected = reference(function, Double(grid[i]))
    return !(abs(Double(y.pointer[i]) - expected) <= 3e-7 * max(abs(expected), 0.3))
  }
  #expect(wrong == nil, "\(function)(\(grid[wrong ?? 0]))")
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
    Activation.forward(
      function, constants: constants(function), inPlace.pointer, into: inPlace.pointer, count: count,
      workers: Workers(count: 2))
    #expect(inPlace.bits == y.bits && inPlace.isIntact)
    let gradient = try GuardedFloats(dy)
    Activation.backward(
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

@Test func smallResultsKeepTheirRelativeAccuracy() throws {
  // Near 0, and in the tails that vanish: what a formula with a difference in it loses.
  let near = (1...60).map { -Float($0) * Float($0) * 1e-4 }
  let far = (0..<600).map { -8 - Float($0) / 10 }
  for (function, x) in [
    (ActivationFunction.elu, near), (.selu, near), (.softplus, far), (.mish, far), (.exponential, far),
    (.geluTanh, near), (.softsign, near),
  ] {
    let y = try forward(function, x)
    let wrong = x.indices.first { i in
      let expected = reference(function, Double(x[i]))
      return !(abs(Double(y.pointer[i]) - expected) <= 1e-6 * abs(expected))
    }
    #expect(wrong == nil, "\(function)(\(x[wrong ?? 0]))")
  }
}

@Test func normalDistributionKeepsTheRelativeAccuracyOfItsLowerTail() {
  let wrong = stride(from: Float(-12), to: 6, by: 0.001).first { x in
    let value = Double(ActivationMath.normalDistribution(SIMD8(repeating: x)).cumulative[0])
    let expected = 0.5 * erfc(-Double(x) / 2.0.squareRoot())
    return !(abs(value - expected) <= 5e-7 * expected * max(1, Double(x * x) / 4))
  }
  #expect(wrong == nil)
}
