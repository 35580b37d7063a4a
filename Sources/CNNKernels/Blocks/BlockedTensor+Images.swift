import CNNCore
import CNNRuntime

extension BlockedTensor {
  /// Calls `body` for each image of each block, divided among the workers.
  func forEachImage(_ workers: Workers, _ body: (_ image: Int, _ block: Int) -> Void) {
    workers.forEachRange(of: blocks * images) { range, _ in
      for unit in range { body(unit % images, unit / images) }
    }
  }
}
