import CNNCore
import CNNRuntime

/// Small things that are done to blocked tensors without generated code.
public enum BlockedElementwise {
  /// The mean over the pixels of each image.
  public static func average(
    _ x: UnsafePointer<Float>, _ tensor: BlockedTensor, into y: UnsafeMutablePointer<Float>, _ result: BlockedTensor,
    workers: Workers
  ) {
    let pixels = tensor.height * tensor.width, factor = 1 / Float(pixels)
    tensor.forEachImage(workers) { image, block in
      var source = x + tensor.byteOffset(image: image, block: block) / 4
      var sum = SIMD16<Float>()
      for _ in 0..<pixels {
        sum = sum + SIMD16<Float>.load(source)
        source += 16
      }
      (sum * factor).store(y + result.byteOffset(image: image, block: block) / 4)
    }
  }

  /// `y = x s` with a number `s` for each channel of each image.
  public static func scale(
    _ x: UnsafePointer<Float>, _ tensor: BlockedTensor, by s: UnsafePointer<Float>, _ scale: BlockedTensor,
    into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let pixels = tensor.height * tensor.width
    tensor.forEachImage(workers) { image, block in
      let offset = tensor.byteOffset(image: image, block: block) / 4
      let factor = SIMD16<Float>.load(s + scale.byteOffset(image: image, block: block) / 4)
      for pixel in 0..<pixels {
        (SIMD16<Float>.load(x + offset + pixel * 16) * factor).store(y + offset + pixel * 16)
      }
    }
  }

  /// `y = x factor(image)`
  public static func scale(
    _ x: UnsafePointer<Float>, _ tensor: BlockedTensor, by factor: (_ image: Int) -> Float,
    into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let count = tensor.height * tensor.width * BlockedTensor.blockChannels
    tensor.forEachImage(workers) { image, block in
      let offset = tensor.byteOffset(image: image, block: block) / 4, factor = factor(image)
      // What is dropped is zero whatever it was.
      if factor == 0 {
        (y + offset).update(repeating: 0, count: count)
      } else {
        for index in stride(from: offset, to: offset + count, by: 16) {
          (SIMD16<Float>.load(x + index) * factor).store(y + index)
        }
      }
    }
  }

  /// Every pixel of an image gets its share of a number for each channel: the gradient of `average`.
  public static func spread(
    _ x: UnsafePointer<Float>, _ small: BlockedTensor, into y: UnsafeMutablePointer<Float>, _ tensor: BlockedTensor,
    workers: Workers
  ) {
    let pixels = tensor.height * tensor.width, factor = 1 / Float(pixels)
    tensor.forEachImage(workers) { image, block in
      let share = SIMD16<Float>.load(x + small.byteOffset(image: image, block: block) / 4) * factor
      var target = y + tensor.byteOffset(image: image, block: block) / 4
      for _ in 0..<pixels {
        share.store(target)
        target += 16
      }
    }
  }
}
