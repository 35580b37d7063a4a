import CNNCore
import CNNGraph

extension Model {
  /// A model whose smallest weights are 0 and stay so, in training too: this one with masks (Han et al. 2015; Zhu and Gupta
  /// 2017).
  ///
  ///     let sparse = try model.sparsified(options: SparsityOptions(sparsity: 0.9, pattern: .blocks))
  ///     try sparse.fit(images, labels)
  ///
  /// This model stays as it is. A mask is part of the network: whatever is written to the weight, by optimisers, moving
  /// averages, files or the caller, is 0 where the mask says so, and generated code skips such zeros where that is faster.
  /// Copies, model files and models in integers have the masks, other files the zeros alone. The first layer, the last and
  /// depthwise ones stay as they are unless `include` names them: they have few weights, which matter most.
  /// - Parameter options: how many, which, and where.
  /// - Throws: `.invalidArgument` where no layer is left, or a weight is no number; `.unknownName` for a layer that there is
  ///   not; `.invalidState` where the model is in integers.
  public func sparsified(options: SparsityOptions = SparsityOptions()) throws(CNNError) -> Model {
    let result = try copy()
    try result.setSparsity(options)
    return result
  }

  /// Gives this model masks, as `sparsified` does a copy: to be called between steps of training where sparsity is to grow.
  /// The optimizer's state is 0 too where weights are. Layers that `options` leave alone keep the masks that they have.
  /// - Throws: as `sparsified`; the model is then as it was.
  public func setSparsity(_ options: SparsityOptions) throws(CNNError) {
    try options.validate()
    try lock.writing { () throws(CNNError) in
      guard !hasRoundings else {
        throw CNNError(.invalidState, "'\(name)' is quantised; make the model sparse first, then quantise it")
      }
      let isSkipped = try matching(options.skip, "skip", among: network)
      let isIncluded = try matching(options.include, "include", among: network)
      let all = SparseLayer.all(of: network)
      let layers = all.filter { !isSkipped($0.name) && ($0.reason == nil || isIncluded($0.name)) }
      guard !layers.isEmpty else {
        let left = all.compactMap { layer in layer.reason.map { "\(layer.name): \($0)" } }
        throw CNNError(
          .invalidArgument,
          "'\(name)' has no layer that can be made sparse"
            + (left.isEmpty
              ? "" : " but those left alone (\(left.prefix(8).joined(separator: ", "))); include names such")
        )
      }
      let masks = try masks(layers, options)
      for (layer, mask) in zip(layers, masks) {
        guard let position = parameters.position(of: layer.parameter.name) else { continue }
        for storage in [parameters] + (training?.optimizer.state.map(\.storage) ?? []) {
          storage.setMask(mask, at: position)
        }
      }
      network = networkWithFlags
    }
  }

  /// The masks of layers.
  private func masks(_ layers: [SparseLayer], _ options: SparsityOptions) throws(CNNError) -> [SparsityMask?] {
    let weights = layers.map { layer in
      parameters.position(of: layer.parameter.name).map { parameters.values(at: $0) } ?? .init(start: nil, count: 0)
    }
    switch options.pattern {
    case .zeros:
      return zip(layers, weights).map { layer, values in
        let mask = SparsityMask(count: layer.count) { values[$0] != 0 }
        return mask.sparsity == 0 ? nil : mask
      }
    case .fewOf(let kept, let among):
      for (layer, values) in zip(layers, weights) { _ = try layer.sizes(values, .unstructured) }
      return zip(layers, weights).map { $0.mask(keeping: kept, among: among, of: $1) }
    case .unstructured, .blocks:
      if options.share == 0 { return layers.map { _ in nil } }
      var sizes: [Memory] = [], sorted: [Memory] = []
      for (layer, values) in zip(layers, weights) {
        let own = try layer.sizes(values, options.pattern)
        let ordered = try Memory(count: own.floats.count, of: .float32, for: "the sizes of weights")
        var floats = ordered.floats
        _ = floats.update(fromContentsOf: own.floats)
        floats.sort(by: >)
        sizes.append(own)
        sorted.append(ordered)
      }
      defer { withExtendedLifetime((sizes, sorted)) {} }
      let counts = try keptCounts(sorted, options)
      return layers.indices.map {
        layers[$0].mask(keeping: counts[$0], of: sizes[$0].floats, sorted: sorted[$0].floats, options.pattern)
      }
    }
  }

  /// How many units each layer keeps.
  private func keptCounts(_ sorted: [Memory], _ options: SparsityOptions) throws(CNNError) -> [Int] {
    let counts = sorted.map(\.floats.count)
    func kept(_ count: Int) -> Int { Int((Double(count) * (1 - options.share)).rounded()) }
    guard options.scope == .global else { return counts.map(kept) }
    var scores: [Memory] = []
    for sizes in sorted { scores.append(try Self.layerAdaptiveScores(sizes.floats)) }
    defer { withExtendedLifetime(scores) {} }
    let target = kept(counts.reduce(0, +))
    /// How many of each layer have a score that is not less: scores fall, so the first that does is searched for.
    func above(_ score: Double) -> [Int] {
      scores.map { scores in
        var low = 0, high = scores.floats.count
        while low < high {
          let middle = (low + high) / 2
          if Double(scores.floats[middle]) >= score { low = middle + 1 } else { high = middle }
        }
        return low
      }
    }
    var low = 0.0, high = 2.0
    for _ in 0..<100 {
      let middle = (low + high) / 2
      if above(middle).reduce(0, +) >= target { low = middle } else { high = middle }
    }
    // Of those with the same score as many as are missing.
    var result = above(high)
    let most = above(low)
    var missing = target - result.reduce(0, +)
    for index in result.indices where missing > 0 {
      let more = min(missing, most[index] - result[index])
      result[index] += more
      missing -= more
    }
    return result
  }

  /// The square of each size divided by the sum of the squares that are not smaller (Lee et al. 2021, equation 5).
  /// - Parameter sizes: the largest first.
  private static func layerAdaptiveScores(_ sizes: UnsafeMutableBufferPointer<Float>) throws(CNNError) -> Memory {
    let scores = try Memory(count: sizes.count, of: .float32, for: "the scores of weights")
    var sum = 0.0
    for (index, size) in sizes.enumerated() {
      let square = Double(size) * Double(size)
      sum += square
      scores.floats[index] = sum > 0 ? Float(square / sum) : 0
    }
    return scores
  }

  /// How many weights of each layer are 0, and which layers have masks.
  public func sparsityReport() -> SparsityReport {
    lock.reading {
      let rows = SparseLayer.all(of: networkWithFlags).map { layer in
        let values =
          parameters.position(of: layer.parameter.name).map { parameters.values(at: $0) } ?? .init(start: nil, count: 0)
        var isUsed = Array(repeating: false, count: layer.unitCount(.blocks)), zeros = 0
        for position in values.indices {
          if values[position] == 0 { zeros += 1 } else { isUsed[layer.unit(position, .blocks)] = true }
        }
        return SparsityReport.Layer(
          name: layer.name, shape: layer.parameter.shape, count: values.count, zeroCount: zeros,
          blockCount: isUsed.count, zeroBlockCount: isUsed.count { !$0 },
          maskedCount: layer.parameter.mask.map { $0.count - $0.keptCount }, usuallyLeftAlone: layer.reason)
      }
      return SparsityReport(model: name, layers: rows)
    }
  }
}
