import CNNCore
import CNNGraph

/// A convolution or dense layer whose weight can be made sparse.
struct SparseLayer {
  let name: String
  /// The weight.
  let parameter: Parameter
  /// Why it stays as it is where nothing is said; nil where it does not.
  let reason: String?

  /// Those of a network, each weight once.
  static func all(of network: Graph) -> [SparseLayer] {
    func weight(of node: Node) -> Parameter? {
      guard node.operation is Convolution2D || node.operation is Dense else { return nil }
      var weight = node.operands[1]
      // Of a model that is trained for integers it is rounded.
      if let rounding = network.node(defining: weight), rounding.operation is FakeQuantizeWeight {
        weight = rounding.operands[0]
      }
      return network.parameter(defining: weight).flatMap { $0.role == .weight ? $0 : nil }
    }
    // Whether a layer comes before a value, and whether one comes after it.
    var before = Array(repeating: false, count: network.valueCount), after = before
    for node in network.nodes {
      let isBehind = weight(of: node) != nil || node.operands.contains { before[$0.index] }
      for result in node.results { before[result.index] = isBehind }
    }
    for node in network.nodes.reversed() {
      let isAhead = weight(of: node) != nil || node.results.contains { after[$0.index] }
      for operand in node.operands where isAhead { after[operand.index] = true }
    }
    var layers: [SparseLayer] = [], known: Set<String> = []
    for node in network.nodes {
      guard let weight = weight(of: node), known.insert(weight.name).inserted else { continue }
      let groups = (node.operation as? Convolution2D)?.groups ?? 1
      let reason: String? =
        if groups > 1, weight.shape[1] == 1 {
          "depthwise"
        } else if !before[node.operands[0].index] {
          "first layer"
        } else if !node.results.contains(where: { after[$0.index] }) {
          "last layer"
        } else { nil }
      layers.append(SparseLayer(name: node.name, parameter: weight, reason: reason))
    }
    return layers
  }

  /// The numbers of the weight.
  var count: Int { parameter.shape.reduce(1, *) }
  /// The numbers for each output channel, and for each of those each input channel.
  var outputSize: Int { max(1, parameter.shape.dropFirst().reduce(1, *)) }
  var taps: Int { max(1, parameter.shape.dropFirst(2).reduce(1, *)) }

  /// Which unit of a pattern the number at a position belongs to.
  func unit(_ position: Int, _ pattern: SparsityPattern) -> Int {
    guard pattern == .blocks else { return position }
    return position / outputSize / BlockedTensor.blockChannels * outputSize + position % outputSize
  }

  /// How many units there are.
  func unitCount(_ pattern: SparsityPattern) -> Int {
    guard pattern == .blocks else { return count }
    let blocks = (parameter.shape[0] + BlockedTensor.blockChannels - 1) / BlockedTensor.blockChannels
    return blocks * outputSize
  }

  /// The size of each unit: the root of the mean of its squares.
  /// - Throws: `.invalidArgument` where a weight is no number; `.outOfMemory`.
  func sizes(_ values: UnsafeMutableBufferPointer<Float>, _ pattern: SparsityPattern) throws(CNNError) -> Memory {
    guard values.allSatisfy(\.isFinite) else {
      throw CNNError(
        .invalidArgument, "the weight '\(parameter.name)' has numbers that are not finite; the smallest cannot be found"
      )
    }
    let sizes = try Memory(count: unitCount(pattern), of: .float32, for: "the sizes of weights")
    let floats = sizes.floats
    guard pattern == .blocks else {
      for position in values.indices { floats[position] = values[position].magnitude }
      return sizes
    }
    for position in values.indices { floats[unit(position, pattern)] += values[position] * values[position] }
    let block = BlockedTensor.blockChannels, outputs = parameter.shape[0]
    for unit in floats.indices {
      floats[unit] = (floats[unit] / Float(min(block, outputs - unit / outputSize * block))).squareRoot()
    }
    return sizes
  }

  /// The mask that keeps so many of the largest units, of equal ones the first.
  func mask(
    keeping count: Int, of sizes: UnsafeMutableBufferPointer<Float>, sorted: UnsafeMutableBufferPointer<Float>,
    _ pattern: SparsityPattern
  ) -> SparsityMask {
    let least = count > 0 && count <= sorted.count ? sorted[count - 1] : .infinity
    var left = count - sorted.prefix(count).count { $0 > least }
    let units = SparsityMask(count: sizes.count) { unit in
      guard sizes[unit] == least, left > 0 else { return sizes[unit] > least }
      left -= 1
      return true
    }
    return SparsityMask(count: self.count) { units[unit($0, pattern)] }
  }

  /// The mask that keeps the largest `kept` of every `among` neighbouring input channels, of equal ones the first.
  func mask(keeping kept: Int, among: Int, of values: UnsafeMutableBufferPointer<Float>) -> SparsityMask {
    let inputs = outputSize / taps
    return SparsityMask(count: count) { position in
      let input = position / taps % inputs, first = input / among * among
      let own = values[position].magnitude
      var larger = 0
      for other in first..<min(first + among, inputs) where other != input {
        let size = values[position + (other - input) * taps].magnitude
        if size > own || size == own && other < input { larger += 1 }
      }
      return larger < kept
    }
  }
}
