extension Graph {
  /// One line per value, as in `layer1.0.conv1 = conv2d(relu, layer1.0.conv1.weight) stride=[1, 1] : float32[1, 8, 8, 16]`.
  public var text: String {
    var lines: [String] = []
    for input in inputs { lines.append("\(input.name) = input : \(type(of: input.value))") }
    for parameter in parameters {
      let state = parameter.isTrainable || !parameter.role.isLearned ? "" : " frozen"
      let penalty = parameter.regularizer.map { " l1=\($0.l1) l2=\($0.l2)" } ?? ""
      let mask = parameter.mask.map { " kept=\($0.keptCount)" } ?? ""
      lines.append(
        "\(parameter.name) = parameter \(parameter.role.rawValue)\(state)\(penalty)\(mask) : "
          + "\(parameter.element.rawValue)\(describe(parameter.shape))")
    }
    for node in nodes {
      let operands = node.operands.map(name).joined(separator: ", ")
      let attributes = node.operation.attributes.entries.map { " \($0.name)=\($0.value.text)" }.joined()
      let types = node.results.map { type(of: $0).description }.joined(separator: ", ")
      lines.append("\(node.name) = \(node.operation.kind)(\(operands))\(attributes) : \(types)")
    }
    for output in outputs { lines.append("output \(output.name) = \(name(of: output.value))") }
    for update in updates { lines.append("update \(parameters[update.parameter].name) = \(name(of: update.value))") }
    return lines.joined(separator: "\n")
  }

  /// The graph in Graphviz's language: `dot -Tsvg` draws it.
  public var dot: String {
    func quoted(_ text: String) -> String {
      "\"\(text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : $0 == "\n" ? "\\n" : String($0) }.joined())\""
    }
    var lines = ["digraph {", "  rankdir=TB; node [shape=box, fontname=\"monospace\"];"]
    for input in inputs {
      lines.append(
        "  v\(input.value.index) [label=\(quoted("\(input.name)\n\(type(of: input.value))")), shape=ellipse];")
    }
    for (index, node) in nodes.enumerated() {
      let types = node.results.map { type(of: $0).description }.joined(separator: ", ")
      lines.append("  n\(index) [label=\(quoted("\(node.name)\n\(node.operation.kind)\n\(types)"))];")
      for operand in node.operands {
        switch definition(of: operand) {
        case .input: lines.append("  v\(operand.index) -> n\(index);")
        case .node(let source, _): lines.append("  n\(source) -> n\(index);")
        case .parameter: continue
        }
      }
    }
    for output in outputs {
      lines.append("  \(quoted("output " + output.name)) [shape=ellipse];")
      if case .node(let source, _) = definition(of: output.value) {
        lines.append("  n\(source) -> \(quoted("output " + output.name));")
      }
    }
    return (lines + ["}"]).joined(separator: "\n")
  }
}
