import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Gradients of poolings of blocked tensors against the portable ones.
struct BlockedPoolingGradientTests {
  @Test(arguments: [false, true], 1...3)
  func gradientsEqualThePortableOnes(_ isMaximum: Bool, _ workers: Int) throws {
    let team = Workers(count: workers)
    for (index, channels) in [1, 3, 16, 17, 40].enumerated() {
      let geometry = Pooling.Geometry(
        images: 1 + index % 3, channels: channels, input: .init(9, 7), output: .init(5, 4), window: .init(3, 3),
        stride: .init(2, 2), paddingBefore: .init(1, 1), paddingAfter: .init(1, 1))
      let gradient = BlockedPoolingGradient(geometry, isMaximum: isMaximum, countsPadding: index % 2 == 0)
      let x = try StreamTests.Image(gradient.input, seed: 1, stream: 1)
      let dy = try StreamTests.Image(gradient.output, seed: 1, stream: 2)
      // Equal numbers: the first of a window gets all.
      for position in 0..<x.rows.count { x.rows.base[position] = (x.rows[position] * 3).rounded() }
      BlockedCopies.pack(x.rows.base, into: x.blocked.base, gradient.input, workers: team)
      let y = try StreamTests.Image(emptyLike: gradient.output), dx = try StreamTests.Image(emptyLike: gradient.input)
      let expected = try ConvolutionBuffer(count: x.rows.count)
      if isMaximum {
        Pooling.maximum(x.rows.base, into: y.rows.base, geometry, workers: team)
        BlockedCopies.pack(y.rows.base, into: y.blocked.base, gradient.output, workers: team)
        Pooling.maximumBackward(x.rows.base, y.rows.base, dy.rows.base, into: expected.base, geometry, workers: team)
      } else {
        Pooling.averageBackward(
          dy.rows.base, into: expected.base, countsPadding: index % 2 == 0, geometry, workers: team)
      }
      gradient.run(
        dy.blocked.base, input: isMaximum ? UnsafePointer(x.blocked.base) : nil,
        result: isMaximum ? UnsafePointer(y.blocked.base) : nil, into: dx.blocked.base, workers: team)
      StreamTests.expectClose(dx.values, StreamTests.doubles(expected), 1e-6, "\(geometry)")
      #expect(dx.blocked.isGuardIntact)
    }
  }

  /// The share of every pixel is the gradient of the mean.
  @Test(arguments: StreamTests.tensors)
  func spreadingReachesEveryPixel(_ tensor: BlockedTensor) throws {
    let small = BlockedTensor(images: tensor.images, height: 1, width: 1, channels: tensor.channels)
    let numbers = try StreamTests.Image(small, seed: 2, stream: 1), y = try StreamTests.Image(emptyLike: tensor)
    let library = KernelLibrary(BlockedConvolutionTests.targets[0])
    let spreading = StreamStepKernels(.spreading(over: tensor), library: library)
    try library.finish()
    try spreading.run([numbers.blocked, y.blocked], workers: Workers(count: 2))
    let pixels = tensor.height * tensor.width, channels = tensor.channels
    let shares = (0..<y.rows.count).map {
      Double(numbers.rows[$0 / channels / pixels * channels + $0 % channels]) / Double(pixels)
    }
    StreamTests.expectClose(y.values, shares, 1e-6, "\(tensor)")
  }
}
