import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// The arrays that a training run draws its batches from; they stay in place as long as the run.
///
/// The order and augmentation of an epoch are functions of (seed, first step); augmentation may be that of a few epochs in turn.
final class TrainingSet {
  /// The samples of a step, with their targets and weights; valid until the next are drawn.
  struct Batch {
    let x: Samples
    let y: TensorView
    let weights: TensorView?
  }

  let x: Samples
  private let y: TensorView
  private let sampleWeight: TensorView?
  private let options: FitOptions
  private let batchSize: Int
  private let order: Memory
  private var orderedEpoch: Int?
  /// Room for the samples of a batch, for each input; none where they lie in the data as they are wanted.
  private let xBatches: [Memory]
  private let yBatch: Memory
  private let weightBatch: Memory?

  /// Takes data for `model`, whose caller has it alone.
  /// - Parameter batchSize: how many samples a batch has; nil: all of them, in their order.
  init(
    _ model: Model, _ state: TrainingState, _ given: some ModelInput, _ y: TensorView, _ sampleWeight: TensorView?,
    _ options: FitOptions, batchSize: Int?
  ) throws(CNNError) {
    let samples = try model.samples(given)
    try model.checkTargets(samples, y, sampleWeight, state.settings.lossOperation(for: model.network))
    x = try model.learned(samples, state)
    (self.y, self.sampleWeight) = (y, sampleWeight)
    var options = options
    if batchSize == nil { options.shuffles = false }
    self.options = options
    guard x.count <= Int(Int32.max) else {
      throw CNNError(.outOfMemory, "x has \(x.count) samples; expected \(Int32.max) at most")
    }
    guard options.classWeights.isEmpty || (y.element == .int32 && y.sampleByteCount == 4) else {
      throw CNNError(
        .invalidArgument, "\(option: "class_weight", swift: "classWeights") needs one int32 label a sample")
    }
    guard x.arrays.contains(where: { $0.shape.count == 4 }) || (options.cropPadding == 0 && !options.flipsHorizontally)
    else {
      throw CNNError(.invalidArgument, "flips and crops need images [N, height, width, channels]")
    }
    let room = min(batchSize ?? x.count, x.count)
    self.batchSize = batchSize ?? x.count
    order = try Memory(count: x.count, of: .int32, for: "order of the samples")
    let gathersSamples = options.shuffles || options.cropPadding > 0 || options.flipsHorizontally
    var xBatches: [Memory] = []
    for array in x.arrays where gathersSamples {
      xBatches.append(try Memory(byteCount: Checked.product([room, array.sampleByteCount], "batch"), for: "batch"))
    }
    self.xBatches = xBatches
    yBatch = try Memory(byteCount: Checked.product([room, y.sampleByteCount], "labels"), for: "labels")
    let isWeighted = sampleWeight != nil || !options.classWeights.isEmpty
    weightBatch = isWeighted ? try Memory(count: room, of: .float32, for: "sample weights") : nil
  }

  /// How many batches an epoch has.
  var batchCount: Int { (x.count - 1) / batchSize + 1 }

  /// How many samples its batches have.
  var batchSizes: Set<Int> { [min(batchSize, x.count), (x.count - 1) % batchSize + 1] }

  /// Draws the batch of this number of an epoch that begins with the step `epochStart`, changed at random as samples are in an
  /// epoch that begins with the step `changesStart`.
  func batch(_ number: Int, epoch: Int, epochStart: Int, changesStart: Int, seed: UInt64) -> Batch {
    let start = number * batchSize
    let count = min(batchSize, x.count - start)
    let chosen = UnsafePointer(orderOfEpoch(epoch, epochStart, seed) + start)
    gather(chosen, count, seed, RandomStream.augmentation(epochStart: changesStart))
    let samples =
      xBatches.isEmpty
      ? x[start..<start + count]
      : Samples(
        arrays: zip(x.arrays, xBatches).map { array, batch in
          TensorView(array.element, shape: [count] + array.sampleShape, base: batch.base)
        })
    return Batch(
      x: samples, y: TensorView(y.element, shape: [count] + y.sampleShape, base: yBatch.base),
      weights: weightBatch.map { TensorView(.float32, shape: [count], base: $0.base) })
  }

  /// The order of the samples in this epoch.
  private func orderOfEpoch(_ epoch: Int, _ epochStart: Int, _ seed: UInt64) -> UnsafeMutablePointer<Int32> {
    let base = order.base.assumingMemoryBound(to: Int32.self)
    if orderedEpoch != epoch {
      let all = UnsafeMutableBufferPointer(start: base, count: x.count)
      if options.shuffles {
        Augmentation.shuffle(all, seed: seed, stream: RandomStream.order(epochStart: epochStart))
      } else {
        for index in all.indices { all[index] = Int32(truncatingIfNeeded: index) }
      }
      orderedEpoch = epoch
    }
    return base
  }

  /// Copies the chosen samples, augmented, with their targets and weights.
  ///
  /// Between two steps, in the threads that then make the step: it takes less than a thousandth of one, and a thread of its
  /// own would take the same time from them.
  private func gather(_ chosen: UnsafePointer<Int32>, _ count: Int, _ seed: UInt64, _ stream: UInt64) {
    for (array, batch) in zip(x.arrays, xBatches) { gatherSamples(of: array, chosen, count, seed, stream, into: batch) }
    let targetBytes = y.sampleByteCount
    for position in 0..<count {
      (yBatch.base + position * targetBytes).copyMemory(
        from: y.base + Int(chosen[position]) * targetBytes, byteCount: targetBytes)
    }
    guard let weights = weightBatch?.floats else { return }
    let labelsPerSample = targetBytes / 4
    for position in 0..<count {
      let sample = Int(chosen[position])
      var weight = sampleWeight.map { $0.base.assumingMemoryBound(to: Float.self)[sample] } ?? 1
      if !options.classWeights.isEmpty {
        let label = y.base.assumingMemoryBound(to: Int32.self)[sample * labelsPerSample]
        weight *= Float(options.classWeights[Int(label)] ?? 1)
      }
      weights[position] = weight
    }
  }

  private func gatherSamples(
    of x: TensorView, _ chosen: UnsafePointer<Int32>, _ count: Int, _ seed: UInt64, _ stream: UInt64,
    into batch: Memory
  ) {
    let workers = Workers(count: Threads.count)
    let shape = x.sampleShape
    // Samples that are not images are copied as rows of one pixel. Several images of a sample are changed alike.
    let isImage = shape.count == 3
    let settings = Augmentation.Settings(
      height: isImage ? shape[0] : 1, width: isImage ? shape[1] : 1,
      channels: isImage ? shape[2] : shape.reduce(1, *), cropPadding: isImage ? options.cropPadding : 0,
      flipsHorizontally: isImage && options.flipsHorizontally)
    switch x.element.byteCount {
    case 1:
      Augmentation.gather(
        x.base.assumingMemoryBound(to: UInt8.self), indices: chosen, count: count, settings: settings, seed: seed,
        epoch: stream, into: batch.base.assumingMemoryBound(to: UInt8.self), workers: workers)
    default:
      Augmentation.gather(
        x.base.assumingMemoryBound(to: Float.self), indices: chosen, count: count, settings: settings, seed: seed,
        epoch: stream, into: batch.base.assumingMemoryBound(to: Float.self), workers: workers)
    }
  }
}
