import CNNCompiler
import CNNCore
import CNNGraph

/// How a teacher is asked in one training run: in which batches, and what is kept of it. For whoever has the model alone.
final class Teaching {
  /// The samples of a full batch; nil where batches come one by one.
  let batchSize: Int?
  private let isKept: Bool
  private var file: TeacherCacheFile?
  private var cache: TeacherCache?
  /// Whether it is still to be seen that the file is of this data.
  private var isDoubtful = false
  private let version: Int

  /// Prepares a run, whose caller has both models: over `data` before any change, or nil where it comes batch by batch; one
  /// that `resumes` a checkpoint may be in an epoch that a file has nothing of yet.
  /// - Throws: as `TeacherCacheFile.read()`.
  init(_ distillation: Distillation, data: Samples?, batchSize: Int?, resumes: Bool) throws(CNNError) {
    self.batchSize = batchSize
    let options = distillation.options, teacher = distillation.teacher
    isKept = options.keepsResults
    version = teacher.parameters.wholeVersion
    guard let path = options.cacheFile else { return }
    var file = TeacherCacheFile(
      path: path, teacher: try teacher.predictionHash(), results: distillation.results,
      places: distillation.results.compactMap { teacher.network.value(named: $0).map(teacher.network.place) },
      data: data.map { ContentHash.ofSet($0.hashes(seed: 0)) })
    do throws(CNNError) {
      let known = try file.read()
      (cache, isDoubtful) = (known?.cache, known.map { !$0.isOfThisData && $0.cache.count > 0 && !resumes } ?? false)
    } catch { throw error.prefixed("\(option: "cache_file")") }
    self.file = file
  }

  /// What is kept of the teacher's results, for samples of these shapes; nil where nothing is.
  /// - Throws: `.shapeMismatch` where it is of others; `.invalidState` where the teacher has changed since the run began.
  func cache(
    of results: [DistillationLoss.TeacherResult], forSamples shapes: [[Int]], parameters: ParameterStorage
  ) throws(CNNError) -> TeacherCache? {
    guard isKept else { return nil }
    guard parameters.wholeVersion == version else {
      throw CNNError(
        .invalidState, "its parameters have changed since the run began, and what it said before is kept; begin another"
      )
    }
    if let cache {
      guard cache.results == results, cache.sampleShapes == shapes else {
        func text(_ shapes: [[Int]]) -> String { shapes.map(describe).joined(separator: ", ") }
        throw CNNError(
          .shapeMismatch,
          "what is kept is of samples of \(text(cache.sampleShapes)); these are of \(text(shapes)); expected the same")
      }
      return cache
    }
    let new = try TeacherCache(results: results, sampleShapes: shapes)
    cache = new
    return new
  }

  /// Notes whether anything of the first batch was in the file.
  /// - Throws: `.invalidArgument` where nothing was.
  func requireKnown(_ isAnyKnown: Bool) throws(CNNError) {
    defer { isDoubtful = false }
    guard isDoubtful, !isAnyKnown, let file else { return }
    throw CNNError(
      .invalidArgument,
      "'\(file.path)' has none of the samples of the first batch: it is a cache of another data set, or of samples that "
        + "were changed by another seed or otherwise; expected one of this data, or a new name")
  }

  /// Brings to the file what has come since.
  /// - Throws: `.inputOutput` naming it, `.outOfMemory`.
  func save() throws(CNNError) {
    guard let cache, cache.isChanged, let file else { return }
    try file.write(cache)
  }
}

extension ParameterStorage {
  fileprivate var wholeVersion: Int { version(of: Array(parameters.indices)) }
}

extension Samples {
  /// The hash of what each sample has.
  func hashes(seed: UInt64) -> [ContentHash] {
    (0..<count).map { sample in
      var hash = ContentHash(seed: seed)
      for array in arrays {
        let size = array.sampleByteCount
        hash.add(UnsafeRawBufferPointer(start: array.base + sample * size, count: size))
      }
      return hash
    }
  }
}
