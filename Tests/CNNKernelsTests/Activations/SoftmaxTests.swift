import Glibc
import Testing

@testable import CNNKernels

private let shapes = [(1, 1), (1, 3), (7, 10), (3, 17), (300, 33), (5, 1000), (0, 4)]

private func softmax(_ x: [Double]) -> [Double] {
  let largest = x.max() ?? 0
  let exponentials = x.map { exp($0 - largest) }
  let sum = exponentials.reduce(0, +)
  return exponentials.map { $0 / sum }
}

@Test func softmaxMatchesDoublePrecision() {
  var data = RandomData(seed: 1)
  for (rows, classes) in shapes {
    let x = data.floats(rows * classes, in: -30...30)
    let y = KernelChecks.floats(x.count) { y, workers in
      SoftmaxKernels.forward(x: x, y: y, rows: rows, classes: classes, workers: workers)
    }
    KernelChecks.expectClose(y, (0..<rows).flatMap { softmax(KernelChecks.row(x, $0, classes)) })
  }
}

@Test func softmaxSurvivesLargeLogitsAndPassesOnNaN() {
  let x: [Float] = [3e38, 0, -3e38, -.infinity, 1, 1, .nan, 1, 2]
  let y = KernelChecks.floats(9) { y, workers in
    SoftmaxKernels.forward(x: x, y: y, rows: 3, classes: 3, workers: workers)
  }
  #expect(Array(y[..<6]) == [1, 0, 0, 0, 0.5, 0.5])
  #expect(y[6...].allSatisfy { $0.isNaN })
}

@Test func softmaxWorksInPlace() {
  var data = RandomData(seed: 2)
  let x = data.floats(21 * 10)
  let apart = KernelChecks.floats(x.count) { y, workers in
    SoftmaxKernels.forward(x: x, y: y, rows: 21, classes: 10, workers: workers)
  }
  let inPlace = KernelChecks.floats(x.count) { y, workers in
    y.update(from: x, count: x.count)
    SoftmaxKernels.forward(x: y, y: y, rows: 21, classes: 10, workers: workers)
  }
  #expect(apart == inPlace)
}

@Test func softmaxGradientMatchesFiniteDifferences() {
  var data = RandomData(seed: 3)
  for (rows, classes) in shapes {
    let x = data.floats(rows * classes)
    let dy = data.floats(rows * classes)
    let y = (0..<rows).flatMap { softmax(KernelChecks.row(x, $0, classes)) }.map(Float.init)
    let dx = KernelChecks.floats(x.count) { dx, workers in
      SoftmaxKernels.backward(y: y, dy: dy, dx: dx, rows: rows, classes: classes, workers: workers)
    }
    let checked = min(rows, classes > 100 ? 1 : 7)
    let expected = (0..<checked).flatMap { row in
      KernelChecks.gradient(
        of: { zip(softmax($0), KernelChecks.row(dy, row, classes)).map(*).reduce(0, +) },
        at: KernelChecks.row(x, row, classes))
    }
    KernelChecks.expectClose(Array(dx[..<(checked * classes)]), expected)
  }
}
