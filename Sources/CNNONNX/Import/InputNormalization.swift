import CNNCore
import CNNGraph

/// Files whose networks normalise pixels themselves, which must not be done twice.
extension GraphImporter {
  /// How uint8 pixels become what the first input takes, where the network computes with its numbers before the first
  /// layer; nil where it does not, and the file leaves it open. The report says what was found.
  ///
  /// Factors and offsets that make numbers of some units of 0 to 255 are for such pixels, others for those of 0 to 1.
  mutating func pixelsOfInput() throws(CNNError) -> ONNXExportOptions.Pixels? {
    guard let input = graph.inputs.first, graph.type(of: input.value).rank == 4,
      let channels = graph.shape(of: input.value).last ?? nil, (1...4).contains(channels)
    else { return nil }
    var users: [Value: [Node]] = [:]
    for node in graph.nodes { for operand in Set(node.operands) { users[operand, default: []].append(node) } }
    var value = input.value, scale = 1.0, offset = 0.0, isComputed = false
    while let nodes = users[value], nodes.count == 1, let result = nodes[0].results.first {
      let node = nodes[0]
      // The largest of all channels tells the range.
      switch node.operation {
      case let rescaling as Rescaling:
        let factor = Self.largest(rescaling.scale)
        (scale, offset) = (scale * factor, offset * factor + Self.largest(rescaling.offset))
        isComputed = true
      case is Add, is Multiply:
        guard let constant = node.operands.first(where: { $0 != value }),
          let name = graph.parameter(defining: constant)?.name, let values = parameters.values[name],
          values.count <= channels
        else { return isComputed ? found(scale, offset, channels, input.name) : nil }
        let number = Self.largest(values.map { Double($0) })
        if node.operation is Add { offset += number } else { (scale, offset) = (scale * number, offset * number) }
        isComputed = true
      case is ZeroPadding2D, is Permute, is Reshape, is Slice, is Gather, is FakeQuantize: break
      default: return isComputed ? found(scale, offset, channels, input.name) : nil
      }
      value = result
    }
    return isComputed ? found(scale, offset, channels, input.name) : nil
  }

  private mutating func found(_ scale: Double, _ offset: Double, _ channels: Int, _ name: String)
    -> ONNXExportOptions.Pixels
  {
    let takesBytes = scale < 0.1 || offset > 8
    report.note(
      "the network normalises its input '\(name)' itself, which takes pixels from 0 to \(takesBytes ? 255 : 1): uint8 "
        + "pixels are given to it so")
    return .init(
      mean: Array(repeating: 0, count: channels), deviation: Array(repeating: takesBytes ? 1 / 255 : 1, count: channels)
    )
  }

  private static func largest(_ numbers: [Double]) -> Double { numbers.map { abs($0) }.max() ?? 0 }
}
