import CNNCore
import Testing

@testable import CNNPictures

/// What is drawn at random: within its bounds, as often as it should be, and the same for the same numbers.
@Suite struct RandomChangeTests {
  private func generator(_ seed: UInt64 = 1) -> PhiloxGenerator { PhiloxGenerator(seed: seed, stream: 7) }

  private func waves(_ height: Int, _ width: Int, _ channels: Int) throws -> Picture {
    try Picture(
      (0..<height * width * channels).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 3) }, height: height,
      width: width, channels: channels)
  }

  @Test func cropsAreWithinThePictureAndTheirBounds() {
    var random = generator()
    let crop = RandomResizedCrop(scale: 0.3...0.6, ratio: 0.8...1.25)
    var areas: [Double] = []
    for _ in 0..<500 {
      let region = crop.region(height: 200, width: 260, &random)
      #expect(region.top >= 0 && region.left >= 0)
      #expect(region.top + region.height <= 200 && region.left + region.width <= 260)
      let ratio = Double(region.width) / Double(region.height)
      #expect(ratio > 0.79 && ratio < 1.27)
      areas.append(Double(region.height * region.width) / (200 * 260))
    }
    #expect(areas.allSatisfy { $0 > 0.29 && $0 < 0.61 })
    #expect(abs(areas.reduce(0, +) / 500 - 0.45) < 0.02)
  }

  /// As torchvision: the largest middle of allowed proportions.
  @Test(arguments: [(10, 1000, 10, 13, 0, 493), (1000, 10, 13, 10, 493, 0), (1, 1, 1, 1, 0, 0)])
  func whereNothingFitsTheMiddleIsTaken(
    _ height: Int, _ width: Int, _ newHeight: Int, _ newWidth: Int, _ top: Int, _ left: Int
  ) {
    var random = generator()
    let region = RandomResizedCrop(scale: 1...1).region(height: height, width: width, &random)
    #expect(region == PictureRegion(top: top, left: left, height: newHeight, width: newWidth))
  }

  @Test func extremeBoundsDoNotTrap() throws {
    var random = generator()
    for scale in [1e-6...1e-6, 1e-6...1, 1...1] {
      for ratio in [1e-3...1e-3, 1e3...1e3, 1e-3...1e3] {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (40, 50), (65_000, 2_700)] {
          _ = RandomResizedCrop(scale: scale, ratio: ratio).region(height: height, width: width, &random)
        }
        for fill in RandomErasing.Fill.allCases {
          let erasing = RandomErasing(probability: 1, scale: scale, ratio: ratio, fill: fill)
          for (height, width) in [(1, 1), (1, 9), (9, 1), (20, 30)] {
            _ = try erasing.applied(to: waves(height, width, 3), &random)
          }
        }
      }
    }
  }

  @Test func theSameNumbersGiveTheSamePicture() throws {
    var changes = PictureAugmentation()
    changes.mirroring = 0.5
    changes.jitter = ColorJitter(brightness: 0.5, contrast: 0.5, saturation: 0.5, hue: 0.5)
    changes.operations = RandAugment(operationCount: 3, magnitude: 20)
    changes.erasing = RandomErasing(fill: .noise)
    for channels in [1, 3] {
      let picture = try waves(20, 30, channels), before = picture.bytes
      var seen: Set<[UInt8]> = []
      for seed in 0..<20 {
        var (first, second) = (generator(UInt64(seed)), generator(UInt64(seed)))
        let result = try changes.applied(to: picture, random: &first, workers: workers).bytes
        #expect(try changes.applied(to: picture, random: &second, workers: workers).bytes == result)
        seen.insert(result)
      }
      #expect(seen.count == 20 && picture.bytes == before)
    }
  }

  @Test(arguments: [0.05, 0.2, 1, 3]) func sharesAreOfTheBetaDistribution(_ alpha: Double) {
    var random = generator()
    let shares = (0..<4000).map { _ in random.beta(alpha) }
    #expect(shares.allSatisfy { (0...1).contains($0) })
    let mean = shares.reduce(0, +) / 4000
    let variance = shares.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 4000
    #expect(abs(mean - 0.5) < 0.03)
    #expect(abs(variance - 1 / (4 * (2 * alpha + 1))) < 0.012)
  }

  @Test(arguments: [BatchMixing(mixup: 1), BatchMixing(cutmix: 1), BatchMixing(mixup: 1000), BatchMixing(cutmix: 1e-3)])
  func aBatchIsMixedWithItself(_ mixing: BatchMixing) throws {
    for seed in 0..<20 {
      // Pictures of one byte each, so that what they become is known.
      var pixels = (0..<3).flatMap { [UInt8](repeating: UInt8(100 * $0), count: 6 * 5) }
      var targets: [Float] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
      var random = generator(UInt64(seed))
      try pixels.withUnsafeMutableBufferPointer { pixels in
        try targets.withUnsafeMutableBufferPointer { targets in
          try mixing.apply(
            to: #require(pixels.baseAddress), targets: #require(targets.baseAddress), count: 3, height: 6, width: 5,
            channels: 1, classes: 3, random: &random)
        }
      }
      let share = targets[0]
      #expect(targets == [share, 0, 1 - share, 1 - share, share, 0, 0, 1 - share, share])
      for index in 0..<3 {
        let sum = pixels[index * 30..<(index + 1) * 30].reduce(0) { $0 + Float($1) }
        let expected = 30 * (share * Float(100 * index) + (1 - share) * Float(100 * ((index + 2) % 3)))
        #expect(abs(sum - expected) <= 30 * 0.51)
      }
    }
  }
}
