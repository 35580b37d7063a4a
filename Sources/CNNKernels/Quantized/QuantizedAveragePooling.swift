import CNNCore
import CNNRuntime

/// Means of windows of levels on an image in blocks of 64 channels: a depthwise convolution all of whose weights are 1.
public struct QuantizedAveragePooling: Sendable {
  private let convolution: QuantizedDepthwise
  private let filter: [Int8]
  private let sums: [Int32]
  private let multipliers: [Float]

  /// Why there is no code for a pooling, in a few words; nil where there is.
  public static func refusal(_ g: Pooling.Geometry, countsPadding: Bool) -> String? {
    guard inverseArea(g, countsPadding) != nil else { return "its windows have different numbers of pixels" }
    guard let geometry = try? convolution(g), let levels = ByteLevels(scale: 1, zeroPoint: 0) else {
      return "its windows are those of no convolution"
    }
    return QuantizedDepthwise.refusal(geometry, requantization(levels))
  }

  /// How many cycles each of the workers will take.
  public static func cycles(_ g: Pooling.Geometry, _ target: CodeTarget, workers: Workers) -> Double {
    guard let geometry = try? convolution(g), let levels = ByteLevels(scale: 1, zeroPoint: 0) else { return 0 }
    return QuantizedDepthwise.cycles(geometry, requantization(levels), target, workers: workers)
  }

  /// One over the number of pixels of every window; nil where they differ.
  private static func inverseArea(_ g: Pooling.Geometry, _ countsPadding: Bool) -> Float? {
    let first = g.averaged(0, 0, countsPadding).2
    for row in 0..<g.output.height where g.averaged(row, 0, countsPadding).2 != first { return nil }
    for column in 0..<g.output.width where g.averaged(0, column, countsPadding).2 != first { return nil }
    return first
  }

  private static func requantization(_ levels: ByteLevels) -> Requantization {
    Requantization(input: 1, residual: nil, function: nil, levels: levels)
  }

  /// The convolution with windows at the same places.
  private static func convolution(_ g: Pooling.Geometry) throws(CNNError) -> ConvolutionGeometry {
    let geometry = try ConvolutionGeometry(
      batch: g.images, inputHeight: g.input.height, inputWidth: g.input.width, inputChannels: g.channels,
      outputChannels: g.channels, kernelHeight: g.window.height, kernelWidth: g.window.width,
      strideHeight: g.stride.height, strideWidth: g.stride.width, padTop: g.paddingBefore.height,
      padLeft: g.paddingBefore.width,
      padBottom: max(
        0, (g.output.height - 1) * g.stride.height + g.window.height - g.input.height - g.paddingBefore.height),
      padRight: max(0, (g.output.width - 1) * g.stride.width + g.window.width - g.input.width - g.paddingBefore.width),
      groups: g.channels)
    guard geometry.outputHeight == g.output.height, geometry.outputWidth == g.output.width else {
      throw CNNError(.invalidArgument, "the windows are at other places")
    }
    return geometry
  }

  /// Plans a pooling.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    _ geometry: Pooling.Geometry, _ mean: QuantizedMean, countsPadding: Bool, library: KernelLibrary
  ) throws(CNNError) {
    let g = geometry, area = g.window.height * g.window.width
    let reason = Self.refusal(g, countsPadding: countsPadding)
    guard reason == nil, let levels = mean.levels else {
      throw CNNError(.invalidArgument, "a pooling of bytes has no code: \(reason ?? "its result is float")")
    }
    let convolution = try QuantizedDepthwise(
      Self.convolution(g), zeroPoints: [UInt8(mean.zeroPoint)], Self.requantization(levels), library: library)
    self.convolution = convolution
    let ones = [Float](repeating: 1, count: g.channels * area)
    filter = [Int8](unsafeUninitializedCapacity: convolution.filterCount) { filter, count in
      if let filter = filter.baseAddress {
        convolution.pack(ones, WeightLevels(scales: [1]), into: filter, workers: Workers(count: 1))
      }
      count = convolution.filterCount
    }
    // What lies around the image stands for 0, and so adds nothing.
    sums = Array(repeating: -mean.zeroPoint * Int32(area), count: convolution.channelCount)
    let inverseArea = Self.inverseArea(g, countsPadding) ?? 0
    multipliers = Array(repeating: mean.multiplier * inverseArea, count: convolution.channelCount)
  }

  /// The bytes it works in.
  public func workspaceByteCount(_ workers: Workers) -> Int { convolution.workspaceByteCount(workers) }

  /// Pools `x` into `y`.
  public func run(
    _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    filter.withUnsafeBufferPointer { filter in
      sums.withUnsafeBufferPointer { sums in
        guard let filter = filter.baseAddress, let sums = sums.baseAddress else { return }
        convolution.run(
          x, filter: filter, sums: sums, multipliers: multipliers, into: y, workspace: workspace, workers: workers)
      }
    }
  }
}
