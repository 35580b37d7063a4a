import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

private typealias Geometry = Pooling.Geometry

private func geometry(
  _ images: Int, _ channels: Int, _ input: Geometry.Size, window: Geometry.Size, stride: Geometry.Size,
  dilation: Geometry.Size = .init(1, 1), before: Geometry.Size = .init(0, 0), after: Geometry.Size = .init(0, 0)
) -> Geometry {
  func size(_ input: Int, _ window: Int, _ stride: Int, _ dilation: Int, _ padding: Int) -> Int {
    (input + padding - dilation * (window - 1) - 1) / stride + 1
  }
  return Geometry(
    images: images, channels: channels, input: input,
    output: .init(
      size(input.height, window.height, stride.height, dilation.height, before.height + after.height),
      size(input.width, window.width, stride.width, dilation.width, before.width + after.width)),
    window: window, stride: stride, dilation: dilation, paddingBefore: before, paddingAfter: after)
}

private let geometries: [Geometry] = [
  geometry(1, 1, .init(1, 1), window: .init(1, 1), stride: .init(1, 1)),
  geometry(2, 3, .init(5, 7), window: .init(2, 2), stride: .init(2, 2)),
  geometry(3, 17, .init(7, 9), window: .init(3, 3), stride: .init(2, 2), before: .init(1, 1), after: .init(1, 1)),
  geometry(2, 20, .init(6, 5), window: .init(3, 2), stride: .init(1, 3), before: .init(0, 1), after: .init(2, 0)),
  geometry(1, 33, .init(4, 4), window: .init(3, 3), stride: .init(2, 2), before: .init(0, 0), after: .init(1, 1)),
  geometry(5, 4, .init(3, 2), window: .init(5, 5), stride: .init(1, 1), before: .init(2, 2), after: .init(2, 2)),
  .global(images: 3, channels: 19, height: 7, width: 5),
  .global(images: 1, channels: 40, height: 1, width: 1),
]

private let dilated: [Geometry] = [
  geometry(2, 18, .init(9, 8), window: .init(3, 2), stride: .init(2, 1), dilation: .init(2, 3), before: .init(2, 1)),
  geometry(
    1, 5, .init(5, 5), window: .init(3, 3), stride: .init(1, 1), dilation: .init(4, 4), before: .init(3, 3),
    after: .init(4, 4)),
]

/// Calls `body` for every element of every window: output index, input index or nil in the padding.
private func forEachTap(_ g: Geometry, _ body: (_ output: Int, _ input: Int?) -> Void) {
  for n in 0..<g.images {
    for oy in 0..<g.output.height {
      for ox in 0..<g.output.width {
        for c in 0..<g.channels {
          let output = ((n * g.output.height + oy) * g.output.width + ox) * g.channels + c
          for ky in 0..<g.window.height {
            for kx in 0..<g.window.width {
              let y = oy * g.stride.height - g.paddingBefore.height + ky * g.dilation.height
              let x = ox * g.stride.width - g.paddingBefore.width + kx * g.dilation.width
              let inside = y >= 0 && y < g.input.height && x >= 0 && x < g.input.width
              body(output, inside ? ((n * g.input.height + y) * g.input.width + x) * g.channels + c : nil)
            }
          }
        }
      }
    }
  }
}

private func inputCount(_ g: Geometry) -> Int { g.images * g.input.height * g.input.width * g.channels }
private func outputCount(_ g: Geometry) -> Int { g.images * g.output.height * g.output.width * g.channels }

@Test(arguments: teamSizes)
func maximumPoolingTakesTheFirstMaximum(_ workers: Int) throws {
  let team = Workers(count: workers)
  for g in geometries + dilated {
    // Few distinct values, so that windows have several maxima.
    let x = randomFloats(inputCount(g), seed: 1).map { ($0 * 3).rounded() }
    let dy = randomFloats(outputCount(g), seed: 2)
    var y = [Double](repeating: -.infinity, count: outputCount(g))
    var winner = [Int?](repeating: nil, count: outputCount(g))
    forEachTap(g) { output, input in
      if let input, winner[output] == nil || Double(x[input]) > y[output] {
        y[output] = Double(x[input])
        winner[output] = input
      }
    }
    var dx = [Double](repeating: 0, count: inputCount(g))
    for (output, input) in winner.enumerated() { if let input { dx[input] += Double(dy[output]) } }
    let result = try GuardedFloats(outputCount(g)), gradient = try GuardedFloats(inputCount(g))
    Pooling.maximum(x, into: result.pointer, g, workers: team)
    Pooling.maximumBackward(x, result.pointer, dy, into: gradient.pointer, g, workers: team)
    #expect(result.isIntact && result.values.map(Double.init) == y)
    #expect(gradient.distance(dx) < 2e-6)
    let first = gradient.bits
    Pooling.maximumBackward(x, result.pointer, dy, into: gradient.pointer, g, workers: team)
    #expect(gradient.bits == first)
  }
}

@Test(arguments: teamSizes, [false, true])
func averagePoolingDividesByTheRightCount(_ workers: Int, _ countsPadding: Bool) throws {
  let team = Workers(count: workers)
  for g in geometries {
    let x = randomFloats(inputCount(g), seed: 1), dy = randomFloats(outputCount(g), seed: 2)
    var sum = [Double](repeating: 0, count: outputCount(g)), area = sum
    forEachTap(g) { output, input in
      if let input { sum[output] += Double(x[input]) }
      if input != nil || countsPadding { area[output] += 1 }
    }
    var dx = [Double](repeating: 0, count: inputCount(g))
    forEachTap(g) { output, input in if let input { dx[input] += Double(dy[output]) / area[output] } }
    let result = try GuardedFloats(outputCount(g)), gradient = try GuardedFloats(inputCount(g))
    Pooling.average(x, into: result.pointer, countsPadding: countsPadding, g, workers: team)
    Pooling.averageBackward(dy, into: gradient.pointer, countsPadding: countsPadding, g, workers: team)
    #expect(result.distance(zip(sum, area).map { $0 / $1 }) < 2e-6)
    #expect(gradient.distance(dx) < 4e-6)
  }
}

@Test func maximumPoolingPassesNaNOnAndSendsItOneGradient() throws {
  let g = geometry(1, 21, .init(2, 2), window: .init(2, 2), stride: .init(2, 2))
  var x = randomFloats(inputCount(g), seed: 1)
  for c in 0..<21 {
    x[21 + c] = .nan
    x[63 + c] = .nan
  }
  let y = try GuardedFloats(21), dx = try GuardedFloats(84)
  Pooling.maximum(x, into: y.pointer, g, workers: Workers(count: 1))
  #expect(y.isIntact && y.values.allSatisfy(\.isNaN))
  let ones = [Float](repeating: 1, count: 21)
  Pooling.maximumBackward(x, y.pointer, ones, into: dx.pointer, g, workers: Workers(count: 1))
  #expect(dx.values.reduce(0, +) == 21 && dx.values[21..<42].allSatisfy { $0 == 1 })
}

@Test func averagesPastThePaddingCountOnlyThePaddedInput() throws {
  // Rounding the output size up leaves a last window that hangs over the end, as ceil_mode in PyTorch.
  let g = Geometry(
    images: 1, channels: 1, input: .init(1, 4), output: .init(1, 2), window: .init(1, 3), stride: .init(1, 2),
    paddingAfter: .init(0, 0))
  let y = try GuardedFloats(2)
  Pooling.average([1, 2, 3, 5], into: y.pointer, countsPadding: true, g, workers: Workers(count: 1))
  #expect(y.values == [2, 4])
}
