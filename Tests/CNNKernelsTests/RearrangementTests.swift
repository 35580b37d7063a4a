import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

private let orders: [SIMD4<Int>] = {
  var result: [SIMD4<Int>] = []
  for a in 0..<4 {
    for b in 0..<4 where b != a {
      for c in 0..<4 where c != a && c != b { result.append([a, b, c, 6 - a - b - c]) }
    }
  }
  return result
}()

private let shapes: [SIMD4<Int>] = [
  [1, 1, 1, 1], [2, 3, 5, 7], [1, 17, 1, 33], [3, 1, 40, 1], [64, 3, 3, 3], [2, 33, 35, 41], [0, 3, 2, 2],
  [1, 1, 300, 257],
]

/// For every element of the transposed tensor, its index in the source.
private func sourceIndices(_ shape: SIMD4<Int>, _ order: SIMD4<Int>) -> [Int] {
  let stride: SIMD4<Int> = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1]
  var result: [Int] = []
  for i in 0..<shape[order[0]] {
    for j in 0..<shape[order[1]] {
      for k in 0..<shape[order[2]] {
        for l in 0..<shape[order[3]] {
          result.append(i * stride[order[0]] + j * stride[order[1]] + k * stride[order[2]] + l * stride[order[3]])
        }
      }
    }
  }
  return result
}

@Test(arguments: teamSizes)
func permuteIsNumPysTranspose(_ workers: Int) throws {
  let team = Workers(count: workers)
  for shape in shapes {
    let count = shape[0] * shape[1] * shape[2] * shape[3]
    let x = randomFloats(count, seed: 1)
    let bytes = x.map { UInt8(truncatingIfNeeded: Int($0 * 1000)) }
    for order in orders {
      let indices = sourceIndices(shape, order)
      let y = try GuardedFloats(count)
      Rearrangement.permute(x, shape: shape, order: order, into: y.pointer, workers: team)
      #expect(y.isIntact && y.values == indices.map { x[$0] }, "\(shape) by \(order)")
      var yBytes = [UInt8](repeating: 0xAA, count: count + 1)
      Rearrangement.permute(bytes, shape: shape, order: order, into: &yBytes, workers: team)
      #expect(yBytes == indices.map { bytes[$0] } + [0xAA])
    }
  }
}

@Test(arguments: teamSizes)
func channelsAreConcatenatedAndSlicedBack(_ workers: Int) throws {
  let team = Workers(count: workers)
  for (rows, parts) in [(1, [1]), (5, [3, 17, 1]), (77, [16, 20, 33]), (2003, [40, 3])] {
    let channels = parts.reduce(0, +)
    let inputs = parts.enumerated().map { randomFloats(rows * $1, seed: UInt64($0)) }
    let y = try GuardedFloats(rows * channels)
    var offset = 0
    for (part, input) in zip(parts, inputs) {
      Rearrangement.copyChannels(
        input, sourceChannels: part, sourceOffset: 0, into: y.pointer, channels: channels, offset: offset, count: part,
        rows: rows, workers: team)
      offset += part
    }
    let expected = (0..<rows).flatMap { row in
      zip(parts, inputs).flatMap { part, input in input[row * part..<(row + 1) * part] }
    }
    #expect(y.isIntact && y.values == expected)
    offset = 0
    for (part, input) in zip(parts, inputs) {
      let slice = try GuardedFloats(rows * part)
      Rearrangement.copyChannels(
        y.pointer, sourceChannels: channels, sourceOffset: offset, into: slice.pointer, channels: part, offset: 0,
        count: part, rows: rows, workers: team)
      #expect(slice.isIntact && slice.values == input)
      offset += part
    }
  }
}

@Test(arguments: teamSizes)
func paddingSurroundsWithZerosAndCropRemovesThem(_ workers: Int) throws {
  let team = Workers(count: workers)
  let cases: [(Int, Int, Int, Int, Rearrangement.Border)] = [
    (1, 1, 1, 1, .init(top: 0, bottom: 0, left: 0, right: 0)),
    (2, 3, 5, 3, .init(top: 1, bottom: 2, left: 0, right: 3)),
    (3, 4, 2, 17, .init(top: 0, bottom: 1, left: 2, right: 0)),
    (5, 31, 29, 20, .init(top: 3, bottom: 0, left: 1, right: 1)),
  ]
  for (images, height, width, channels, border) in cases {
    let x = randomFloats(images * height * width * channels, seed: 1)
    let paddedHeight = height + border.top + border.bottom, paddedWidth = width + border.left + border.right
    var expected: [Float] = []
    for n in 0..<images {
      for row in 0..<paddedHeight {
        for column in 0..<paddedWidth {
          let i = row - border.top, j = column - border.left
          let inside = i >= 0 && i < height && j >= 0 && j < width
          for c in 0..<channels { expected.append(inside ? x[((n * height + i) * width + j) * channels + c] : 0) }
        }
      }
    }
    let y = try GuardedFloats(expected.count), back = try GuardedFloats(x.count)
    Rearrangement.pad(
      x, images: images, height: height, width: width, channels: channels, border: border, into: y.pointer,
      workers: team)
    #expect(y.isIntact && y.values == expected)
    Rearrangement.crop(
      y.pointer, images: images, height: height, width: width, channels: channels, border: border,
      into: back.pointer, workers: team)
    #expect(back.isIntact && back.values == x)
  }
}
