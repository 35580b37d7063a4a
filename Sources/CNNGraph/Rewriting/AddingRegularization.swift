import CNNCore

extension Graph {
  /// Adds the penalties of the trainable parameters that have a regulariser to the last output, the loss.
  ///
  /// The same graph where there are none.
  public func addingRegularization() throws(CNNError) -> Graph {
    guard let loss = outputs.last else { throw CNNError(.internalFault, "there is no loss to regularise") }
    var result = self
    var total = loss.value
    for parameter in parameters where parameter.isTrainable {
      guard let regularizer = parameter.regularizer, let value = value(named: parameter.name) else { continue }
      let penalty = try result.addSingle(
        Regularization(regularizer), [value], name: result.uniqueName("\(parameter.name).penalty"))
      total = try result.addSingle(Add(), [total, penalty], name: result.uniqueName("\(loss.name).regularized"))
    }
    if total != loss.value {
      try result.setOutputs(outputs.dropLast().map { ($0.name, $0.value) } + [(loss.name, total)])
    }
    return result
  }
}
