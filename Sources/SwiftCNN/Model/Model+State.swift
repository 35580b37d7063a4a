import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// The text of the caller's under `key`, which goes with the model into copies and files; nil where there is none.
  public func metadata(_ key: String) -> String? { lock.reading { metadata[key] } }

  /// Keeps a text under `key`, which the library does not read; nil takes it away.
  /// - Throws: `.invalidArgument` for an empty key, or one that the model file has for itself.
  public func setMetadata(_ key: String, _ text: String?) throws(CNNError) {
    guard !key.isEmpty, !ModelFile.isReserved(key) else {
      throw CNNError(.invalidArgument, "the key '\(key)' is the model file's own, or empty; choose another")
    }
    lock.writing { metadata[key] = text }
  }

  /// Takes over the values of all parameters, which of them are trained, their penalties and masks, and the state of training from
  /// a model with the same parameters, paired in their order; names may differ. Texts, pixels' normalisation and the
  /// precision stay.
  /// - Throws: `.shapeMismatch` where a role or a shape differs. The model is then unchanged.
  public func copyState(of other: Model) throws(CNNError) {
    guard other !== self else { return }
    try lock.union(other.lock).writing { () throws(CNNError) in
      let pairs = Array(zip(parameters.parameters, other.parameters.parameters))
      guard parameters.parameters.count == other.parameters.parameters.count else {
        throw CNNError(
          .shapeMismatch,
          "the models have \(parameters.parameters.count) and \(other.parameters.parameters.count) parameters; "
            + "expected as many")
      }
      for (mine, theirs) in pairs where mine.shape != theirs.shape || mine.role != theirs.role {
        throw CNNError(
          .shapeMismatch,
          "'\(mine.name)' is a \(mine.role.rawValue) of shape \(describe(mine.shape)), '\(theirs.name)' a "
            + "\(theirs.role.rawValue) of shape \(describe(theirs.shape)); expected the same")
      }
      let state = try other.training?.copy(for: parameters)
      var penalties: [String: Regularizer] = [:]
      let flagged = other.network.parameters
      for (mine, theirs) in zip(network.parameters, flagged) { penalties[mine.name] = theirs.regularizer }
      for (new, old) in zip(parameters.tensors, other.parameters.tensors) {
        _ = new.values.update(fromContentsOf: old.values)
        new.isTrainable = old.isTrainable
      }
      for index in parameters.tensors.indices { parameters.setMask(other.parameters.tensors[index].mask, at: index) }
      parameters.markChanged()
      network.setRegularizers { penalties[$0.name] }
      (training, trainedOn) = (state, other.trainedOn)
      distillation?.student.trainedOn = trainedOn
      plans.removeAll()
    }
  }

  /// A model of a network as `graph` gave it and as it was written, with parameters drawn anew.
  /// - Throws: `.malformedFile` naming what is wrong with the network.
  package convenience init(network: JSON, options: CustomModelOptions = CustomModelOptions()) throws(CNNError) {
    let graph = try Graph(json: network)
    try options.check(graph.parameters)
    try self.init(
      graph, name: options.name, seed: options.seed, mean: options.mean, deviation: options.deviation)
    chosenPrecision = options.precision ?? .float32
    try setPictureOptions(preprocessing: options.preprocessing, classNames: options.classNames)
  }
}
