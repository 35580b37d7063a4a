import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// Replaces the parameters by those of a file: safetensors, or PyTorch's `.pth` or `.pt`, named as torchvision, timm,
  /// efficientnet_pytorch or this library name them.
  ///
  /// In a checkpoint the tensors are found wherever they lie and behind whatever prefix, averaged ones first; the report
  /// says where. `num_batches_tracked` is passed over. Where the file's classifier has another number of classes, the
  /// network's keeps the values it has, and the report says so.
  /// - Parameters:
  ///   - path: the file.
  ///   - strict: whether it is an error that something is missing, left over or misshapen; a first convolution for another
  ///     number of channels is converted by timm's rule. Else what fits as it stands is taken, and the report lists the
  ///     rest.
  /// - Returns: what was loaded, and what not.
  /// - Throws: `.inputOutput`; `.malformedFile` for a damaged file, for one of which nothing fits and, if `strict`, for one
  ///   that does not fit as a whole, with a list. The model is then unchanged.
  @discardableResult
  public func loadWeights(from path: String, strict: Bool = true) throws(CNNError) -> WeightsReport {
    let file = try openTensorFile(path)
    return try lock.writing { () throws(CNNError) in
      let match = WeightsMatch(
        file, network, cutOff: cutOff, convertsChannels: strict, passingOver: ModelFile.isPassedOver(in: file))
      let matchesNothing = match.report.loaded == 0 && !parameters.parameters.isEmpty
      if matchesNothing || strict && !match.report.isComplete {
        throw unfitting(file, match.report, matchesNothing: matchesNothing)
      }
      // All are read before the first is replaced.
      let loaded = try ParameterStorage(parameters.parameters)
      var positions: [String: Int] = [:]
      for (position, source) in match.sources.enumerated() { if let source { positions[source] = position } }
      for name in file.names {
        guard let position = positions[name] else { continue }
        let destination = loaded.values(at: position), shape = parameters.parameters[position].shape
        if let channels = match.channels[position] {
          let count = try Checked.product([shape[0], channels] + shape[2...], "'\(name)'")
          let stored = try Memory(count: count, of: .float32, for: "'\(name)'")
          try file.read(name, into: stored.floats)
          InputChannels.convert(UnsafeBufferPointer(stored.floats), channels: channels, into: destination, shape: shape)
        } else {
          try file.read(name, into: destination)
        }
      }
      for (position, source) in match.sources.enumerated() where source != nil {
        setValues(at: position, UnsafeBufferPointer(loaded.values(at: position)))
      }
      weightsReport = match.report
      trainedOn = ModelFile.trainedOn(file)
      warnings.haveToldOfWeights()
      return match.report
    }
  }

  private func unfitting(_ file: any TensorFile, _ report: WeightsReport, matchesNothing: Bool) -> CNNError {
    var text =
      matchesNothing
      ? "no tensor in '\(file.path)' has name and shape of one of the network's \(parameters.parameters.count) parameters"
      : "the weights in '\(file.path)' do not fit the network"
    let place = [report.source, report.prefix].filter { !$0.isEmpty }.joined(separator: "/")
    if !place.isEmpty { text += " (they are under '\(place)')" }
    text += "; \(report.faults)"
    if let name = (file as? TorchFile)?.networkClass { text += "; the file has \(TorchPickle.wholeNetwork(name))" }
    return CNNError(.malformedFile, text)
  }

  /// What the last file of weights had for this model; nil where none was loaded.
  public var lastWeightsReport: WeightsReport? { lock.reading { weightsReport } }

  /// Writes the parameters alone, whole or not at all: as PyTorch's `.pth` where the path ends in `.pth`, `.pt` or `.bin`,
  /// else as safetensors.
  /// - Parameters:
  ///   - path: where.
  ///   - naming: how the tensors are named, so that another library's model of this kind takes them.
  ///   - precision: what the file has of them, as of `write(to:includingTrainingState:precision:)`.
  /// - Throws: `.inputOutput` naming the path; `.invalidArgument` where the network has no names by that convention,
  ///   and for a path that ends as files of another format do.
  public func writeWeights(to path: String, naming: WeightNaming = .native, precision: Precision = .float32)
    throws(CNNError)
  {
    let format = try FileEnding.format(of: path, for: .weights)
    try lock.reading { () throws(CNNError) in
      guard let names = naming.names(of: parameters.parameters), names.count == parameters.parameters.count else {
        throw CNNError(
          .invalidArgument,
          "naming is '\(naming.rawValue)', in which '\(name)' has no names; expected "
            + WeightNaming.allCases.filter { $0.names(of: parameters.parameters) != nil }.map { "'\($0.rawValue)'" }
            .joined(separator: ", "))
      }
      var tensors: [SafetensorsWriter.Tensor] = []
      for (position, parameter) in parameters.parameters.enumerated() {
        tensors.append(
          .init(
            name: names[position], shape: parameter.shape, type: .float32, storedAs: StoredType(precision),
            bytes: UnsafeRawBufferPointer(parameters.values(at: position))))
      }
      if format == .torch {
        try TorchWriter.write(to: path, tensors: tensors)
      } else {
        try SafetensorsWriter.write(to: path, tensors: tensors, metadata: ["format": "pt"])
      }
    }
  }
}
