import CNNCore
import CNNGraph

extension Graph {
  /// The same network, in which the name of an output is that of the node that gives it, and of no other.
  func namingOutputs() throws(CNNError) -> Graph {
    var positions: [String: Int] = [:], names = nodes.map(\.name)
    for (position, name) in names.enumerated() { positions[name] = position }
    let taken = Set(outputs.map(\.name))
    var copy = self, isNamed: Set<Int> = []
    for output in outputs {
      guard case .node(let position, 0) = definition(of: output.value), isNamed.insert(position).inserted,
        nodes[position].name != output.name
      else { continue }
      if let other = positions[output.name] {
        if names[other] == output.name {
          var stem = "\(output.name).before"
          while taken.contains(stem) { stem += "_" }
          names[other] = copy.uniqueName(stem)
        }
      } else if value(named: output.name) != nil {
        continue  // A parameter or an input has it.
      }
      names[position] = output.name
    }
    if names == nodes.map(\.name) { return self }
    return try rewriting { rewriter, node throws(CNNError) in
      guard case .node(let position, _) = definition(of: node.results[0]) else { return false }
      var operands: [Value] = []
      for operand in node.operands { operands.append(try rewriter.image(of: operand)) }
      let results = try rewriter.result.add(node.operation, operands, name: names[position])
      for (old, new) in zip(node.results, results) { rewriter.map(old, to: new) }
      return true
    }
  }
}
