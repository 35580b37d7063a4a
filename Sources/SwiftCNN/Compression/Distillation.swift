import CNNCompiler
import CNNCore
import CNNGraph

/// Who teaches a model, and what of.
///
/// Unchecked, since the room for results is touched by whoever has the model alone.
final class Distillation: @unchecked Sendable {
  let teacher: Model
  /// The model that learns, without its teacher and the projections; it shares its parameters with the one that trains.
  let student: Model
  let options: DistillationOptions
  /// The results of the teacher's network that are compared, each once, and with what.
  let results: [String], comparisons: [DistillationLoss.Comparison]
  private var room: [Memory] = []

  init(
    of student: Model, teacher: Model, _ options: DistillationOptions, results: [String],
    _ comparisons: [DistillationLoss.Comparison]
  ) {
    (self.student, self.teacher, self.options) = (student, teacher, options)
    (self.results, self.comparisons) = (results, comparisons)
  }

  /// The same for a copy of the parameters.
  func copy(for parameters: ParameterStorage) throws(CNNError) -> Distillation {
    let copy = try Model(
      uninitialized: student.network, name: student.name, mean: student.pixelNormalization.mean,
      deviation: student.pixelNormalization.deviation, sharing: parameters.byName)
    copy.takeDescription(of: student)
    return Distillation(of: copy, teacher: teacher, options, results: results, comparisons)
  }

  /// The loss of one who learns, for samples of these shapes. The caller has both models.
  func loss(_ own: any TrainingLoss, for sampleShapes: [[Int]]) throws(CNNError) -> DistillationLoss {
    try DistillationLoss(
      own, studentWeight: options.studentWeight, comparisons, teacherResults: results(forSamples: sampleShapes))
  }

  /// What the teacher says of a batch, in the order of `results`; it stays until the next call. The caller has both models.
  ///
  /// Of a run over arrays all passes are of one size, that of a full batch at most, so that what is said of a sample is the
  /// same bits in whichever batch it is.
  /// - Parameter teaching: the run that the batch is of.
  func teacherResults(_ x: Samples, _ teaching: Teaching? = nil) throws(CNNError) -> [UnsafeRawPointer] {
    do throws(CNNError) {
      let kept = try results(forSamples: x.arrays.map(\.sampleShape))
      var destinations: [UnsafeMutableBufferPointer<Float>] = []
      for (index, result) in kept.enumerated() {
        destinations.append(try room(index, count: Checked.product([x.count] + result.shape, "the teacher's results")))
      }
      let passSize = try min(teaching?.batchSize ?? x.count, teacher.imagesPerPass(x, threads: Threads.count))
      let cache = try teaching?.cache(of: kept, forSamples: x.arrays.map(\.sampleShape), parameters: teacher.parameters)
      let keys = cache == nil ? [] : x.hashes(seed: UInt64(truncatingIfNeeded: passSize))
      let unknown = cache.map { cache in keys.indices.filter { !cache.read(keys[$0], into: destinations, row: $0) } }
      if let unknown { try teaching?.requireKnown(unknown.count < x.count) }
      let asked = unknown ?? Array(0..<x.count)
      if !asked.isEmpty {
        let served = try teacher.served(x)
        defer { withExtendedLifetime(served) {} }
        try predict(asked, of: served, passSize: passSize, into: destinations)
      }
      if let cache { for row in asked { try cache.add(keys[row], from: destinations, row: row) } }
      return room.prefix(results.count).map { UnsafeRawPointer($0.base) }
    } catch { throw error.prefixed("the teacher '\(teacher.name)'") }
  }

  /// The results that are compared, of samples of these shapes.
  private func results(forSamples shapes: [[Int]]) throws(CNNError) -> [DistillationLoss.TeacherResult] {
    var found: [DistillationLoss.TeacherResult] = []
    for name in results {
      found.append(.init(name: name, shape: try teacher.lockedResultShape(of: name, forSamples: shapes)))
    }
    return found
  }

  /// Room for `count` numbers at this place.
  private func room(_ index: Int, count: Int) throws(CNNError) -> UnsafeMutableBufferPointer<Float> {
    if index >= room.count || room[index].byteCount < count * 4 {
      let new = try Memory(count: count, of: .float32, for: "the teacher's results")
      if index < room.count { room[index] = new } else { room.append(new) }
    }
    return UnsafeMutableBufferPointer(rebasing: room[index].floats[..<count])
  }

  /// Predicts some samples in passes of one size; the last is filled up.
  private func predict(
    _ asked: [Int], of x: Samples, passSize: Int, into destinations: [UnsafeMutableBufferPointer<Float>]
  ) throws(CNNError) {
    let sizes = destinations.map { $0.count / x.count }
    func rows(_ first: Int, _ count: Int) -> [UnsafeMutableBufferPointer<Float>] {
      zip(destinations, sizes).map { UnsafeMutableBufferPointer(rebasing: $0[first * $1..<(first + count) * $1]) }
    }
    for start in stride(from: 0, to: asked.count, by: passSize) {
      let pass = asked[start..<min(start + passSize, asked.count)]
      if let first = pass.first, pass.count == passSize, pass.last == first + passSize - 1 {
        try teacher.lockedPredict(
          x[first..<first + passSize], batchSize: passSize, outputs: results, into: rows(first, passSize))
        continue
      }
      var filled: [TensorView] = [], memories: [Memory] = []
      for array in x.arrays {
        let size = array.sampleByteCount
        let memory = try Memory(byteCount: Checked.product([passSize, size], "batch"), for: "batch")
        for (row, sample) in pass.enumerated() {
          (memory.base + row * size).copyMemory(from: array.base + sample * size, byteCount: size)
        }
        memories.append(memory)
        filled.append(TensorView(array.element, shape: [passSize] + array.sampleShape, base: memory.base))
      }
      defer { withExtendedLifetime(memories) {} }
      var outputs: [Memory] = []
      for size in sizes {
        outputs.append(try Memory(count: passSize * size, of: .float32, for: "the teacher's results"))
      }
      try teacher.lockedPredict(
        Samples(arrays: filled), batchSize: passSize, outputs: results, into: outputs.map(\.floats))
      for (index, size) in sizes.enumerated() {
        for (row, sample) in pass.enumerated() {
          let said = UnsafeMutableBufferPointer(rebasing: outputs[index].floats[row * size..<(row + 1) * size])
          _ = rows(sample, 1)[index].update(fromContentsOf: said)
        }
      }
    }
  }
}
