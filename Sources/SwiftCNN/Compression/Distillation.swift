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

  /// What the teacher says of a batch, in the order of `results`; it stays until the next call. The caller has both models.
  func teacherResults(_ x: Samples) throws(CNNError) -> [UnsafeRawPointer] {
    do throws(CNNError) {
      let served = try teacher.served(x)
      defer { withExtendedLifetime(served) {} }
      var destinations: [UnsafeMutableBufferPointer<Float>] = []
      for (index, name) in results.enumerated() {
        let shape = try teacher.lockedOutputShape(for: served, output: name)
        let count = try Checked.product(shape, "the teacher's results")
        if index >= room.count || room[index].byteCount < count * 4 {
          let new = try Memory(count: count, of: .float32, for: "the teacher's results")
          if index < room.count { room[index] = new } else { room.append(new) }
        }
        destinations.append(UnsafeMutableBufferPointer(rebasing: room[index].floats[..<count]))
      }
      try teacher.lockedPredict(served, batchSize: served.count, outputs: results, into: destinations)
      return room.prefix(results.count).map { UnsafeRawPointer($0.base) }
    } catch { throw error.prefixed("the teacher '\(teacher.name)'") }
  }
}
