import CNNCore

extension Onnx_NodeProto {
  /// What errors call it: its name, else its first output's, else its number.
  func label(_ index: Int) -> String { name.isEmpty ? output.first { !$0.isEmpty } ?? "\(index)" : name }

  /// What errors of it begin with.
  func title(_ index: Int) -> String { "node '\(label(index))' (\(opType))" }

  /// The name under which `ImportedOperations` has its operation: those of other domains have theirs in front.
  var operationName: String { ["", "ai.onnx"].contains(domain) ? opType : "\(domain).\(opType)" }
}

extension Onnx_GraphProto {
  /// The nodes on which the outputs depend, each behind those whose results it reads, otherwise in the file's order.
  /// - Throws: `.malformedFile` naming a node that depends on itself, or whose result another gives as well.
  func orderedNodes() throws(CNNError) -> [Int] {
    var givers: [String: Int] = [:]
    for (index, node) in node.enumerated() {
      for name in node.output where !name.isEmpty && givers.updateValue(index, forKey: name) != nil {
        throw CNNError(.malformedFile, "the name '\(name)' of its output is given twice").prefixed(node.title(index))
      }
    }
    var isNeeded = Array(repeating: false, count: node.count)
    var pending = output.compactMap { givers[$0.name] }
    while let index = pending.popLast() {
      guard !isNeeded[index] else { continue }
      isNeeded[index] = true
      pending += node[index].input.compactMap { givers[$0] }
    }
    enum State { case untouched, open, done }
    var states = Array(repeating: State.untouched, count: node.count), order: [Int] = []
    for start in node.indices where isNeeded[start] && states[start] == .untouched {
      // The nodes on the way, each with how many of its inputs were followed.
      var path = [(node: start, followed: 0)]
      states[start] = .open
      while let (index, followed) = path.last {
        guard followed < node[index].input.count else {
          states[index] = .done
          order.append(index)
          path.removeLast()
          continue
        }
        path[path.count - 1].followed += 1
        let name = node[index].input[followed]
        guard let giver = givers[name], states[giver] != .done else { continue }
        guard states[giver] == .untouched else {
          throw CNNError(
            .malformedFile, "it reads '\(name)', which is computed of its own output: the nodes form a cycle"
          ).prefixed(node[index].title(index))
        }
        states[giver] = .open
        path.append((giver, 0))
      }
    }
    return order
  }

  /// Throws where nodes among these have operations that are not read: the error names all such operations.
  func checkOperations(of order: [Int]) throws(CNNError) {
    var unknown: [(name: String, first: Int, count: Int)] = [], positions: [String: Int] = [:]
    for index in order {
      let name = node[index].operationName
      if ImportedOperations.table[name] != nil { continue }
      if let position = positions[name] {
        unknown[position].count += 1
      } else {
        positions[name] = unknown.count
        unknown.append((name, index, 1))
      }
    }
    guard let first = unknown.first else { return }
    if unknown.count == 1 {
      let others = first.count == 1 ? "" : "; \(first.count) nodes have it"
      let domain = node[first.first].operationName == node[first.first].opType ? "" : node[first.first].domain
      throw CNNError(
        .invalidArgument,
        "the operation\(domain.isEmpty ? "" : " of the domain '\(domain)'") is not supported\(others)"
      ).prefixed(node[first.first].title(first.first))
    }
    let limit = 50
    let words = unknown.prefix(limit).map { entry in
      let label = node[entry.first].label(entry.first)
      return entry.count == 1
        ? "\(entry.name) (node '\(label)')" : "\(entry.name) (\(entry.count) nodes, the first is '\(label)')"
    }
    let rest = unknown.count > limit ? ", and \(unknown.count - limit) more" : ""
    throw CNNError(
      .invalidArgument,
      "\(unknown.count) operations are not supported: \(words.joined(separator: ", "))\(rest)")
  }
}
