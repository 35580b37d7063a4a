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
    var given: [DistillationLoss.TeacherResult] = []
    for name in results {
      let shape = try teacher.lockedResultShape(of: name, forSamples: sampleShapes)
      given.append(DistillationLoss.TeacherResult(name: name, shape: shape))
    }
    return DistillationLoss(own, studentWeight: options.studentWeight, comparisons, teacherResults: given)
  }

  /// The samples of a run over arrays that a batch has, which the teacher may have seen before.
  struct Drawn {
    /// Their places in the data; nil where each is another each time, being changed at random.
    let places: UnsafeBufferPointer<Int32>?
    /// How many the data has.
    let sampleCount: Int
    /// The number of samples of a full batch.
    let batchSize: Int
    /// Where the run keeps what the teacher has said.
    let store: Store
  }

  /// What a run keeps; empty until the first batch.
  final class Store {
    var cache: TeacherCache?
  }

  /// What the teacher says of a batch, in the order of `results`; it stays until the next call. The caller has both models.
  ///
  /// Of a run over arrays all passes are of one size, that of a full batch at most, so that what is said of a sample is the
  /// same bits in whichever batch it is.
  func teacherResults(_ x: Samples, _ drawn: Drawn? = nil) throws(CNNError) -> [UnsafeRawPointer] {
    do throws(CNNError) {
      var sizes: [Int] = []
      for name in results {
        let shape = try teacher.lockedResultShape(of: name, forSamples: x.arrays.map(\.sampleShape))
        sizes.append(try Checked.product(shape, "the teacher's results"))
      }
      var destinations: [UnsafeMutableBufferPointer<Float>] = []
      for (index, size) in sizes.enumerated() {
        destinations.append(try room(index, count: Checked.product([x.count, size], "the teacher's results")))
      }
      let found = room.prefix(results.count).map { UnsafeRawPointer($0.base) }
      let places = options.caches ? drawn?.places : nil
      if let drawn, let places {
        if drawn.store.cache == nil {
          drawn.store.cache = try TeacherCache(samples: drawn.sampleCount, sizes: sizes)
        }
        if drawn.store.cache?.read(places, into: destinations) == true { return found }
      }
      let served = try teacher.served(x)
      defer { withExtendedLifetime(served) {} }
      try predict(served, sizes, passSize: drawn?.batchSize ?? x.count, into: destinations)
      if let places { drawn?.store.cache?.write(places, from: destinations) }
      return found
    } catch { throw error.prefixed("the teacher '\(teacher.name)'") }
  }

  /// Room for `count` numbers at this place.
  private func room(_ index: Int, count: Int) throws(CNNError) -> UnsafeMutableBufferPointer<Float> {
    if index >= room.count || room[index].byteCount < count * 4 {
      let new = try Memory(count: count, of: .float32, for: "the teacher's results")
      if index < room.count { room[index] = new } else { room.append(new) }
    }
    return UnsafeMutableBufferPointer(rebasing: room[index].floats[..<count])
  }

  /// Predicts in passes of one size; the last is filled up.
  private func predict(
    _ x: Samples, _ sizes: [Int], passSize: Int, into destinations: [UnsafeMutableBufferPointer<Float>]
  ) throws(CNNError) {
    let size = try min(passSize, teacher.imagesPerPass(x, threads: Threads.count))
    let whole = x.count / size * size
    func parts(_ range: Range<Int>) -> [UnsafeMutableBufferPointer<Float>] {
      zip(destinations, sizes).map {
        UnsafeMutableBufferPointer(rebasing: $0[range.lowerBound * $1..<range.upperBound * $1])
      }
    }
    if whole > 0 {
      try teacher.lockedPredict(x[0..<whole], batchSize: size, outputs: results, into: parts(0..<whole))
    }
    guard whole < x.count else { return }
    let left = x.count - whole
    var filled: [TensorView] = [], inputs: [Memory] = []
    for array in x[whole..<x.count].arrays {
      let memory = try Memory(byteCount: Checked.product([size, array.sampleByteCount], "batch"), for: "batch")
      memory.base.copyMemory(from: array.base, byteCount: left * array.sampleByteCount)
      inputs.append(memory)
      filled.append(TensorView(array.element, shape: [size] + array.sampleShape, base: memory.base))
    }
    defer { withExtendedLifetime(inputs) {} }
    var outputs: [Memory] = []
    for count in sizes { outputs.append(try Memory(count: size * count, of: .float32, for: "the teacher's results")) }
    try teacher.lockedPredict(Samples(arrays: filled), batchSize: size, outputs: results, into: outputs.map(\.floats))
    for (part, output) in zip(parts(whole..<x.count), outputs) {
      _ = part.update(fromContentsOf: output.floats[..<part.count])
    }
  }
}
