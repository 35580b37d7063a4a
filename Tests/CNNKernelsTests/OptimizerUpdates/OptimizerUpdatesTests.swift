import CNNRuntime
import Glibc
import Testing

@testable import CNNKernels

// The loops of torch/optim/sgd.py, adam.py, adamw.py and rmsprop.py for one number, in double precision.

private struct Numbers {
  var p: Double
  var first = 0.0
  var second = 0.0
  var third = 0.0
}

private let counts = [1, 3, 17, 1003, 20_011]
private let decays: [OptimizerUpdates.WeightDecay] = [.none, .l2(strength: 0.05), .decoupled(strength: 0.05)]

extension OptimizerUpdates.Target {
  /// A parameter with these slots.
  init(
    _ p: UnsafeMutablePointer<Float>, _ g: UnsafePointer<Float>, _ count: Int, scale: Float = 1,
    decay: OptimizerUpdates.WeightDecay = .none, velocity: UnsafeMutablePointer<Float>? = nil,
    mean: UnsafeMutablePointer<Float>? = nil, meanSquare: UnsafeMutablePointer<Float>? = nil
  ) {
    self.init(p, count: count, gradient: g, gradientScale: scale, weightDecay: decay)
    (self.velocity, self.mean, self.meanSquare) = (velocity, mean, meanSquare)
  }
}

extension OptimizerUpdates.WeightDecay {
  fileprivate func applied(_ p: inout Double, _ g: Double, _ rate: Double) -> Double {
    switch self {
    case .none: return g
    case .l2(let strength): return g + strength * p
    case .decoupled(let strength):
      p *= 1 - rate * strength
      return g
    }
  }
}

/// Three steps of `kernel` on arrays (parameter, three slots) against three of `formula` on every element.
private func check(
  _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
  kernel: (
    _ p: UnsafeMutablePointer<Float>, _ g: UnsafePointer<Float>, _ slots: [UnsafeMutablePointer<Float>], _ count: Int,
    _ step: Int,
    _ workers: Workers
  ) -> Void, formula: (_ numbers: inout Numbers, _ g: Double, _ step: Int) -> Void
) {
  var data = RandomData(seed: 60)
  for count in counts {
    let start = data.floats(count)
    let gradients = (0..<3).map { _ in data.floats(count) }
    let result = KernelChecks.floats(4 * count, sourceLocation: sourceLocation) { all, workers in
      all.update(from: start, count: count)
      (all + count).update(repeating: 0, count: 3 * count)
      let slots = (1...3).map { all + $0 * count }
      for (step, g) in gradients.enumerated() {
        g.withUnsafeBufferPointer { if let g = $0.baseAddress { kernel(all, g, slots, count, step + 1, workers) } }
      }
    }
    var numbers = start.map { Numbers(p: Double($0)) }
    for (step, g) in gradients.enumerated() {
      for i in 0..<count { formula(&numbers[i], Double(g[i]) * 0.5, step + 1) }
    }
    let expected = numbers.map(\.p) + numbers.map(\.first) + numbers.map(\.second) + numbers.map(\.third)
    KernelChecks.expectClose(result, expected, tolerance: 2e-6, what, sourceLocation: sourceLocation)
  }
}

@Test(arguments: [(0.0, false), (0.9, false), (0.9, true)], decays)
func stochasticGradientDescentIsPyTorchs(momentum: (Double, Bool), decay: OptimizerUpdates.WeightDecay) {
  let (momentum, nesterov) = momentum
  // The rate changes, so that PyTorch's formula is told apart from Keras's.
  func rate(_ step: Int) -> Double { step < 3 ? 0.1 : 0.01 }
  check("momentum \(momentum), nesterov \(nesterov), \(decay)") { p, g, slots, count, step, workers in
    OptimizerUpdates.stochasticGradientDescent(
      [.init(p, g, count, scale: 0.5, decay: decay, velocity: momentum == 0 ? nil : slots[0])],
      settings: .init(learningRate: rate(step), momentum: momentum, nesterov: nesterov), workers: workers)
  } formula: { n, g, step in
    let g = decay.applied(&n.p, g, rate(step))
    if momentum == 0 {
      n.p -= rate(step) * g
    } else {
      n.first = momentum * n.first + g
      n.p -= rate(step) * (nesterov ? g + momentum * n.first : n.first)
    }
  }
}

// keras/src/optimizers/sgd.py: m = momentum * m - rate * g; p += m, or with Nesterov's momentum p += momentum * m - rate * g.
@Test(arguments: [(0.0, false), (0.9, false), (0.9, true), (1.0, true)], decays)
func stochasticGradientDescentWithTheRateInTheVelocityIsKerass(
  momentum: (Double, Bool), decay: OptimizerUpdates.WeightDecay
) {
  let (momentum, nesterov) = momentum
  func rate(_ step: Int) -> Double { [0.1, 0.01, 0.3][step - 1] }
  check("momentum \(momentum), nesterov \(nesterov), \(decay)") { p, g, slots, count, step, workers in
    OptimizerUpdates.stochasticGradientDescent(
      [.init(p, g, count, scale: 0.5, decay: decay, velocity: momentum == 0 ? nil : slots[0])],
      settings: .init(learningRate: rate(step), momentum: momentum, nesterov: nesterov, rateInVelocity: true),
      workers: workers)
  } formula: { n, g, step in
    let g = decay.applied(&n.p, g, rate(step))
    // The velocity is kept with the other sign.
    n.first = momentum * n.first + rate(step) * g
    n.p -= nesterov ? momentum * n.first + rate(step) * g : n.first
    if momentum == 0 { n.first = 0 }
  }
}

@Test func atAConstantRateBothVelocitiesGiveTheSameSteps() {
  var data = RandomData(seed: 62)
  let start = data.floats(1003), gradients = (0..<5).map { _ in data.floats(1003) }
  for nesterov in [false, true] {
    let runs = [false, true].map { rateInVelocity in
      KernelChecks.floats(2 * start.count) { all, workers in
        all.update(from: start, count: start.count)
        (all + start.count).update(repeating: 0, count: start.count)
        for g in gradients {
          g.withUnsafeBufferPointer { g in
            guard let g = g.baseAddress else { return }
            OptimizerUpdates.stochasticGradientDescent(
              [.init(all, g, start.count, velocity: all + start.count)],
              settings: .init(
                learningRate: 0.25, momentum: 0.5, nesterov: nesterov, rateInVelocity: rateInVelocity),
              workers: workers)
          }
        }
      }
    }
    // Powers of two: not even the rounding differs.
    #expect(runs[0].prefix(start.count) == runs[1].prefix(start.count))
    #expect(runs[0].suffix(start.count).map { $0 / 4 } == Array(runs[1].suffix(start.count)))
  }
}

@Test(arguments: decays)
func adamIsPyTorchs(decay: OptimizerUpdates.WeightDecay) {
  // A large epsilon, so that its place matters.
  let settings = OptimizerUpdates.Adam(learningRate: 0.01, beta1: 0.8, beta2: 0.99, epsilon: 0.1)
  check("\(decay)") { p, g, slots, count, step, workers in
    OptimizerUpdates.adam(
      [.init(p, g, count, scale: 0.5, decay: decay, mean: slots[0], meanSquare: slots[1])], step: step,
      settings: settings, workers: workers)
  } formula: { n, g, step in
    let g = decay.applied(&n.p, g, 0.01)
    n.first = 0.8 * n.first + 0.2 * g
    n.second = 0.99 * n.second + 0.01 * g * g
    let mean = n.first / (1 - pow(0.8, Double(step)))
    let square = n.second / (1 - pow(0.99, Double(step)))
    n.p -= 0.01 * mean / (square.squareRoot() + 0.1)
  }
}

@Test(arguments: OptimizerUpdates.RMSprop.Convention.allCases, [(0.0, false), (0.9, false), (0.0, true), (0.9, true)])
func rmspropIsPyTorchsOrTensorFlows(
  convention: OptimizerUpdates.RMSprop.Convention, variant: (momentum: Double, centered: Bool)
) {
  for decay in decays {
    func rate(_ step: Int) -> Double { step < 3 ? 0.05 : 0.005 }
    check("\(convention), \(variant), \(decay)") { p, g, slots, count, step, workers in
      let target = OptimizerUpdates.Target(
        p, g, count, scale: 0.5, decay: decay, velocity: variant.momentum == 0 ? nil : slots[2],
        mean: variant.centered ? slots[1] : nil, meanSquare: slots[0])
      OptimizerUpdates.rmsprop(
        [target],
        settings: .init(
          learningRate: rate(step), decay: 0.9, epsilon: 0.1, momentum: variant.momentum, centered: variant.centered,
          convention: convention), workers: workers)
    } formula: { n, g, step in
      let g = decay.applied(&n.p, g, rate(step))
      n.first = 0.9 * n.first + 0.1 * g * g
      if variant.centered { n.second = 0.9 * n.second + 0.1 * g }
      let square = n.first - n.second * n.second
      switch convention {
      case .pytorch:
        let direction = g / (square.squareRoot() + 0.1)
        n.third = variant.momentum * n.third + direction
        n.p -= rate(step) * n.third
      case .tensorFlow:
        n.third = variant.momentum * n.third + rate(step) * g / (square + 0.1).squareRoot()
        n.p -= n.third
      }
      if variant.momentum == 0 { n.third = 0 }
    }
  }
}

@Test func centeredRMSpropOfAConstantGradientStaysFinite() {
  let all = KernelChecks.floats(20) { all, workers in
    for (array, value) in [1, 0.1, 0.0100000, 0.1000001].enumerated() {
      (all + 5 * array).update(repeating: Float(value), count: 5)
    }
    OptimizerUpdates.rmsprop(
      [.init(all, all + 5, 5, mean: all + 15, meanSquare: all + 10)],
      settings: .init(learningRate: 0.1, decay: 1, epsilon: 1e-3, centered: true), workers: workers)
  }
  #expect(all.allSatisfy { $0.isFinite })
}

@Test func movingAveragesFollowTheNewWeightsAndThoseThatAreNotTrained() {
  var data = RandomData(seed: 61)
  for count in counts {
    let (p, g, start) = (data.floats(count), data.floats(count), data.floats(count))
    for isTrained in [true, false] {
      let average = KernelChecks.floats(3 * count) { all, workers in
        for (array, values) in [start, p, g].enumerated() { (all + array * count).update(from: values, count: count) }
        var target = OptimizerUpdates.Target(
          all + count, count: count, gradient: isTrained ? UnsafePointer(all + 2 * count) : nil)
        target.average = all
        OptimizerUpdates.stochasticGradientDescent(
          [target], settings: .init(learningRate: 0.5), averageDecay: 0.999, workers: workers)
      }
      let new = zip(p, g).map { isTrained ? Double($0) - 0.5 * Double($1) : Double($0) }
      KernelChecks.expectClose(
        Array(average[..<count]), zip(start, new).map { 0.999 * Double($0) + 0.001 * $1 }, tolerance: 3e-7)
      KernelChecks.expectClose(Array(average[count..<2 * count]), new, tolerance: 3e-7)
    }
  }
}

/// Many parameters of all sizes give what each gives by itself, to the bit.
@Test func allParametersAtOnceGiveWhatEachGives() {
  var data = RandomData(seed: 65)
  let sizes = [1, 5, 16, 17, 0, 1000, 9000, 3, 40_000, 64]
  let p = sizes.map { data.floats($0) }, g = sizes.map { data.floats($0) }
  func run(_ groups: [[Int]], workers: Workers) -> [Float] {
    let total = sizes.reduce(0, +)
    let all = UnsafeMutablePointer<Float>.allocate(capacity: 5 * total)
    defer { all.deallocate() }
    all.initialize(repeating: 0, count: 5 * total)
    var start = 0
    let targets = sizes.indices.map { index in
      (all + start).update(from: p[index], count: sizes[index])
      (all + total + start).update(from: g[index], count: sizes[index])
      var target = OptimizerUpdates.Target(
        all + start, all + total + start, sizes[index], mean: all + 2 * total + start,
        meanSquare: all + 3 * total + start)
      target.average = all + 4 * total + start
      start += sizes[index]
      return target
    }
    for group in groups {
      OptimizerUpdates.adam(
        group.map { targets[$0] }, step: 2, settings: .init(), gradientLimit: 0.5, averageDecay: 0.9, workers: workers)
    }
    return (0..<5 * total).map { all[$0] }
  }
  let alone = run(sizes.indices.map { [$0] }, workers: Workers(count: 1))
  for count in [1, 2, 3, 7] { #expect(run([Array(sizes.indices)], workers: Workers(count: count)) == alone) }
}

@Test func sumsOfSquaresAreTheSameForEveryNumberOfWorkersAndDoNotOverflow() {
  var data = RandomData(seed: 63)
  let arrays = [1, 0, 5000, 300_001].map { data.floats($0, in: -1e30...1e30) }
  let views = arrays.map { array in
    let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: array.count)
    _ = copy.initialize(from: array)
    return UnsafeBufferPointer(copy)
  }
  defer { views.forEach { $0.deallocate() } }
  let sums = [1, 2, 3, 5].map { OptimizerUpdates.sumsOfSquares(of: views, workers: Workers(count: $0)) }
  #expect(Set(sums).count == 1)
  let expected = arrays.map { $0.map { Double($0) * Double($0) }.reduce(0, +) }
  #expect(zip(sums[0], expected).allSatisfy { abs($0 - $1) <= 1e-12 * $1 })
}

@Test(arguments: [Float.nan, .infinity, -.infinity], [0, 7, 16, 20_000, 20_010])
func aSumOfSquaresIsNotFiniteWhereAnElementIsNot(_ poison: Float, at position: Int) {
  var x = [Float](repeating: 0.5, count: 20_011)
  x[position] = poison
  x.withUnsafeBufferPointer {
    let sums = OptimizerUpdates.sumsOfSquares(of: [$0, $0], workers: Workers(count: 2))
    #expect(sums.allSatisfy { !$0.isFinite })
  }
}
