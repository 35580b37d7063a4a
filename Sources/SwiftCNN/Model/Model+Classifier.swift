import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// Replaces the last dense layer by one for that many classes, with weights drawn from `seed`; every other parameter
  /// stays as it is, shared with the same models. How the model is trained is forgotten: call `compile` again; so are the
  /// names of the classes.
  /// - Throws: `.invalidArgument` for fewer classes than 1, or where the network does not end in a dense layer. The model
  ///   is then unchanged.
  public func resetClassifier(classes: Int, seed: UInt64 = 0) throws(CNNError) {
    try lock.writing { () throws(CNNError) in
      let fresh = Set(try network.classifier().operands.compactMap { network.parameter(defining: $0)?.name })
      let changed = try network.replacingClassifier(units: classes)
      var kept: [String: ParameterTensor] = [:]
      for (parameter, tensor) in zip(parameters.parameters, parameters.tensors) where !fresh.contains(parameter.name) {
        kept[parameter.name] = tensor
      }
      let storage = try ParameterStorage(changed.parameters, sharing: kept, lock: parameters.blocks[0].lock)
      storage.initialize(seed: seed)
      (network, parameters, training, knownClasses) = (changed, storage, nil, .unknown)
      plans.removeAll()
    }
  }
}
