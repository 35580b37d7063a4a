import CNNRuntime

/// The two passes of resizing: along rows, then along columns. Each result is rounded to a byte.
///
/// Pixels are bytes and weights have 16 bits in each of their halves, so the products below are those of the instruction
/// that multiplies 16-bit numbers to 32 bits. Sums may wrap around in between; the result does not.
enum ResamplingKernels {
  /// The upper and the lower halves of weighted sums.
  private struct Sums {
    var upper = SIMD4<Int32>.zero, lower = SIMD4<Int32>.zero

    @inline(__always)
    mutating func add(_ pixels: SIMD4<Int32>, _ upperWeight: SIMD4<Int32>, _ lowerWeight: SIMD4<Int32>) {
      upper &+= pixels &* upperWeight
      lower &+= pixels &* lowerWeight
    }

    /// The bytes: rounded, and kept within 0...255.
    @inline(__always)
    var bytes: SIMD4<Int32> {
      let sum = (upper &<< ResamplingWeights.lowerBits) &+ lower &+ (1 << (ResamplingWeights.precision - 1))
      return (sum &>> ResamplingWeights.precision).clamped(
        lowerBound: .zero, upperBound: SIMD4(repeating: 255))
    }
  }

  /// Four bytes as numbers.
  @inline(__always)
  private static func load(_ bytes: UnsafePointer<UInt8>) -> SIMD4<Int32> {
    let word = UnsafeRawPointer(bytes).loadUnaligned(as: UInt32.self)
    return SIMD4<Int32>(truncatingIfNeeded: unsafeBitCast(word, to: SIMD4<UInt8>.self))
  }

  /// One number in all places.
  @inline(__always)
  private static func splat(_ value: Int16) -> SIMD4<Int32> { SIMD4(repeating: Int32(value)) }

  /// Rows made wider or narrower.
  /// - Parameters:
  ///   - source: the first row; what it has is `rowLength` bytes from row to row, and readable for some bytes beyond.
  ///   - target: `rows` times `weights.places.count` pixels.
  static func alongRows(
    _ weights: ResamplingWeights, from source: UnsafePointer<UInt8>, rowLength: Int, rows: Int, channels: Int,
    to target: UnsafeMutablePointer<UInt8>, workers: Workers
  ) {
    let targetLength = weights.places.count * channels
    workers.forEachRange(of: rows, grain: 4) { range, _ in
      for row in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
        // Fewer rows than four at the end: the last one several times.
        func at(_ index: Int) -> Int { min(row + index, range.upperBound - 1) }
        let sources = (
          source + at(0) * rowLength, source + at(1) * rowLength, source + at(2) * rowLength,
          source + at(3) * rowLength
        )
        let targets = (
          target + at(0) * targetLength, target + at(1) * targetLength, target + at(2) * targetLength,
          target + at(3) * targetLength
        )
        if channels == 1 {
          greyRows(weights, sources, targets)
        } else if channels == 3 {
          colorRows(weights, sources, targets, channels: 3)
        } else {
          colorRows(weights, sources, targets, channels: 4)
        }
      }
    }
  }

  private typealias FourRows = (
    UnsafePointer<UInt8>, UnsafePointer<UInt8>, UnsafePointer<UInt8>, UnsafePointer<UInt8>
  )
  private typealias FourTargets = (
    UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<UInt8>
  )

  /// Four rows at once, a pixel of three or four channels in a vector: the weights are read once for four.
  @inline(__always)
  private static func colorRows(
    _ weights: ResamplingWeights, _ sources: FourRows, _ targets: FourTargets, channels: Int
  ) {
    for place in weights.places {
      let (first, count) = weights.window(place), weight = weights.weights(place)
      var sums = (Sums(), Sums(), Sums(), Sums())
      var offset = first &* channels
      for index in 0..<count {
        let upper = splat(weight[index].upper), lower = splat(weight[index].lower)
        sums.0.add(load(sources.0 + offset), upper, lower)
        sums.1.add(load(sources.1 + offset), upper, lower)
        sums.2.add(load(sources.2 + offset), upper, lower)
        sums.3.add(load(sources.3 + offset), upper, lower)
        offset &+= channels
      }
      let start = (place &- weights.places.lowerBound) &* channels
      store(sums.0.bytes, targets.0 + start, channels)
      store(sums.1.bytes, targets.1 + start, channels)
      store(sums.2.bytes, targets.2 + start, channels)
      store(sums.3.bytes, targets.3 + start, channels)
    }
  }

  @inline(__always)
  private static func store(_ values: SIMD4<Int32>, _ target: UnsafeMutablePointer<UInt8>, _ channels: Int) {
    for channel in 0..<channels { target[channel] = UInt8(truncatingIfNeeded: values[channel]) }
  }

  /// Four rows at once, four pixels of one channel in a vector.
  private static func greyRows(_ weights: ResamplingWeights, _ sources: FourRows, _ targets: FourTargets) {
    for place in weights.places {
      let (first, count) = weights.window(place), weight = weights.weights(place)
      var sums = (Sums(), Sums(), Sums(), Sums())
      for index in stride(from: 0, to: count, by: 4) {
        let four = weight + index, offset = first &+ index
        let upper = SIMD4<Int32>(
          Int32(four[0].upper), Int32(four[1].upper), Int32(four[2].upper), Int32(four[3].upper))
        let lower = SIMD4<Int32>(
          Int32(four[0].lower), Int32(four[1].lower), Int32(four[2].lower), Int32(four[3].lower))
        sums.0.add(load(sources.0 + offset), upper, lower)
        sums.1.add(load(sources.1 + offset), upper, lower)
        sums.2.add(load(sources.2 + offset), upper, lower)
        sums.3.add(load(sources.3 + offset), upper, lower)
      }
      let start = place &- weights.places.lowerBound
      targets.0[start] = total(sums.0)
      targets.1[start] = total(sums.1)
      targets.2[start] = total(sums.2)
      targets.3[start] = total(sums.3)
    }
  }

  @inline(__always)
  private static func total(_ sums: Sums) -> UInt8 {
    let all = Sums(
      upper: SIMD4(sums.upper.wrappedSum(), 0, 0, 0), lower: SIMD4(sums.lower.wrappedSum(), 0, 0, 0))
    return UInt8(truncatingIfNeeded: all.bytes[0])
  }

  /// Columns made longer or shorter: rows that are sums of rows.
  /// - Parameters:
  ///   - source: where row 0 would be, of which only the needed ones are there; `rowLength` bytes from row to row.
  ///   - count: the bytes of a row that are used.
  ///   - target: `weights.places.count` rows of `count` bytes.
  static func alongColumns(
    _ weights: ResamplingWeights, from source: UnsafePointer<UInt8>, rowLength: Int, count: Int,
    to target: UnsafeMutablePointer<UInt8>, workers: Workers
  ) {
    workers.forEachRange(of: weights.places.count) { range, _ in
      for index in range {
        let place = weights.places.lowerBound + index, window = weights.window(place)
        let rows = source + window.first * rowLength, row = target + index * count, weights = weights.weights(place)
        var column = 0
        while column &+ 8 <= count {
          var sums = (Sums(), Sums())
          var bytes = rows + column
          for tap in 0..<window.count {
            let weight = weights[tap], upper = splat(weight.upper), lower = splat(weight.lower)
            sums.0.add(load(bytes), upper, lower)
            sums.1.add(load(bytes + 4), upper, lower)
            bytes += rowLength
          }
          store(sums.0.bytes, row + column, 4)
          store(sums.1.bytes, row + column + 4, 4)
          column &+= 8
        }
        while column < count {
          var sums = Sums()
          for tap in 0..<window.count {
            let weight = weights[tap]
            sums.add(
              splat(Int16(rows[column + tap * rowLength])), splat(weight.upper), splat(weight.lower))
          }
          row[column] = UInt8(truncatingIfNeeded: sums.bytes[0])
          column &+= 1
        }
      }
    }
  }
}
