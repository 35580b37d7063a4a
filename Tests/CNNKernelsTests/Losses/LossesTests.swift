import CNNRuntime
import Glibc
import Testing

@testable import CNNKernels

// Keras's definitions, in double precision, of one row (keras/src/losses/losses.py and the PyTorch backend of
// keras.ops, version 3.15.1).

private func clip(_ x: Double, _ upper: Double = 1 - 1e-7) -> Double { min(max(x, 1e-7), upper) }

private func smoothed(_ t: [Double], _ amount: Double) -> [Double] {
  t.map { $0 * (1 - amount) + amount / Double(t.count) }
}

private func categorical(_ kind: Losses.Prediction, _ x: [Double], _ t: [Double], _ smoothing: Double) -> Double {
  let logProbabilities: [Double]
  switch kind {
  case .logits:
    let logSum = log(x.map { exp($0) }.reduce(0, +))
    logProbabilities = x.map { $0 - logSum }
  case .probabilities:
    let sum = x.reduce(0, +)
    logProbabilities = x.map { log(clip($0 / sum)) }
  }
  return -zip(smoothed(t, smoothing), logProbabilities).map(*).reduce(0, +)
}

private func binary(_ kind: Losses.Prediction, _ x: [Double], _ t: [Double], _ smoothing: Double) -> Double {
  let losses = zip(x, t).map { x, t in
    let t = t * (1 - smoothing) + 0.5 * smoothing
    let p = kind == .logits ? 1 / (1 + exp(-x)) : clip(x)
    return -(t * log(p) + (1 - t) * log(1 - p))
  }
  return losses.reduce(0, +) / Double(x.count)
}

private func difference(_ loss: DifferenceLoss, _ x: [Double], _ t: [Double]) -> Double {
  let losses = zip(x, t).map { x, t in
    let d = x - t
    switch loss {
    case .squared: return d * d
    case .absolute: return abs(d)
    case .huber(let delta): return abs(d) <= delta ? 0.5 * d * d : delta * abs(d) - 0.5 * delta * delta
    case .logCosh: return log(cosh(d))
    }
  }
  return losses.reduce(0, +) / Double(x.count)
}

private func divergence(_ p: [Double], _ t: [Double]) -> Double {
  zip(p, t).map { clip($1, 1) * log(clip($1, 1) / clip($0, 1)) }.reduce(0, +)
}

private let shapes = [(1, 1), (1, 2), (13, 10), (3, 17), (129, 33), (4, 1000)]
private let smoothings: [Float] = [0, 0.1, 1]

/// Checks a loss's two kernels against `definition(row prediction, row targets)` and its differences.
private func check(
  _ what: String, _ rows: Int, _ classes: Int, prediction: [Float], targets: [Float], coefficient: [Float],
  sourceLocation: SourceLocation = #_sourceLocation, definition: ([Double], [Double]) -> Double,
  forward: (UnsafeMutablePointer<Float>, Workers) -> Void, backward: (UnsafeMutablePointer<Float>, Workers) -> Void
) {
  let loss = KernelChecks.floats(rows, forward)
  let expected = (0..<rows).map {
    definition(KernelChecks.row(prediction, $0, classes), KernelChecks.row(targets, $0, classes))
  }
  KernelChecks.expectClose(loss, expected, tolerance: 2e-6, what, sourceLocation: sourceLocation)
  let gradient = KernelChecks.floats(rows * classes, backward)
  let checked = min(rows, classes > 100 ? 1 : 13)
  let differences = (0..<checked).flatMap { row in
    KernelChecks.gradient(
      of: { definition($0, KernelChecks.row(targets, row, classes)) * Double(coefficient[row]) },
      at: KernelChecks.row(prediction, row, classes), step: 1e-5)
  }
  KernelChecks.expectClose(
    Array(gradient[..<(checked * classes)]), differences, tolerance: 2e-5, what + " backward",
    sourceLocation: sourceLocation)
}

private func predictions(_ kind: Losses.Prediction, _ count: Int, _ data: inout RandomData) -> [Float] {
  kind == .logits ? data.floats(count, in: -8...8) : data.floats(count, in: 0.05...0.95)
}

@Test(arguments: Losses.Prediction.allCases)
func categoricalCrossEntropyMatchesKeras(kind: Losses.Prediction) {
  var data = RandomData(seed: 10)
  for (rows, classes) in shapes {
    for smoothing in smoothings {
      let x = predictions(kind, rows * classes, &data)
      let t = data.floats(rows * classes, in: 0...1)
      let c = data.floats(rows)
      check(
        "\(rows)x\(classes), smoothing \(smoothing)", rows, classes, prediction: x, targets: t, coefficient: c,
        definition: { categorical(kind, $0, $1, Double(smoothing)) },
        forward: { loss, workers in
          CategoricalCrossEntropy.forward(
            prediction: x, kind: kind, targets: t, labelSmoothing: smoothing, perSample: loss, rows: rows,
            classes: classes, workers: workers)
        },
        backward: { gradient, workers in
          CategoricalCrossEntropy.backward(
            prediction: x, kind: kind, targets: t, labelSmoothing: smoothing, coefficient: c, dPrediction: gradient,
            rows: rows, classes: classes, workers: workers)
        })
    }
  }
}

@Test(arguments: Losses.Prediction.allCases)
func sparseCategoricalCrossEntropyMatchesKeras(kind: Losses.Prediction) {
  var data = RandomData(seed: 11)
  for (rows, classes) in shapes {
    for smoothing in smoothings {
      let x = predictions(kind, rows * classes, &data)
      let labels = data.labels(rows, classes: classes)
      let oneHot = labels.flatMap { label in (0..<classes).map { Float($0 == Int(label) ? 1 : 0) } }
      let c = data.floats(rows)
      check(
        "\(rows)x\(classes), smoothing \(smoothing)", rows, classes, prediction: x, targets: oneHot, coefficient: c,
        definition: { categorical(kind, $0, $1, Double(smoothing)) },
        forward: { loss, workers in
          SparseCategoricalCrossEntropy.forward(
            prediction: x, kind: kind, labels: labels, labelSmoothing: smoothing, perSample: loss, rows: rows,
            classes: classes, workers: workers)
        },
        backward: { gradient, workers in
          SparseCategoricalCrossEntropy.backward(
            prediction: x, kind: kind, labels: labels, labelSmoothing: smoothing, coefficient: c,
            dPrediction: gradient, rows: rows, classes: classes, workers: workers)
        })
    }
  }
}

@Test(arguments: Losses.Prediction.allCases)
func binaryCrossEntropyMatchesKeras(kind: Losses.Prediction) {
  var data = RandomData(seed: 12)
  for (rows, classes) in shapes {
    for smoothing in smoothings {
      let x = predictions(kind, rows * classes, &data)
      let t = data.floats(rows * classes, in: 0...1).map { $0 < 0.3 ? 0 : $0 > 0.7 ? 1 : $0 }
      let c = data.floats(rows)
      check(
        "\(rows)x\(classes), smoothing \(smoothing)", rows, classes, prediction: x, targets: t, coefficient: c,
        definition: { binary(kind, $0, $1, Double(smoothing)) },
        forward: { loss, workers in
          BinaryCrossEntropy.forward(
            prediction: x, kind: kind, targets: t, labelSmoothing: smoothing, perSample: loss, rows: rows,
            classes: classes, workers: workers)
        },
        backward: { gradient, workers in
          BinaryCrossEntropy.backward(
            prediction: x, kind: kind, targets: t, labelSmoothing: smoothing, coefficient: c, dPrediction: gradient,
            rows: rows, classes: classes, workers: workers)
        })
    }
  }
}

@Test(arguments: [
  DifferenceLoss.squared, .absolute, .huber(delta: 1), .huber(delta: 0.25), .logCosh,
])
func lossesOfDifferencesMatchKeras(_ loss: DifferenceLoss) {
  var data = RandomData(seed: 13)
  for (rows, classes) in shapes {
    // No difference lies at a corner.
    let t = data.floats(rows * classes), c = data.floats(rows)
    let x = zip(t, data.floats(rows * classes, in: -3...3)).map { t, d in
      t + ([0, 0.25, 1].contains { abs(abs(d) - $0) < 1e-3 } ? 0.5 : d)
    }
    check(
      "\(rows)x\(classes)", rows, classes, prediction: x, targets: t, coefficient: c,
      definition: { difference(loss, $0, $1) },
      forward: {
        loss.forward(prediction: x, targets: t, perSample: $0, rows: rows, classes: classes, workers: $1)
      },
      backward: {
        loss.backward(
          prediction: x, targets: t, coefficient: c, dPrediction: $0, rows: rows, classes: classes, workers: $1)
      })
    let mean = loss.mean(prediction: x, targets: t, count: x.count, workers: Workers(count: 2))
    #expect(abs(mean - difference(loss, x.map(Double.init), t.map(Double.init))) < 1e-12)
  }
}

@Test func theSlopeOfAnAbsoluteDifferenceOfNothingIsNothing() {
  let x: [Float] = [1, 2, -1, .nan]
  let slopes = KernelChecks.floats(4) {
    DifferenceLoss.absolute.backward(
      prediction: x, targets: [1, 1, 1, 1], coefficient: [4], dPrediction: $0, rows: 1, classes: 4, workers: $1)
  }
  #expect(Array(slopes[..<3]) == [0, 1, -1] && slopes[3].isNaN)
}

@Test func divergenceMatchesKeras() {
  var data = RandomData(seed: 14)
  for (rows, classes) in shapes {
    let x = data.floats(rows * classes, in: 0.05...0.95)
    let t = data.floats(rows * classes, in: -0.1...1)
    let c = data.floats(rows)
    check(
      "\(rows)x\(classes)", rows, classes, prediction: x, targets: t, coefficient: c, definition: divergence,
      forward: { loss, workers in
        KullbackLeiblerDivergence.forward(
          prediction: x, targets: t, perSample: loss, rows: rows, classes: classes, workers: workers)
      },
      backward: { gradient, workers in
        KullbackLeiblerDivergence.backward(
          prediction: x, targets: t, coefficient: c, dPrediction: gradient, rows: rows, classes: classes,
          workers: workers)
      })
  }
}

@Test func crossEntropyOfLogitsIsStable() {
  let x: [Float] = [1000, 0, -1000, 1000, 1000, -.infinity]
  let loss = KernelChecks.floats(2) { loss, workers in
    SparseCategoricalCrossEntropy.forward(
      prediction: x, kind: .logits, labels: [2, 0], perSample: loss, rows: 2, classes: 3, workers: workers)
  }
  KernelChecks.expectClose(loss, [2000, log(2)])
  let binaryLoss = KernelChecks.floats(2) { loss, workers in
    BinaryCrossEntropy.forward(
      prediction: [200, -200], kind: .logits, targets: [0, 0], perSample: loss, rows: 2, classes: 1, workers: workers)
  }
  #expect(binaryLoss == [200, 0])
}

@Test func probabilitiesOutsideTheClipGiveNoGradientOfTheirOwn() {
  // -log(1e-7) and no infinity; q = (1, 0) is clipped in both places.
  let p: [Float] = [1, 0]
  let loss = KernelChecks.floats(1) { loss, workers in
    SparseCategoricalCrossEntropy.forward(
      prediction: p, kind: .probabilities, labels: [1], perSample: loss, rows: 1, classes: 2, workers: workers)
  }
  KernelChecks.expectClose(loss, [-log(1e-7)])
  let gradient = KernelChecks.floats(2) { gradient, workers in
    SparseCategoricalCrossEntropy.backward(
      prediction: p, kind: .probabilities, labels: [1], coefficient: [1], dPrediction: gradient, rows: 1, classes: 2,
      workers: workers)
  }
  #expect(gradient == [0, 0])
  let binaryGradient = KernelChecks.floats(2) { gradient, workers in
    BinaryCrossEntropy.backward(
      prediction: p, kind: .probabilities, targets: [0, 1], coefficient: [1], dPrediction: gradient, rows: 1,
      classes: 2, workers: workers)
  }
  #expect(binaryGradient == [0, 0])
}

@Test(arguments: Losses.Prediction.allCases)
func aNaNPredictionMakesTheLossNaN(kind: Losses.Prediction) {
  let x: [Float] = [.nan, 0.5, 0.5]
  let loss = KernelChecks.floats(1) { loss, workers in
    SparseCategoricalCrossEntropy.forward(
      prediction: x, kind: kind, labels: [2], perSample: loss, rows: 1, classes: 3, workers: workers)
  }
  let binaryLoss = KernelChecks.floats(1) { loss, workers in
    BinaryCrossEntropy.forward(
      prediction: x, kind: kind, targets: [0, 0, 0], perSample: loss, rows: 1, classes: 3, workers: workers)
  }
  #expect(loss[0].isNaN && binaryLoss[0].isNaN)
}

@Test(arguments: Losses.Prediction.allCases)
func gradientsMayOverwriteThePrediction(kind: Losses.Prediction) {
  var data = RandomData(seed: 15)
  let (rows, classes) = (9, 21)
  let x = predictions(kind, rows * classes, &data)
  let (t, c) = (data.floats(rows * classes, in: 0...1), data.floats(rows))
  func run(inPlace: Bool) -> [Float] {
    KernelChecks.floats(x.count) { gradient, workers in
      gradient.update(from: x, count: x.count)
      x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        CategoricalCrossEntropy.backward(
          prediction: inPlace ? UnsafePointer(gradient) : x, kind: kind, targets: t, labelSmoothing: 0.1,
          coefficient: c, dPrediction: gradient, rows: rows, classes: classes, workers: workers)
      }
    }
  }
  #expect(run(inPlace: true) == run(inPlace: false))
}

@Test func weightedMeanDividesByTheCount() {
  var data = RandomData(seed: 16)
  for count in [1, 2, 3, 5, 1000, 4097, 28_001, 200_001] {
    let (l, w) = (data.floats(count), data.floats(count, in: 0...3))
    var plain: Set<UInt64> = []
    var weighted: Set<UInt64> = []
    for workers in [1, 2, 3, 5] {
      let workers = Workers(count: workers)
      plain.insert(Losses.weightedMean(perSample: l, weight: nil, count: count, workers: workers).bitPattern)
      weighted.insert(Losses.weightedMean(perSample: l, weight: w, count: count, workers: workers).bitPattern)
    }
    #expect(plain.count == 1 && weighted.count == 1)
    let mean = l.map(Double.init).reduce(0, +) / Double(count)
    let weightedMean = zip(l, w).map { Double($0) * Double($1) }.reduce(0, +) / Double(count)
    #expect(plain.allSatisfy { abs(Double(bitPattern: $0) - mean) < 1e-12 })
    #expect(weighted.allSatisfy { abs(Double(bitPattern: $0) - weightedMean) < 1e-12 })
  }
  #expect(Losses.weightedMean(perSample: [], weight: nil, count: 0, workers: Workers(count: 2)) == 0)
}
