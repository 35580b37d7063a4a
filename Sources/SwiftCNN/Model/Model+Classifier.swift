import CNNCompiler
import CNNCore
import CNNGraph

extension Model {
  /// Replaces the last dense layer by one for that many classes, with weights drawn from `seed`; every other parameter
  /// keeps its value. How the model is trained is forgotten: call `compile` again.
  /// - Throws: `.invalidArgument` for fewer classes than 1, or where the network does not end in a dense layer. The model
  ///   is then unchanged.
  public func resetClassifier(classes: Int, seed: UInt64 = 0) throws(CNNError) {
    try lock.writing { () throws(CNNError) in
      let fresh = Set(try network.classifier().operands.compactMap { network.parameter(defining: $0)?.name })
      let changed = try network.replacingClassifier(units: classes)
      let storage = try ParameterStorage(changed.parameters)
      storage.initialize(seed: seed, where: { fresh.contains($0.name) })
      for (position, parameter) in storage.parameters.enumerated() where !fresh.contains(parameter.name) {
        _ = storage.values(at: position).update(fromContentsOf: parameters.values(at: position))
      }
      (network, parameters, training) = (changed, storage, nil)
      plans.removeAll()
    }
  }
}
