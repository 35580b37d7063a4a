import CNNRuntime
import Testing

@testable import CNNKernels

/// A filter's factors and their gradient against sums in double precision.
@Suite struct FilterScalingTests {
  @Test(arguments: [(1, 1), (3, 1), (17, 9), (5, 4097), (300, 25)], [1, 3])
  func factorsAndTheirGradientEqualTheDefinition(_ shape: (channels: Int, size: Int), _ threads: Int) throws {
    let (channels, size) = shape, count = channels * size, team = Workers(count: threads)
    let filter = try ConvolutionBuffer(randomCount: count, seed: 1, stream: 1)
    let other = try ConvolutionBuffer(randomCount: count, seed: 1, stream: 2)
    let factors = try ConvolutionBuffer(randomCount: channels, seed: 1, stream: 3)
    let gradient = try GuardedFloats(channels)
    FilterScaling.factorGradient(
      filter.base, other.base, into: gradient.pointer, channels: channels, size: size, workers: team)
    for channel in 0..<channels {
      let terms = (channel * size..<(channel + 1) * size).map { Double(filter[$0]) * Double(other[$0]) }
      #expect(abs(Double(gradient.pointer[channel]) - terms.reduce(0, +)) <= 1e-6 * Double(size))
    }
    FilterScaling.scale(filter.base, by: factors.base, into: other.base, channels: channels, size: size, workers: team)
    for index in 0..<count { #expect(other[index] == filter[index] * factors[index / size]) }
    FilterScaling.scale(filter.base, by: factors.base, into: filter.base, channels: channels, size: size, workers: team)
    #expect((0..<count).allSatisfy { filter[$0] == other[$0] })
    #expect(gradient.isIntact && filter.isGuardIntact && other.isGuardIntact)
  }
}
