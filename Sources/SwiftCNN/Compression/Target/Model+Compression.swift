import CNNCore

extension Model {
  /// A model that reaches a target: fewer channels (`pruned`), trained by what this model says of the samples
  /// (`distilled(from:)`), in integers of 8 bits (`quantized`). This model stays as it is.
  ///
  ///     let small = try model.compressed(
  ///       training: (images, labels), validation: (others, theirLabels),
  ///       options: CompressionOptions(.speedup(4), maximumDrop: 1, timeLimit: 1200, folder: "small"))
  ///     print(small.compressionReport)
  ///
  /// One half of the validation samples, drawn by the seed, decides which model is taken: the most accurate of those that
  /// reach the target and lose no more than `options.maximumDrop` points. The other half is held back and tells what was
  /// lost. Where no model does, the nearest that loses no more is given, and the report says why.
  ///
  /// With `options.folder` every model on the way is written there as it is made, with the report and a chart; a run that
  /// was ended in whatever way goes on from there when it is begun again.
  /// - Parameters:
  ///   - training: samples as `trainOnBatch` takes them, of which some hundred are those that integers are calibrated by,
  ///     and their targets.
  ///   - validation: samples, and their labels, int32 or uint8 `[N]`, or float32 `[N, classes]`, of which the largest counts.
  ///   - options: towards what, and how.
  ///   - fit: the batch size, flips, crops and class weights of training. How long it is follows of `options`.
  ///   - onStage: is told what begins; an error that it throws ends the run.
  /// - Throws: `.invalidArgument` or `.unknownName` for options, a folder of another compression, or data that does not fit,
  ///   `.shapeMismatch` likewise; `.invalidState` for a model that is quantised; `.inputOutput` for the folder.
  public func compressed<X: ModelInput, Y: TensorConvertible, VX: ModelInput, VY: TensorConvertible>(
    training: (x: X, y: Y), validation: (x: VX, y: VY), options: CompressionOptions,
    fit: FitOptions = FitOptions(batchSize: 128),
    onStage: @escaping (CompressionStage) throws(CNNError) -> Void = { _ throws(CNNError) in }
  ) throws(CNNError) -> Model {
    try fit.validate()
    let y = try training.y.view, labels = try validation.y.view
    let (x, held) = try lock.reading { () throws(CNNError) in
      (try samples(training.x), try Validation(self, validation.x, labels))
    }
    let data = ArrayCompressionData(x: x, y: y, validation: held, fit: fit, onStage: onStage)
    return try compressed(with: data, calibration: x, options: options)
  }

  /// The same with data of any kind.
  /// - Parameters:
  ///   - data: what models are trained and measured with.
  ///   - calibration: images as `predict` takes them, a few hundred like those that will come.
  ///   - options: towards what, and how.
  public func compressed(
    with data: some CompressionData, calibration: some ModelInput, options: CompressionOptions
  ) throws(CNNError) -> Model {
    try options.validate()
    let x = try lock.reading { () throws(CNNError) in
      try requireNoRoundings(to: "compress")
      guard distillation == nil else {
        throw CNNError(.invalidState, "'\(name)' is taught by another model; compress its student")
      }
      _ = try skipping(options.skip, among: network)
      return try samples(calibration)
    }
    guard data.stepsPerEpoch > 0 else {
      throw CNNError(.invalidArgument, "there are no batches to train on; expected one an epoch at least")
    }
    var search = try CompressionSearch(self, data, x, options)
    return try search.run()
  }

  /// What the compression that has made this model, or the one it was copied from, has found on the way; nil for a model that
  /// none has made.
  public var compressionReport: CompressionReport? { lock.reading { compression } }
}
