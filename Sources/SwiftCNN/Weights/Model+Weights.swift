import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// Replaces the parameters by those of a file: safetensors, or PyTorch's `.pth` or `.pt`, named as torchvision, timm,
  /// efficientnet_pytorch or this library name them.
  ///
  /// `num_batches_tracked` is passed over. Where the file's classifier has another number of classes, the network's keeps
  /// the values it has, and the report says so.
  /// - Parameter strict: whether it is an error that something is missing, left over or misshapen. Else what fits is
  ///   taken, and the report lists the rest.
  /// - Returns: what was loaded, and what not.
  /// - Throws: `.inputOutput`; `.malformedFile` for a damaged file and, if `strict`, for one that does not fit, with a
  ///   list. The model is then unchanged.
  @discardableResult
  public func loadWeights(_ path: String, strict: Bool = true) throws(CNNError) -> WeightsReport {
    let file = try openTensorFile(path)
    return try lock.writing { () throws(CNNError) in
      let match = WeightsMatch(file, network, passingOver: ModelFile.isPassedOver(in: file))
      if strict, !match.report.isComplete {
        throw CNNError(.malformedFile, "the weights in '\(path)' do not fit the network; \(match.report.faults)")
      }
      // All are read before the first is replaced.
      let loaded = try ParameterStorage(parameters.parameters)
      var positions: [String: Int] = [:]
      for (position, source) in match.sources.enumerated() { if let source { positions[source] = position } }
      for name in file.names {
        if let position = positions[name] { try file.read(name, into: loaded.values(at: position)) }
      }
      for (position, source) in match.sources.enumerated() where source != nil {
        setValues(at: position, UnsafeBufferPointer(loaded.values(at: position)))
      }
      weightsReport = match.report
      trainedOn = ModelFile.trainedOn(file)
      return match.report
    }
  }

  /// What the last file of weights had for this model; nil where none was loaded.
  public var lastWeightsReport: WeightsReport? { lock.reading { weightsReport } }

  /// Writes the parameters alone, whole or not at all: as PyTorch's `.pth` where the path ends in `.pth` or `.pt`, else as
  /// safetensors.
  /// - Parameter naming: how the tensors are named, so that another library's model of this kind takes them.
  /// - Throws: `.inputOutput` naming the path; `.invalidArgument` where the network has no names by that convention.
  public func saveWeights(_ path: String, naming: WeightNaming = .native) throws(CNNError) {
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
            name: names[position], shape: parameter.shape, type: .float32,
            bytes: UnsafeRawBufferPointer(parameters.values(at: position))))
      }
      if path.hasSuffix(".pth") || path.hasSuffix(".pt") {
        try TorchWriter.write(to: path, tensors: tensors)
      } else {
        try SafetensorsWriter.write(to: path, tensors: tensors, metadata: ["format": "pt"])
      }
    }
  }
}
