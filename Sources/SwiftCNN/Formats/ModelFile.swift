import CNNCompiler
import CNNCore
import CNNGraph

/// The model file: safetensors, with the network and what belongs to it in the metadata.
///
/// Any safetensors reader sees the parameters under their names. Beside them are long lists of the network's numbers, see
/// `ListTensors`, the masks of sparse parameters, and in a checkpoint the optimizer's tensors.
enum ModelFile {
  static let graphKey = "swiftcnn.graph", modelKey = "swiftcnn.model", trainingKey = "swiftcnn.training"
  static let notesKey = "swiftcnn.notes"
  /// The keys that are the library's own.
  static func isReserved(_ key: String) -> Bool {
    key == "format" || [graphKey, modelKey, trainingKey, notesKey].contains(key)
  }

  /// The name of the bytes of a checkpoint's notes.
  static let notesTensor = "training.notes"

  /// The name of the bytes of a checkpoint's sums of metrics.
  static let measuresTensor = "training.measures"

  /// Before the names of the masks of parameters, as in `swiftcnn.mask.fc.weight`: tensors of bits.
  static let maskPrefix = "swiftcnn.mask."

  /// Before the names of the optimizer's tensors, as in `optimizer.velocity/fc.weight`.
  static let optimizerPrefix = "optimizer."

  static func optimizerTensor(_ slot: String, _ parameter: String) -> String {
    "\(optimizerPrefix)\(slot)/\(parameter)"
  }

  /// What the model was trained on whose file this is; nil for other files.
  static func trainedOn(_ file: any TensorFile) -> InputValues? {
    guard let text = (file as? SafetensorsFile)?.metadata[modelKey] else { return nil }
    return (try? object(text)).flatMap(InputValues.init(in:))
  }

  /// Tells which tensors of a file are passed over: PyTorch's counters of batches, in a file of this library the lists and
  /// masks of its network, and in a checkpoint the optimizer's and the notes'.
  static func isPassedOver(in file: any TensorFile) -> (_ name: String) -> Bool {
    let metadata = (file as? SafetensorsFile)?.metadata
    let hasNetwork = metadata?[graphKey] != nil, isCheckpoint = metadata?[trainingKey] != nil
    return { name in
      name == "num_batches_tracked" || name.hasSuffix(".num_batches_tracked")
        || hasNetwork && (name.hasPrefix(ListTensors.prefix) || name.hasPrefix(maskPrefix))
        || isCheckpoint && (name.hasPrefix(optimizerPrefix) || name == notesTensor || name == measuresTensor)
    }
  }
}

extension Model {
  /// Writes the model to one file, whole or not at all.
  /// - Parameters:
  ///   - path: where; it ends in `.safetensors`, or as no other format does.
  ///   - includingTrainingState: whether training can go on from the file in the same bits.
  ///   - precision: what the file has of the parameters, means and variances included: with `.bfloat16` each is rounded to
  ///     the nearest, and the file has half the size. The model itself, and what is read from the file, is float32.
  /// - Throws: `.inputOutput` naming the path; `.invalidState` where there is no training state to write;
  ///   `.invalidArgument` for a path that ends as files of another format do, and for a training state in another
  ///   precision than float32.
  public func write(to path: String, includingTrainingState: Bool = false, precision: Precision = .float32)
    throws(CNNError)
  {
    _ = try FileEnding.format(of: path, for: .checkpoint)
    try withContents(includingTrainingState, precision) { (tensors, metadata) throws(CNNError) in
      try SafetensorsWriter.write(to: path, tensors: tensors, metadata: metadata)
    }
  }

  /// Writes what `write(to:includingTrainingState:precision:)` writes to memory, where it fits in.
  /// - Returns: how many bytes it is. Where `destination` has fewer nothing is written: ask with an empty one first.
  /// - Throws: `.invalidState` where there is no training state to write; `.invalidArgument` for one in another precision
  ///   than float32.
  public func write(
    into destination: UnsafeMutableRawBufferPointer, includingTrainingState: Bool = false,
    precision: Precision = .float32
  ) throws(CNNError) -> Int {
    try withContents(includingTrainingState, precision) { (tensors, metadata) throws(CNNError) in
      try SafetensorsWriter.write(into: destination, tensors: tensors, metadata: metadata)
    }
  }

  /// Calls `body` with the tensors and metadata of the model's file, which stay as they are until it returns.
  private func withContents<Result>(
    _ includingTrainingState: Bool, _ precision: Precision,
    _ body: ([SafetensorsWriter.Tensor], [String: String]) throws(CNNError) -> Result
  ) throws(CNNError) -> Result {
    guard precision == .float32 || !includingTrainingState else {
      throw CNNError(
        .invalidArgument,
        "\(option: "dtype", swift: "precision") is '\(precision.rawValue)', in which training could not go on in the same "
          + "bits; expected 'float32', or a file without the training state")
    }
    // Projections belong to the training alone.
    if !includingTrainingState, let student = distillation?.student {
      return try student.withContents(includingTrainingState, precision, body)
    }
    return try lock.reading { () throws(CNNError) in
      let network = networkWithFlags
      let (text, lists) = ListTensors.separated(network)
      let masks = try MaskTensors(network)
      defer { withExtendedLifetime(masks) {} }
      var header = JSONObject()
      // The second has lists of the network as tensors, the third masks.
      header["format"] = .integer(masks.isEmpty ? lists.isEmpty ? 1 : 2 : 3)
      header["name"] = .string(name)
      header["mean"] = .array(pixelNormalization.mean.map { .number($0) })
      header["std"] = .array(pixelNormalization.deviation.map { .number($0) })
      header["preprocessing"] = .object(lockedPreprocessing.json)
      header["class_names"] = lockedClassNames.map { .strings($0) } ?? .null
      header["trained_on"] = trainedOn.map { .string($0.rawValue) } ?? .null
      if let record = knownQuantization { header["quantization"] = record.json }
      // Of the parameters in the file, and of predictions.
      header["dtype"] = .string(precision.rawValue)
      header["precision"] = .string(chosenPrecision.rawValue)
      var metadata = [
        // What PyTorch's writer sets, and some of its readers ask for.
        "format": "pt",
        ModelFile.graphKey: try text.serialized(),
        ModelFile.modelKey: try JSON.object(header).serialized(),
      ]
      metadata.merge(self.metadata) { own, _ in own }
      var tensors: [SafetensorsWriter.Tensor] = []
      var measured: Memory?
      defer { withExtendedLifetime(measured) {} }
      let levels = network.weightLevels
      func append(_ storage: ParameterStorage, levels: [String: WeightLevels] = [:], name: (String) -> String) {
        for (position, parameter) in storage.parameters.enumerated() {
          tensors.append(
            .init(
              name: name(parameter.name), shape: parameter.shape, type: .float32, storedAs: StoredType(precision),
              levels: levels[parameter.name], bytes: UnsafeRawBufferPointer(storage.values(at: position))))
        }
      }
      append(parameters, levels: includingTrainingState ? [:] : levels) { $0 }
      tensors += masks.tensors
      let numbers = try Memory(
        count: lists.reduce(0) { $0 + $1.numbers.count }, of: .float32, for: "the network's lists")
      defer { withExtendedLifetime(numbers) {} }
      var end = 0
      for list in lists {
        let start = end
        end += list.numbers.count
        _ = numbers.floats[start..<end].update(fromContentsOf: list.numbers)
        tensors.append(
          .init(
            name: list.name, shape: [list.numbers.count], type: .float32,
            bytes: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: numbers.floats[start..<end]))))
      }
      if includingTrainingState {
        let state = try compiled()
        var training = JSONObject()
        training["settings"] = .object(state.settings.json)
        training["schedule"] = state.schedule.json
        training["step"] = .integer(Int64(state.step))
        training["epoch"] = .integer(Int64(state.epoch))
        training["batch"] = .integer(Int64(state.batch))
        training["epoch_start"] = .integer(Int64(state.epochStart))
        training["schedule_start"] = .integer(Int64(state.scheduleStart))
        let counts = state.measures.counts
        training["sums"] = .integers(counts.sums)
        training["sums_classes"] = .integers(counts.classes)
        training["learning_rate"] = state.learningRate.map { .number($0) } ?? .null
        if state.optimizer.isExchanged { training["exchanged"] = true }
        metadata[ModelFile.trainingKey] = try JSON.object(training).serialized()
        for (slot, storage) in state.optimizer.state {
          append(storage) { ModelFile.optimizerTensor(slot, $0) }
        }
        measured = try state.measures.bytes()
        if let measured {
          let bytes = UnsafeRawBufferPointer(start: measured.base, count: measured.byteCount)
          tensors.append(
            .init(name: ModelFile.measuresTensor, shape: [bytes.count], type: .uint8, bytes: bytes))
        }
        if let notes = state.notes {
          metadata[ModelFile.notesKey] = notes.text
          tensors.append(
            .init(name: ModelFile.notesTensor, shape: [notes.data.byteCount], type: .uint8, bytes: notes.bytes))
        }
      }
      return try body(tensors, metadata)
    }
  }

  /// Reads a model file.
  /// - Throws: `.inputOutput`, or `.malformedFile` naming what is wrong, and of a file of another kind, what it is.
  public convenience init(contentsOf path: String) throws(CNNError) {
    if isFolder(path) { throw ForeignFile(folder: path, for: .model).error(path, expected: "a model file") }
    try self.init(FileReader(path: path))
  }

  /// Reads the bytes of a model file in memory, which are copied.
  /// - Throws: `.malformedFile`, as `init(contentsOf:)`.
  public convenience init(bytes: UnsafeRawBufferPointer) throws(CNNError) {
    try self.init(FileReader(bytes: bytes, name: "model in memory"))
  }

  private convenience init(_ opened: FileReader) throws(CNNError) {
    let path = opened.path
    if let foreign = try ForeignFile(opened, for: .model) { throw foreign.error(path, expected: "a model file") }
    let file = try SafetensorsFile(opened)
    guard let graphText = file.metadata[ModelFile.graphKey], let modelText = file.metadata[ModelFile.modelKey] else {
      throw CNNError(
        .malformedFile,
        "'\(path)' has weights but no network; \(ForeignFile.building)")
    }
    do throws(CNNError) {
      let header = try ModelFile.object(modelText)
      guard try (1...3).contains(header.integer("format")) else {
        throw CNNError(.malformedFile, "format \(try header.integer("format")) is not known; expected 1 to 3")
      }
      let graph = try MaskTensors.joined(file.readNetwork(graphText), of: file)
      // Before memory is taken for a network that the file does not have.
      try ParameterStorage.check(graph.parameters, against: file)
      try self.init(
        uninitialized: graph, name: header.string("name"), mean: header.numbers("mean"),
        deviation: header.numbers("std"))
      // Files of the first releases have neither; the model then has its builder's.
      try setPictureOptions(
        preprocessing: header.optionalObject("preprocessing"), classNames: header.optionalStrings("class_names"))
      if header["class_names"] == .null { knownClasses = .unknown }
      trainedOn = InputValues(in: header)
      if let word = try header.optionalString("precision") { chosenPrecision = try PrecisionPolicy(named: word) }
      metadata = file.metadata.filter { !ModelFile.isReserved($0.key) }
      try parameters.load(from: file)
      if let known = try header.optionalObject("quantization") { setQuantization(try QuantizationRecord(json: known)) }
      if let trainingText = file.metadata[ModelFile.trainingKey] {
        training = try TrainingState(ModelFile.object(trainingText), file, parameters)
      }
    } catch {
      // Whatever rule a file's contents break, the file is at fault.
      let isFilesFault = error.code != .outOfMemory && error.code != .inputOutput
      let place = error.mentions(path) ? error : error.prefixed("'\(path)'")
      throw isFilesFault ? place.coded(.malformedFile) : place
    }
  }
}

extension InputValues {
  /// What a model was trained on, as its file says; nil where it says nothing that is known.
  init?(in header: JSONObject) {
    guard let word = header["trained_on"]?.stringValue else { return nil }
    self.init(rawValue: word)
  }
}

extension ModelFile {
  static func object(_ text: String) throws(CNNError) -> JSONObject {
    guard let object = try JSON(parsing: text).objectValue else {
      throw CNNError(.malformedFile, "the metadata is not an object")
    }
    return object
  }
}

extension ParameterStorage {
  /// Compares the names and shapes of a network's parameters with a file's tensors.
  /// - Throws: `.malformedFile` with a list of what differs.
  fileprivate static func check(_ parameters: [Parameter], against file: SafetensorsFile) throws(CNNError) {
    var report = WeightsReport(path: file.path, naming: .native)
    for parameter in parameters {
      guard let tensor = file[parameter.name] else {
        report.missing.append(parameter.name)
        continue
      }
      if tensor.shape != parameter.shape {
        report.misshapen.append("\(parameter.name) \(describe(tensor.shape)) instead of \(describe(parameter.shape))")
      }
    }
    let isPassedOver = ModelFile.isPassedOver(in: file), known = Set(parameters.map(\.name))
    report.leftOver = file.names.filter { !known.contains($0) && !isPassedOver($0) }
    guard report.isComplete else {
      throw CNNError(.malformedFile, "the weights in '\(file.path)' do not fit the network; \(report.faults)")
    }
  }

  /// Reads every parameter from the file, by its own name.
  ///
  /// At once, not when a plan first packs it, so that a loaded model no longer depends on its file. (Packing straight from
  /// the file would make a process that only predicts smaller by the weights, 21 MB of efficientnet_b0's 83, and 3 ms
  /// faster.)
  fileprivate func load(from file: SafetensorsFile) throws(CNNError) {
    for (position, parameter) in parameters.enumerated() { try file.read(parameter.name, into: values(at: position)) }
    markChanged()
  }
}

extension TrainingState {
  /// Reads what `Model.save` wrote of the training.
  fileprivate convenience init(_ object: JSONObject, _ file: SafetensorsFile, _ parameters: ParameterStorage)
    throws(CNNError)
  {
    try self.init(TrainingSettings(json: object.object("settings")), parameters: parameters)
    schedule = try LearningRateSchedule(object["schedule"] ?? .null, "schedule")
    step = try object.integer("step")
    epoch = try object.integer("epoch")
    batch = try object.integer("batch")
    epochStart = try object.integer("epoch_start")
    scheduleStart = try object.integer("schedule_start")
    try readMeasures(object, file)
    learningRate = try object.optionalNumber("learning_rate")
    optimizer.isExchanged = try object.optionalBool("exchanged") ?? false
    let limit = 1 << 40
    guard (0...limit).contains(step), (0...limit).contains(epoch), (0...limit).contains(batch),
      (0...step).contains(epochStart), (0...step).contains(scheduleStart),
      learningRate.map({ $0 >= 0 }) ?? true
    else { throw CNNError(.malformedFile, "the training state has a count out of range") }
    for (slot, storage) in optimizer.state {
      for (position, parameter) in parameters.parameters.enumerated() {
        try file.read(ModelFile.optimizerTensor(slot, parameter.name), into: storage.values(at: position))
      }
    }
    if let text = file.metadata[ModelFile.notesKey] {
      let data = try Memory(byteCount: file[ModelFile.notesTensor]?.byteRange.count ?? 0, for: "notes")
      if data.byteCount > 0 {
        try file.readBytes(
          ModelFile.notesTensor, into: UnsafeMutableRawBufferPointer(start: data.base, count: data.byteCount))
      }
      notes = TrainingNotes(text: text, data: data)
    }
  }

  /// Reads the sums of the metrics.
  private func readMeasures(_ object: JSONObject, _ file: SafetensorsFile) throws(CNNError) {
    if let samples = try object.optionalInteger("samples") {
      // As files were written when all metrics were means.
      return try measures.restore(sums: object.numbers("sums"), samples: samples)
    }
    let bytes = try Memory(byteCount: file[ModelFile.measuresTensor]?.byteRange.count ?? 0, for: "metrics")
    let all = UnsafeMutableRawBufferPointer(start: bytes.base, count: bytes.byteCount)
    if bytes.byteCount > 0 { try file.readBytes(ModelFile.measuresTensor, into: all) }
    try measures.restore(
      counts: object.integers("sums"), classes: object.integers("sums_classes"), from: UnsafeRawBufferPointer(all))
  }
}
