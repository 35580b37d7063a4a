import CNNCore
import CNNRuntime

/// One sum per worker over its part of the work, added up afterwards in the order of the workers.
///
/// The first worker's sum is the result itself.
struct PartialSums {
  private let result: UnsafeMutablePointer<Float>
  private let others: UnsafeMutablePointer<Float>
  private let count: Int

  /// Sums of `count` floats; `others` has room for `otherFloatCount(count, workers:)`.
  init(result: UnsafeMutablePointer<Float>, others: UnsafeMutablePointer<Float>, count: Int) {
    self.result = result
    self.others = others
    self.count = count
  }

  /// The sum that a worker adds to.
  func sum(ofWorker worker: Int) -> UnsafeMutablePointer<Float> {
    worker == 0 ? result : others + (worker - 1) * cacheLineRounded(count)
  }

  /// Adds the sums of the first `parts` workers into the result.
  func reduce(parts: Int, workers: Workers) {
    if parts <= 1 { return }
    workers.forEachRange(of: count, grain: 16) { range, _ in
      for worker in 1..<parts {
        let from = sum(ofWorker: worker)
        for i in range { result[i] += from[i] }
      }
    }
  }

  /// Room for the sums of all workers but the first.
  static func otherFloatCount(_ count: Int, workers: Workers) throws(CNNError) -> Int {
    try Checked.product([cacheLineRounded(count), workers.count - 1], "convolution workspace")
  }
}

extension Workers {
  /// The number of parts that `forEachRange` divides `total` into; the first workers get one each.
  func partCount(of total: Int, grain: Int = 1) -> Int { min(count, (total + grain - 1) / grain) }
}
