import CNNGraph
import CNNRuntime

extension Compiler {
  /// How many images a prediction should compute at once.
  ///
  /// Weights are read once for all images of a pass, but from batch to batch what lies between two layers grows, and once
  /// it leaves the last cache every layer waits for memory: ResNet-50 takes 7 % longer an image with 32 images at a time
  /// than with 4. So the largest tensor gets half of the last cache, and every thread at least one image.
  /// - Parameters:
  ///   - one: the network for one image.
  ///   - threads: what a pass is divided by.
  public static func imagesPerPass(_ one: Graph, threads: Int) -> Int {
    let largest = one.nodes.flatMap(\.results).map { one.type(of: $0).byteCount }.max() ?? 1
    let perThread = Double(HostProcessor.lastCacheByteCount / 2) / Double(max(1, largest)) / Double(threads)
    return max(1, Int(min(perThread, 1e6).rounded())) * threads
  }
}
