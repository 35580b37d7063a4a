import CNNCore
import CNNGraph

extension Model {
  /// Trains on pictures in folders, for each epoch in a new order and, where the folder's options say so, with new random
  /// changes.
  ///
  ///     let options = ImageFolderOptions(augmentation: PictureAugmentation(crop: RandomResizedCrop()))
  ///     try model.fit(ImageFolder("train", options: options), validation: ImageFolder("val"), epochs: 5)
  ///
  /// A model without class names takes those of the folder, where it has as many classes; of one with names the folders
  /// are looked up among these. Validation is as `evaluate(_:usingAverage:)`; of a model that learns of a teacher, `takeWarning()`
  /// tells where that is no better there.
  /// - Parameters:
  ///   - given: what is trained on.
  ///   - validation: what is evaluated after each epoch; its classes are among those of `folder`.
  ///   - epochs: training ends before the epoch of this number, counted from 0.
  ///   - initialEpoch: the number of the first epoch.
  ///   - resumes: whether to go on from a loaded checkpoint's epoch and batch.
  ///   - onStep: called after each step; returning false ends training, weights kept.
  /// - Returns: for each epoch the means of loss and metrics, and those of `validation` where there is one, with `val_` before their
  ///   names.
  /// - Throws: as `trainOnBatch`, `folder(_:for:like:)` and `ImageFolderBatches.next`.
  @discardableResult
  public func fit(
    _ given: ImageFolder, validation: ImageFolder? = nil, epochs: Int = 1, initialEpoch: Int = 0,
    resumes: Bool = false,
    onStep: (TrainingRun.Progress) throws(CNNError) -> Bool = { _ throws(CNNError) in true }
  ) throws(CNNError) -> [TrainingResults] {
    let folder = try folder(given, for: .training)
    let validation = try validation.map { (other) throws(CNNError) in
      do throws(CNNError) {
        return try self.folder(other, for: .evaluation, like: folder)
      } catch { throw error.prefixed("validation") }
    }
    guard folder.batchCount > 0 else {
      throw CNNError(.invalidArgument, "the folder has fewer pictures than a batch, which is left out")
    }
    let run = try TrainingRun(
      self,
      options: FitOptions(
        epochs: epochs, initialEpoch: initialEpoch, resumes: resumes, batchesPerEpoch: folder.batchCount))
    var history: [TrainingResults] = []
    // What the teacher of a model that learns of one gives on the validation data.
    var taught: [Double] = []
    while !run.progress.finished {
      let start = run.progress
      let batches = try folder.batches(epoch: start.epoch)
      for _ in 0..<start.batch { _ = try batches.next() }
      var results = start.results
      while let batch = try batches.next() {
        var progress = try run.step(batch.x, batch.y)
        if batch.isLast {  // before its number says so, where files could not be read
          try run.endEpoch()
          (progress.epochEnded, progress.finished) = (true, run.progress.finished)
        }
        results = progress.results
        if try !onStep(progress) { return history + [results] }
      }
      try run.endEpoch()
      if let validation {
        let measured = try evaluate(arranged: validation, usingAverage: false)
        results = results.validated(measured)
        if distillation != nil {
          if taught.isEmpty {
            taught = try measuredTeacher().evaluate(arranged: validation, usingAverage: false).values
          }
          try compare(measured.values, withTeacher: taught)
        }
      }
      history.append(results)
    }
    return history
  }

  /// The loss and the metrics over pictures in folders, each once and without random changes; names decide which class a
  /// picture is of. Without training.
  /// - Throws: as `evaluate(_:_:)`, `folder(_:for:like:)` and `ImageFolderBatches.next`.
  public func evaluate(_ folder: ImageFolder, usingAverage: Bool = false) throws(CNNError) -> TrainingResults {
    try evaluate(arranged: self.folder(folder, for: .evaluation), usingAverage: usingAverage)
  }

  private func evaluate(arranged folder: ImageFolder, usingAverage: Bool) throws(CNNError) -> TrainingResults {
    let batches = try folder.batches()
    var names: [String] = [], sums: [Double] = [], count = 0
    while let batch = try batches.next() {
      let results = try evaluate(batch.x, batch.y, batchSize: batch.count, usingAverage: usingAverage)
      if sums.isEmpty { (names, sums) = (results.names, results.values.map { _ in 0 }) }
      for (index, value) in results.values.enumerated() { sums[index] += value * Double(batch.count) }
      count += batch.count
    }
    return TrainingResults(names, sums.map { $0 / Double(count) })
  }
}
