import CNNCore
import CNNRuntime
import Glibc
import Testing

@testable import CNNKernels

private struct Problem {
  let rows: Int, channels: Int
  var x: [Float], residual: [Float], dy: [Float], gamma: [Float], beta: [Float]
  let epsilon: Float = 1e-3

  init(_ rows: Int, _ channels: Int) {
    self.rows = rows
    self.channels = channels
    x = randomFloats(rows * channels, seed: 1).map { $0 * 2 + 0.5 }
    residual = randomFloats(rows * channels, seed: 2)
    dy = randomFloats(rows * channels, seed: 3)
    gamma = randomFloats(channels, seed: 4).map { $0 + 1.5 }
    beta = randomFloats(channels, seed: 5)
  }

  func statistics(_ x: [Double]) -> (mean: [Double], variance: [Double]) {
    var mean = [Double](repeating: 0, count: channels), variance = mean
    for i in x.indices { mean[i % channels] += x[i] / Double(rows) }
    for i in x.indices {
      let difference = x[i] - mean[i % channels]
      variance[i % channels] += difference * difference / Double(rows)
    }
    return (mean, variance)
  }

  func forward(
    _ x: [Double], _ gamma: [Double], _ beta: [Double], _ fixed: (mean: [Double], variance: [Double])?,
    residual: Bool, relu: Bool
  ) -> [Double] {
    let (mean, variance) = fixed ?? statistics(x)
    return x.indices.map { i in
      let c = i % channels
      let normal = (x[i] - mean[c]) / (variance[c] + Double(epsilon)).squareRoot()
      let value = normal * gamma[c] + beta[c] + (residual ? Double(self.residual[i]) : 0)
      return relu && value < 0 ? 0 : value
    }
  }
}

/// What one run of the kernels leaves behind.
private struct Outputs {
  let y, mean, variance, inverseDeviation, dx, dGamma, dBeta, dResidual: GuardedFloats

  init(_ p: Problem, workers: Int, residual: Bool, relu: Bool, fixed: (mean: [Float], variance: [Float])?) throws {
    let team = Workers(count: workers)
    let count = p.rows * p.channels
    y = try GuardedFloats(count)
    dx = try GuardedFloats(count)
    dResidual = try GuardedFloats(count)
    mean = try GuardedFloats(p.channels)
    variance = try GuardedFloats(p.channels)
    inverseDeviation = try GuardedFloats(p.channels)
    dGamma = try GuardedFloats(p.channels)
    dBeta = try GuardedFloats(p.channels)
    let byteCount = BatchNormalizationKernels.workspaceByteCount(channels: p.channels, workers: team)
    let workspace = try Memory(byteCount: byteCount + 64, for: "test")
    memset(workspace.base, 0xFF, byteCount + 64)
    try p.residual.withUnsafeBufferPointer { buffer in
      let shortcut = residual ? buffer.baseAddress : nil
      let dShortcut = residual ? dResidual.pointer : nil
      let output = relu ? UnsafePointer(y.pointer) : nil
      if let fixed {
        BatchNormalizationKernels.inference(
          p.x, rows: p.rows, channels: p.channels, gamma: p.gamma, beta: p.beta, mean: fixed.mean,
          variance: fixed.variance, epsilon: p.epsilon, residual: shortcut, relu: relu, into: y.pointer,
          workspace: workspace.base, workers: team)
        BatchNormalizationKernels.inferenceBackward(
          p.x, rows: p.rows, channels: p.channels, mean: fixed.mean, variance: fixed.variance, epsilon: p.epsilon,
          gamma: p.gamma, dy: p.dy, y: output, dx: dx.pointer, dGamma: dGamma.pointer, dBeta: dBeta.pointer,
          dResidual: dShortcut, workspace: workspace.base, workers: team)
      } else {
        BatchNormalizationKernels.trainingForward(
          p.x, rows: p.rows, channels: p.channels, gamma: p.gamma, beta: p.beta, epsilon: p.epsilon,
          residual: shortcut, relu: relu, into: y.pointer, mean: mean.pointer, variance: variance.pointer,
          inverseDeviation: inverseDeviation.pointer, workspace: workspace.base, workers: team)
        BatchNormalizationKernels.trainingBackward(
          p.x, rows: p.rows, channels: p.channels, mean: mean.pointer, inverseDeviation: inverseDeviation.pointer,
          gamma: p.gamma, dy: p.dy, y: output, dx: dx.pointer, dGamma: dGamma.pointer, dBeta: dBeta.pointer,
          dResidual: dShortcut, workspace: workspace.base, workers: team)
      }
      for i in byteCount..<byteCount + 64 where workspace.base.load(fromByteOffset: i, as: UInt8.self) != 0xFF {
        throw CNNError(.internalFault, "wrote after the workspace")
      }
    }
  }

  var bits: [[UInt32]] { [y.bits, dx.bits, dGamma.bits, dBeta.bits, dResidual.bits] }
}

private func doubles(_ x: [Float]) -> [Double] { x.map(Double.init) }

private let shapes = [(1, 3), (2, 1), (5, 17), (33, 16), (300, 20), (70, 64), (6001, 17), (90001, 1)]

@Test(arguments: teamSizes, [false, true])
func batchNormalizationForwardNormalisesEveryChannel(_ workers: Int, _ fused: Bool) throws {
  for (rows, channels) in shapes {
    let p = Problem(rows, channels)
    let out = try Outputs(p, workers: workers, residual: fused, relu: fused, fixed: nil)
    let (mean, variance) = p.statistics(doubles(p.x))
    #expect(out.mean.distance(mean) < 1e-6)
    #expect(out.variance.distance(variance) < 1e-5)
    #expect(out.inverseDeviation.distance(variance.map { 1 / ($0 + Double(p.epsilon)).squareRoot() }) < 1e-5 * 32)
    let expected = p.forward(
      doubles(p.x), doubles(p.gamma), doubles(p.beta), nil, residual: fused, relu: fused)
    #expect(out.y.distance(expected) < 1e-5, "\(rows)x\(channels)")
    let again = try Outputs(p, workers: workers, residual: fused, relu: fused, fixed: nil)
    #expect(out.bits == again.bits)
  }
}

@Test(arguments: [(false, false), (true, false), (false, true), (true, true)], [false, true])
func batchNormalizationGradientsAreFiniteDifferences(_ fused: (residual: Bool, relu: Bool), _ frozen: Bool) throws {
  for (rows, channels) in [(2, 1), (7, 3), (6, 17), (9, 20)] {
    let p = Problem(rows, channels)
    let fixed =
      frozen
      ? (mean: randomFloats(channels, seed: 8), variance: randomFloats(channels, seed: 9).map { $0 + 1.2 }) : nil
    let exactly = fixed.map { (mean: doubles($0.mean), variance: doubles($0.variance)) }
    let out = try Outputs(p, workers: 2, residual: fused.residual, relu: fused.relu, fixed: fixed)
    let x = doubles(p.x), gamma = doubles(p.gamma), beta = doubles(p.beta)
    func loss(_ x: [Double], _ gamma: [Double], _ beta: [Double]) -> Double {
      let y = p.forward(x, gamma, beta, exactly, residual: fused.residual, relu: fused.relu)
      return zip(y, p.dy).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    #expect(out.y.distance(p.forward(x, gamma, beta, exactly, residual: fused.residual, relu: fused.relu)) < 1e-5)
    #expect(out.dx.distance(KernelChecks.gradient(of: { loss($0, gamma, beta) }, at: x, step: 1e-6)) < 2e-4)
    #expect(out.dGamma.distance(KernelChecks.gradient(of: { loss(x, $0, beta) }, at: gamma, step: 1e-6)) < 2e-5)
    #expect(out.dBeta.distance(KernelChecks.gradient(of: { loss(x, gamma, $0) }, at: beta, step: 1e-6)) < 2e-5)
    if fused.residual {
      let masked = zip(p.dy, out.y.values).map { fused.relu && $1 <= 0 ? 0 : Double($0) }
      #expect(out.dResidual.distance(masked) == 0)
    }
  }
}

@Test(arguments: teamSizes)
func batchNormalizationGradientsOfLargeBatchesFollowTheFormula(_ workers: Int) throws {
  for (rows, channels) in [(6001, 17), (2000, 48), (90001, 1)] {
    let p = Problem(rows, channels)
    let out = try Outputs(p, workers: workers, residual: true, relu: true, fixed: nil)
    let (mean, variance) = p.statistics(doubles(p.x))
    let y = out.y.values
    var dBeta = [Double](repeating: 0, count: channels), dGamma = dBeta
    func normal(_ i: Int) -> Double {
      (Double(p.x[i]) - mean[i % channels]) / (variance[i % channels] + Double(p.epsilon)).squareRoot()
    }
    func gradient(_ i: Int) -> Double { y[i] > 0 ? Double(p.dy[i]) : 0 }
    for i in p.x.indices {
      dBeta[i % channels] += gradient(i)
      dGamma[i % channels] += gradient(i) * normal(i)
    }
    let dx = p.x.indices.map { i in
      let c = i % channels
      let scale = Double(p.gamma[c]) / (variance[c] + Double(p.epsilon)).squareRoot()
      return scale * (gradient(i) - dBeta[c] / Double(rows) - normal(i) * dGamma[c] / Double(rows))
    }
    #expect(out.dBeta.distance(dBeta) < 1e-3 && out.dGamma.distance(dGamma) < 1e-3)
    #expect(out.dx.distance(dx) < 1e-5)
    #expect(try Outputs(p, workers: workers, residual: true, relu: true, fixed: nil).bits == out.bits)
  }
}

@Test func batchNormalizationSurvivesLargeMeansAndOutliers() throws {
  var p = Problem(5000, 5)
  for i in p.x.indices { p.x[i] = p.x[i] + 10_000 }
  p.x[0] = -1e6
  let (mean, variance) = p.statistics(doubles(p.x))
  let out = try Outputs(p, workers: 2, residual: false, relu: false, fixed: nil)
  for c in 0..<5 {
    #expect(abs(Double(out.mean.values[c]) - mean[c]) <= 1e-3 + 1e-6 * variance[c].squareRoot())
    #expect(abs(Double(out.variance.values[c]) - variance[c]) <= 2e-5 * variance[c])
  }
}

@Test func batchNormalizationPassesNaNOn() throws {
  var p = Problem(40, 3)
  p.x[4] = .nan
  let out = try Outputs(p, workers: 1, residual: false, relu: true, fixed: nil)
  #expect(out.y.values.indices.allSatisfy { out.y.values[$0].isNaN == ($0 % 3 == 1) })
}

@Test func batchNormalizationGradientMayOverwriteItsInput() throws {
  let p = Problem(70, 17)
  for fixed in [nil, (mean: randomFloats(17, seed: 8), variance: randomFloats(17, seed: 9).map { $0 + 1.2 })] {
    let out = try Outputs(p, workers: 1, residual: false, relu: true, fixed: fixed)
    let team = Workers(count: 1)
    let workspace = try Memory(
      byteCount: BatchNormalizationKernels.workspaceByteCount(channels: 17, workers: team), for: "test")
    for throughResidual in [false, true] {
      let inPlace = try GuardedFloats(p.dy), other = try GuardedFloats(70 * 17)
      let dGamma = try GuardedFloats(17), dBeta = try GuardedFloats(17)
      let dx = throughResidual ? other : inPlace
      let dResidual = throughResidual ? inPlace.pointer : nil
      if let fixed {
        BatchNormalizationKernels.inferenceBackward(
          p.x, rows: 70, channels: 17, mean: fixed.mean, variance: fixed.variance, epsilon: p.epsilon, gamma: p.gamma,
          dy: inPlace.pointer, y: out.y.pointer, dx: dx.pointer, dGamma: dGamma.pointer, dBeta: dBeta.pointer,
          dResidual: dResidual, workspace: workspace.base, workers: team)
      } else {
        BatchNormalizationKernels.trainingBackward(
          p.x, rows: 70, channels: 17, mean: out.mean.pointer, inverseDeviation: out.inverseDeviation.pointer,
          gamma: p.gamma, dy: inPlace.pointer, y: out.y.pointer, dx: dx.pointer, dGamma: dGamma.pointer,
          dBeta: dBeta.pointer, dResidual: dResidual, workspace: workspace.base, workers: team)
      }
      #expect(dx.bits == out.dx.bits && dGamma.bits == out.dGamma.bits && dBeta.bits == out.dBeta.bits)
    }
  }
}

@Test(arguments: [true, false])
func runningStatisticsTakeUpTheVarianceUnbiasedOrNot(unbiased: Bool) throws {
  let expected: [Double] = unbiased ? [1.4, 3.7] : [1.3, 3.5]
  let runningMean = try GuardedFloats([1, 2]), runningVariance = try GuardedFloats([1, 3])
  BatchNormalizationKernels.runningUpdate(
    mean: [3, -2], variance: [4, 8], rows: 5, channels: 2, momentum: 0.1, unbiased: unbiased,
    runningMean: runningMean.pointer, runningVariance: runningVariance.pointer)
  #expect(runningMean.distance([1.2, 1.6]) < 1e-6)
  #expect(runningVariance.distance(expected) < 1e-6)
}
