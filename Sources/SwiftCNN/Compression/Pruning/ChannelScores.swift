import CNNCompiler
import CNNCore
import CNNGraph

/// How much each channel of a network matters.
struct ChannelScores {
  /// The numbers of the parameter at a position of the graph, and by what its gradients change them: the products of both,
  /// summed over batches; nil where they are not known.
  let values: (Int) -> UnsafeMutableBufferPointer<Float>, changes: (Int) -> [Float]?

  /// The score of each channel of a group; nil where the criterion says nothing of it.
  func scores(of group: ChannelGroup, in graph: Graph, by criterion: PruningCriterion) -> [Double]? {
    var sums = Array(repeating: 0.0, count: group.channels.count), counted = 0
    for (position, axis) in group.axes.enumerated() {
      let parameter = graph.parameters[axis.parameter]
      guard let amounts = amounts(of: parameter, at: axis, by: criterion) else { continue }
      counted += 1
      for (channel, indices) in group.channels.enumerated() {
        let amount = indices[position].reduce(0) { $0 + amounts[$1] }
        sums[channel] += criterion == .taylor ? amount * amount : amount
      }
    }
    return counted == 0 ? nil : sums.map { $0 / Double(counted) }
  }

  /// What each index along an axis of a parameter adds.
  private func amounts(
    of parameter: Parameter, at place: ChannelGroup.Axis, by criterion: PruningCriterion
  ) -> [Double]? {
    let values = values(place.parameter)
    switch (criterion, parameter.role) {
    case (.l1, .weight): return sums(values, parameter.shape, place.axis) { Double(abs($0)) }
    case (.l2, .weight), (.l2, .normalizationScale):
      return sums(values, parameter.shape, place.axis) { Double($0) * Double($0) }
    case (.bnScale, .normalizationScale): return sums(values, parameter.shape, place.axis) { Double(abs($0)) }
    case (.taylor, _):
      return changes(place.parameter).map { sums($0, parameter.shape, place.axis) { Double($0) } }
    default: return nil
    }
  }

  private func sums(
    _ values: some RandomAccessCollection<Float>, _ shape: [Int], _ axis: Int, _ amount: (Float) -> Double
  ) -> [Double] {
    let stride = shape.dropFirst(axis + 1).reduce(1, *)
    var result = Array(repeating: 0.0, count: shape[axis])
    var index = 0, inRun = 0
    for value in values {
      result[index] += amount(value)
      inRun += 1
      if inRun == stride { (inRun, index) = (0, index + 1 == shape[axis] ? 0 : index + 1) }
    }
    return result
  }
}
