import CNNCore

extension Graph {
  /// The network as it trains: batch normalisation measures the batch and updates its running statistics, and ranges of
  /// rounded activations that are tracked follow those of the batch.
  ///
  /// A batch normalisation that is frozen, or of which every learned parameter is, stays in inference mode, as in Keras.
  /// Of several that share their running statistics, each goes on from what the one before has made of them.
  public func trainingForm() throws(CNNError) -> Graph {
    var statistics: [Value] = []
    var latest: [Value: Value] = [:]
    /// Puts an operation in a node's place that gives as well what becomes of the statistics among the operands, as results
    /// at the same positions.
    func train(
      _ node: Node, as operation: any Operation, statistics positions: ClosedRange<Int>,
      _ rewriter: inout GraphRewriter
    ) throws(CNNError) -> Bool {
      var operands: [Value] = []
      for operand in node.operands {
        let image = try rewriter.image(of: operand)
        operands.append(latest[image] ?? image)
      }
      let results = try rewriter.result.add(operation, operands, name: node.name)
      rewriter.map(node.results[0], to: results[0])
      for position in positions {
        let statistic = try rewriter.image(of: node.operands[position])
        if latest.updateValue(results[position], forKey: statistic) == nil { statistics.append(statistic) }
      }
      return true
    }
    var result = try rewriting { rewriter, node throws(CNNError) in
      if let rounding = node.operation as? FakeQuantizeActivation {
        guard rounding.momentum > 0, !rounding.frozen else { return false }
        return try train(node, as: FakeQuantizeActivationTraining(rounding), statistics: 1...2, &rewriter)
      }
      guard let layer = node.operation as? BatchNormalization, !layer.frozen else { return false }
      let learned = node.operands[1...2].compactMap { self.parameter(defining: $0) }
      guard learned.isEmpty || learned.contains(where: \.isTrainable) else { return false }
      return try train(node, as: BatchNormalizationTraining(layer), statistics: 3...4, &rewriter)
    }
    for statistic in statistics {
      if let value = latest[statistic] { try result.addUpdate(of: statistic, to: value) }
    }
    return result
  }

  /// The network as it predicts: dropout, stochastic depth and random flips are gone, a random crop takes the middle.
  public func inferenceForm() throws(CNNError) -> Graph {
    try rewriting { rewriter, node throws(CNNError) in
      guard let random = node.operation as? any RandomOperation else { return false }
      if let fixed = random.inferenceForm(type(of: node.operands[0])) {
        try rewriter.copy(node, as: fixed)
      } else {
        rewriter.map(node.results[0], to: try rewriter.image(of: node.operands[0]))
      }
      return true
    }
  }

  /// The network as it predicts, in training too: what a part of a network becomes that is not to be trained as such.
  public func frozenForm() throws(CNNError) -> Graph {
    for node in nodes where node.operation is RandomCrop && shape(of: node.operands[0])[1...2].contains(nil) {
      throw CNNError(.shapeMismatch, "'\(node.name)': the middle of images whose size varies cannot be fixed")
    }
    return try inferenceForm().rewriting { rewriter, node throws(CNNError) in
      guard var layer = node.operation as? BatchNormalization else { return false }
      layer.frozen = true
      try rewriter.copy(node, as: layer)
      return true
    }
  }

  /// The network with ranges of rounded activations and statistics of batch normalisations that stand in training too: what
  /// becomes of one that is trained for integers towards the end (Krishnamoorthi 2018, section 3.2.2).
  public func withStandingStatistics() throws(CNNError) -> Graph {
    try rewriting { rewriter, node throws(CNNError) in
      switch node.operation {
      case var rounding as FakeQuantizeActivation:
        rounding.frozen = true
        try rewriter.copy(node, as: rounding)
      case var layer as BatchNormalization:
        layer.frozen = true
        try rewriter.copy(node, as: layer)
      default: return false
      }
      return true
    }
  }

  /// The share of a training run after which statistics stand; nil where they do not.
  public var freeze: Double? {
    nodes.lazy.compactMap { ($0.operation as? FakeQuantizeActivation)?.freeze }.first
  }

  /// A network with a softmax before a cross-entropy of probabilities, or a sigmoid before a binary one, takes the loss
  /// from the logits: more accurate, and one pass less (Keras does the same).
  public func fusingSoftmaxIntoLoss() throws(CNNError) -> Graph {
    try rewriting { rewriter, node throws(CNNError) in
      guard var loss = node.operation as? Loss, !loss.fromLogits,
        let last = self.node(defining: node.operands[0]), loss.absorbs(last.operation)
      else { return false }
      loss.fromLogits = true
      let logits = try rewriter.image(of: last.operands[0]), target = try rewriter.image(of: node.operands[1])
      rewriter.map(node.results[0], to: try rewriter.result.addSingle(loss, [logits, target], name: node.name))
      return true
    }
  }

  /// Adds the mean loss of the first output against a target, weighted by sample, as the last output.
  ///
  /// Adds the inputs `target` and `sample_weight` (`[N]`).
  public func addingLoss(_ loss: any TrainingLoss) throws(CNNError) -> Graph {
    guard let output = outputs.first else { throw CNNError(.invalidArgument, "the graph has no output to train") }
    let prediction = type(of: output.value)
    guard let batch = prediction.shape.first else {
      throw CNNError(.shapeMismatch, "the output '\(output.name)' is a scalar; expected a batch")
    }
    var result = self
    let targetName = result.uniqueName("target"), weightName = result.uniqueName("sample_weight")
    let target = try result.addInput(targetName, loss.targetType(for: prediction))
    let weights = try result.addInput(weightName, TensorType(.float32, [batch]))
    let perSample = try loss.add(to: &result, prediction: output.value, target: target)
    let mean = try result.addSingle(WeightedMean(), [perSample, weights], name: result.uniqueName("loss.mean"))
    let isTaken = outputs.contains { $0.name == "loss" }
    try result.addOutput(isTaken ? result.uniqueName("loss") : "loss", mean)
    return result
  }
}
