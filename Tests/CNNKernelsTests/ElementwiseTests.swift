import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Images, pixels and channels; the last is large enough to be divided between five workers.
private let shapes = [(1, 1, 1), (2, 5, 3), (3, 7, 17), (1, 49, 33), (4, 9, 16), (5, 301, 61)]

@Test(arguments: teamSizes)
func elementwiseOperationsAreTheirDefinitions(_ team: Int) throws {
  let workers = Workers(count: team)
  for count in [0, 1, 3, 4, 17, 31, 100_003] {
    let a = randomFloats(count, seed: 1), b = randomFloats(count, seed: 2)
    func check(_ name: String, _ expected: (Float, Float) -> Float, _ body: (UnsafeMutablePointer<Float>) -> Void)
      throws
    {
      let y = try GuardedFloats(count)
      body(y.pointer)
      #expect(y.isIntact && y.values == zip(a, b).map(expected), "\(name) of \(count)")
    }
    try check("add", +) { Elementwise.add(a, b, into: $0, count: count, workers: workers) }
    try check("multiply", *) { Elementwise.multiply(a, b, into: $0, count: count, workers: workers) }
    try check("scale", { a, _ in 0.3 * a }) {
      Elementwise.scale(a, by: 0.3, into: $0, count: count, workers: workers)
    }
    try check("copy", { a, _ in a }) { Elementwise.copy(a, into: $0, count: count, workers: workers) }
    try check("fill", { _, _ in 7 }) { Elementwise.fill($0, with: 7, count: count, workers: workers) }
    let sum = try GuardedFloats(b)
    Elementwise.accumulate(a, into: sum.pointer, count: count, workers: workers)
    #expect(sum.isIntact && sum.values == zip(b, a).map(+))
    let inPlace = try GuardedFloats(b)
    Elementwise.multiply(inPlace.pointer, inPlace.pointer, into: inPlace.pointer, count: count, workers: workers)
    #expect(inPlace.isIntact && inPlace.values == b.map { $0 * $0 })
  }
}

@Test(arguments: teamSizes)
func broadcastingRepeatsTheSmallOperandOverPixels(_ team: Int) throws {
  let workers = Workers(count: team)
  for (images, pixels, channels) in shapes {
    let count = images * pixels * channels
    let a = randomFloats(count, seed: 1), b = randomFloats(images * channels, seed: 2)
    let repeated = (0..<count).map { b[$0 / (pixels * channels) * channels + $0 % channels] }
    let sum = try GuardedFloats(count), product = try GuardedFloats(count), expanded = try GuardedFloats(count)
    Elementwise.addBroadcast(
      a, b, into: sum.pointer, images: images, pixels: pixels, channels: channels, workers: workers)
    Elementwise.multiplyBroadcast(
      a, b, into: product.pointer, images: images, pixels: pixels, channels: channels, workers: workers)
    Elementwise.expandToPixels(
      b, scaledBy: 0.5, into: expanded.pointer, images: images, pixels: pixels, channels: channels, workers: workers)
    #expect(sum.isIntact && sum.values == zip(a, repeated).map(+))
    #expect(product.isIntact && product.values == zip(a, repeated).map(*))
    #expect(expanded.isIntact && expanded.values == repeated.map { $0 * 0.5 })
  }
}

@Test(arguments: teamSizes)
func sumsUndoBroadcasting(_ team: Int) throws {
  let workers = Workers(count: team)
  for (images, pixels, channels) in shapes {
    let count = images * pixels * channels
    let a = randomFloats(count, seed: 3), b = randomFloats(count, seed: 4)
    var plain = [Double](repeating: 0, count: images * channels), weighted = plain
    var bias = [Double](repeating: 0, count: channels)
    for i in 0..<count {
      let target = i / (pixels * channels) * channels + i % channels
      plain[target] += Double(a[i])
      weighted[target] += Double(a[i]) * Double(b[i])
      bias[i % channels] += Double(a[i])
    }
    let y = try GuardedFloats(images * channels), product = try GuardedFloats(images * channels)
    let rowSum = try GuardedFloats(channels)
    Elementwise.sumOverPixels(
      a, into: y.pointer, images: images, pixels: pixels, channels: channels, workers: workers)
    Elementwise.sumOverPixels(
      a, times: b, into: product.pointer, images: images, pixels: pixels, channels: channels, workers: workers)
    let byteCount = Elementwise.sumOverRowsWorkspaceByteCount(channels: channels, workers: workers)
    let workspace = try GuardedFloats(byteCount / 4)
    func sumRows() {
      Elementwise.sumOverRows(
        a, into: rowSum.pointer, rows: images * pixels, channels: channels, workspace: workspace.pointer,
        workers: workers)
    }
    sumRows()
    #expect(y.distance(plain) < 2e-5)
    #expect(product.distance(weighted) < 2e-5)
    #expect(rowSum.distance(bias) < 1e-4 && workspace.isIntact)
    let first = rowSum.bits
    sumRows()
    #expect(rowSum.bits == first)
  }
}

@Test func longSumsKeepTheirAccuracy() throws {
  let rows = 300_000
  // Added one by one in single precision, these err by about one in a hundred.
  let x = [Float](repeating: 0.1, count: rows)
  let y = try GuardedFloats(1), workspace = try GuardedFloats(1)
  Elementwise.sumOverRows(
    x, into: y.pointer, rows: rows, channels: 1, workspace: workspace.pointer, workers: Workers(count: 1))
  #expect(y.distance([0.1 * Double(rows)]) < 1e-4 * 0.1 * Double(rows))
}
