import CNNCore
import Testing

@testable import CNNKernels

private typealias Shape = (images: Int, height: Int, width: Int, channels: Int)

/// `x[n, h, w, c]`, or 0 outside of the image.
private func pixel(_ x: [Float], _ shape: Shape, _ n: Int, _ h: Int, _ w: Int, _ c: Int) -> Float {
  guard (0..<shape.height).contains(h), (0..<shape.width).contains(w) else { return 0 }
  return x[((n * shape.height + h) * shape.width + w) * shape.channels + c]
}

/// The tensor of that shape whose element at each place is `value(n, h, w, c)`.
private func tensor(_ shape: Shape, _ value: (Int, Int, Int, Int) -> Float) -> [Float] {
  var result: [Float] = []
  for n in 0..<shape.images {
    for h in 0..<shape.height {
      for w in 0..<shape.width { for c in 0..<shape.channels { result.append(value(n, h, w, c)) } }
    }
  }
  return result
}

@Test(arguments: [(true, false), (false, true), (true, true)])
func imagesAreFlippedAsTheirWordsSay(_ horizontal: Bool, _ vertical: Bool) {
  var data = RandomData(seed: 60)
  for shape: Shape in [(1, 1, 1, 1), (9, 3, 4, 2), (40, 5, 1, 3), (17, 8, 9, 1)] {
    let random = Philox(seed: 3, stream: 8)
    let x = data.floats(shape.images * shape.height * shape.width * shape.channels)
    let y = KernelChecks.floats(x.count) { y, workers in
      RandomImages.flip(
        x, into: y, images: shape.images, height: shape.height, width: shape.width, channels: shape.channels,
        horizontal: horizontal, vertical: vertical, seed: 3, stream: 8, workers: workers)
    }
    let expected = tensor(shape) { n, h, w, c in
      let words = random.words(at: UInt64(n))
      let column = horizontal && words[0] >> 31 == 1 ? shape.width - 1 - w : w
      return pixel(x, shape, n, vertical && words[1] >> 31 == 1 ? shape.height - 1 - h : h, column, c)
    }
    #expect(y == expected)
  }
}

@Test func everyPlaceOfACropIsAsLikelyAsAnother() {
  let crop = RandomImages.Crop(inputHeight: 5, inputWidth: 7, height: 3, width: 7, channels: 1)
  let random = Philox(seed: 1, stream: 2)
  let offsets = (0..<3000).map { crop.offset(random.words(at: UInt64($0))) }
  #expect(offsets.allSatisfy { $0.left == 0 })
  for top in 0...2 { #expect(abs(offsets.filter { $0.top == top }.count - 1000) < 150) }
}

@Test func cropsCutWindowsAndTheirGradientPutsThemBack() {
  var data = RandomData(seed: 61)
  let cases: [(shape: Shape, height: Int, width: Int)] = [
    ((1, 1, 1, 1), 1, 1), ((9, 5, 4, 2), 3, 4), ((30, 6, 9, 3), 1, 2), ((5, 4, 4, 1), 4, 4),
  ]
  for (shape, height, width) in cases {
    let crop = RandomImages.Crop(
      inputHeight: shape.height, inputWidth: shape.width, height: height, width: width, channels: shape.channels)
    let random = Philox(seed: 4, stream: 9)
    let small: Shape = (shape.images, height, width, shape.channels)
    let x = data.floats(shape.images * shape.height * shape.width * shape.channels)
    let dy = data.floats(shape.images * height * width * shape.channels)
    let y = KernelChecks.floats(dy.count) {
      RandomImages.crop(x, into: $0, images: shape.images, crop, seed: 4, stream: 9, workers: $1)
    }
    let dx = KernelChecks.floats(x.count) {
      RandomImages.cropBackward(dy, into: $0, images: shape.images, crop, seed: 4, stream: 9, workers: $1)
    }
    let cut = tensor(small) { n, h, w, c in
      let offset = crop.offset(random.words(at: UInt64(n)))
      return pixel(x, shape, n, h + offset.top, w + offset.left, c)
    }
    let putBack = tensor(shape) { n, h, w, c in
      let offset = crop.offset(random.words(at: UInt64(n)))
      return pixel(dy, small, n, h - offset.top, w - offset.left, c)
    }
    #expect(y == cut && dx == putBack)
  }
}
