import CNNCore

extension Graph {
  /// Adds all that another network computes, as one layer among others.
  ///
  /// Its nodes and parameters get `prefix` before their names; a node that is there already, with the same name, constants
  /// and operands, is used again. A random layer draws other numbers here than there, since the same network may be added
  /// twice.
  /// - Parameters:
  ///   - inputs: what the network reads, in the order of its inputs.
  ///   - known: parameters of the network that this graph has already, by their names there.
  /// - Returns: its first output, and the names its other parameters got here, by their names there.
  /// - Throws: `.shapeMismatch` naming the node where the input does not fit; the graph is then as it was.
  public mutating func inline(
    _ network: Graph, prefix: String, inputs: [Value], known: [String: Value] = [:]
  ) throws(CNNError) -> (output: Value, parameters: [String: String]) {
    guard network.inputs.count == inputs.count, let output = network.outputs.first else {
      throw CNNError(
        .invalidArgument, "\(inputs.count) tensors are given to a network of \(network.inputs.count) inputs")
    }
    let start = mark
    do throws(CNNError) {
      var images: [Value: Value] = [:]
      for (input, value) in zip(network.inputs, inputs) { images[input.value] = value }
      var names: [String: String] = [:]
      for parameter in network.parameters {
        guard let value = network.value(named: parameter.name) else { continue }
        if let there = known[parameter.name] {
          images[value] = there
        } else {
          let name = uniqueName(prefix + parameter.name)
          images[value] = try addParameter(parameter.renamed(name))
          names[parameter.name] = name
        }
      }
      for node in network.nodes {
        var operation = node.operation
        if var random = operation as? any RandomOperation {
          random.stream = nodes.count
          operation = random
        }
        var operands: [Value] = []
        for operand in node.operands {
          guard let image = images[operand] else {
            throw CNNError(.internalFault, "'\(node.name)' reads what no node gives")
          }
          operands.append(image)
        }
        let name = prefix + node.name, results: [Value]
        if let same = sameNode(name, operation, operands) {
          results = same.results
        } else {
          results = try add(operation, operands, name: uniqueName(name))
        }
        for (old, new) in zip(node.results, results) { images[old] = new }
      }
      guard let result = images[output.value] else {
        throw CNNError(.internalFault, "the output '\(output.name)' is given by no node")
      }
      return (result, names)
    } catch {
      rollBack(to: start)
      throw error
    }
  }
}

extension Graph {
  /// The node of that name, where it computes just this: the network was added to the same input before. What a random
  /// layer draws is its own each time.
  private func sameNode(_ name: String, _ operation: any Operation, _ operands: [Value]) -> Node? {
    guard let node = value(named: name).flatMap(node(defining:)), node.name == name, node.operands == operands,
      node.operation.isEqual(to: operation), !(operation is any RandomOperation)
    else { return nil }
    return node
  }
}

extension Parameter {
  /// The same parameter under another name.
  fileprivate func renamed(_ name: String) -> Parameter {
    var copy = Parameter(
      name: name, shape: shape, element: element, role: role, initializer: initializer, regularizer: regularizer,
      mask: mask)
    copy.isTrainable = isTrainable
    return copy
  }
}
