import CNNCore
import CNNRuntime

/// Small things that are done to blocked tensors without generated code.
public enum BlockedElementwise {
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
}
