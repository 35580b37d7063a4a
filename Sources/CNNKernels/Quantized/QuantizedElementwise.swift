import CNNCore
import CNNRuntime

/// What is done to levels one by one: the definitions.
public enum QuantizedElementwise {
  /// The levels of floats.
  public static func quantize(
    _ x: UnsafePointer<Float>, _ levels: ByteLevels, into y: UnsafeMutablePointer<UInt8>, count: Int, workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for i in range { y[i] = levels.level(of: x[i]) }
    }
  }

  /// The pixels nearest to NHWC floats, `round(x + zeroPoint)` with one for each channel, halves to the even one; NaN is 0.
  public static func quantizePixels(
    _ x: UnsafePointer<Float>, _ pixels: PixelLevels, into y: UnsafeMutablePointer<UInt8>, count: Int, workers: Workers
  ) {
    let levels = pixels.channels
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for i in range { y[i] = levels[i % levels.count].level(of: x[i]) }
    }
  }

  /// The floats that levels stand for.
  public static func dequantize(
    _ x: UnsafePointer<UInt8>, _ levels: ByteLevels, into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for i in range { y[i] = levels.value(of: x[i]) }
    }
  }

  /// For each of the 256 levels the level of what `function` makes of what it stands for: any function of one number.
  public static func table(_ input: ByteLevels, _ result: ByteLevels, _ function: (Float) -> Float) -> [UInt8] {
    (0..<256).map { result.level(of: function(input.value(of: UInt8($0)))) }
  }

  /// `y = table[x]`
  public static func look(
    up x: UnsafePointer<UInt8>, in table: UnsafePointer<UInt8>, into y: UnsafeMutablePointer<UInt8>, count: Int,
    workers: Workers
  ) {
    workers.forEachRange(of: count, grain: 4 * Workers.grainOfFloats) { range, _ in
      for i in range { y[i] = table[Int(x[i])] }
    }
  }

  /// The sum: `a * ma + (b * mb + offset)`, both fused, limited and rounded; see `QuantizedSum`.
  public static func add(
    _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ sum: QuantizedSum, into y: UnsafeMutablePointer<UInt8>,
    count: Int, workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for i in range { y[i] = sum.level(a[i], b[i]) }
    }
  }

  /// The product of images and a factor for each image and channel, or for each number where `pixels` is 1.
  /// - Parameters:
  ///   - x: `[images, pixels, channels]`.
  ///   - factor: `[images, channels]`.
  public static func multiply(
    _ x: UnsafePointer<UInt8>, by factor: UnsafePointer<UInt8>, _ product: QuantizedProduct,
    into y: UnsafeMutablePointer<UInt8>, images: Int, pixels: Int, channels: Int, workers: Workers
  ) {
    workers.forEachRange(of: images * pixels) { range, _ in
      for pixel in range {
        let image = pixel / pixels
        for channel in 0..<channels {
          let i = pixel * channels + channel
          y[i] = product.level(x[i], factor[image * channels + channel])
        }
      }
    }
  }
}

/// How two levels become that of their sum.
public struct QuantizedSum: Hashable, Sendable {
  let multiplierA, multiplierB, offset: Float
  let levels: ByteLevels

  /// Of what has levels `a` and `b`, as `levels`.
  public init(_ a: ByteLevels, _ b: ByteLevels, _ levels: ByteLevels) {
    self.levels = levels
    multiplierA = a.scale * levels.inverse
    multiplierB = b.scale * levels.inverse
    offset = Float(levels.zeroPoint)
      .addingProduct(-Float(a.zeroPoint), multiplierA)
      .addingProduct(-Float(b.zeroPoint), multiplierB)
  }

  @inline(__always)
  func level(_ a: UInt8, _ b: UInt8) -> UInt8 {
    levels.rounded(offset.addingProduct(Float(b), multiplierB).addingProduct(Float(a), multiplierA))
  }
}

/// How two levels become that of their product: `(a - za) * (b - zb)`, an integer, times a multiplier, plus the zero point.
public struct QuantizedProduct: Hashable, Sendable {
  let zeroA, zeroB: Int32
  let multiplier: Float
  let levels: ByteLevels

  /// Of what has levels `a` and `b`, as `levels`.
  public init(_ a: ByteLevels, _ b: ByteLevels, _ levels: ByteLevels) {
    (zeroA, zeroB, self.levels) = (Int32(a.zeroPoint), Int32(b.zeroPoint), levels)
    multiplier = a.scale * b.scale * levels.inverse
  }

  @inline(__always)
  func level(_ a: UInt8, _ b: UInt8) -> UInt8 {
    let product = (Int32(a) - zeroA) * (Int32(b) - zeroB)
    return levels.rounded(Float(levels.zeroPoint).addingProduct(Float(product), multiplier))
  }
}

extension QuantizedElementwise {
  /// The table of an activation function.
  public static func table(
    _ input: ByteLevels, _ result: ByteLevels, _ function: ActivationFunction, constants: SIMD4<Float>
  ) -> [UInt8] {
    let workers = Workers(count: 1)
    let numbers = (0..<256).map { input.value(of: UInt8($0)) }
    let values = [Float](unsafeUninitializedCapacity: 256) { buffer, count in
      numbers.withUnsafeBufferPointer { numbers in
        guard let x = numbers.baseAddress, let y = buffer.baseAddress else { return }
        ActivationKernels.forward(function, constants: constants, x, into: y, count: 256, workers: workers)
      }
      count = 256
    }
    return values.map { result.level(of: $0) }
  }
}
