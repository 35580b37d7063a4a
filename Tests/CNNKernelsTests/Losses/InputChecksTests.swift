import CNNRuntime
import Testing

@testable import CNNKernels

@Test func firstInvalidLabelIsFound() {
  for count in [1, 7, 5000, 100_003] {
    for workers in [1, 2, 3, 5].map(Workers.init) {
      var labels = [Int32](repeating: 9, count: count)
      func first(classes: Int = 10) -> Int? {
        InputChecks.firstInvalidLabel(labels, count: count, classes: classes, workers: workers)
      }
      #expect(first() == nil)
      #expect(first(classes: 9) == 0)
      labels[count - 1] = 10
      #expect(first() == count - 1)
      labels[count / 2] = -1
      #expect(first() == count / 2)
      #expect(first(classes: 1 << 40) == count / 2)
    }
  }
  #expect(InputChecks.firstInvalidLabel([], count: 0, classes: 3, workers: Workers(count: 2)) == nil)
}

@Test func firstNotFiniteIsFound() {
  for count in [1, 7, 8, 9, 263, 5000, 100_003] {
    for workers in [1, 2, 3, 5].map(Workers.init) {
      var x = [Float](repeating: -3e38, count: count)
      func first() -> Int? { InputChecks.firstNotFinite(x, count: count, workers: workers) }
      #expect(first() == nil)
      x[count - 1] = -.infinity
      #expect(first() == count - 1)
      x[count / 2] = .nan
      #expect(first() == count / 2)
      x[0] = .infinity
      #expect(first() == 0)
    }
  }
  #expect(InputChecks.firstNotFinite([], count: 0, workers: Workers(count: 2)) == nil)
}
