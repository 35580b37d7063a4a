import CNNCore
import CNNGraph
import Testing

@Suite struct PrinterTests {
  @Test func textHasOneLinePerValue() throws {
    var graph = try smallNetwork()
    graph.setTrainable { $0.name != "conv.bias" }
    let lines = graph.text.split(separator: "\n").map(String.init)
    #expect(
      lines == [
        "input = input : float32[1, 6, 6, 3]",
        "conv.weight = parameter weight : float32[4, 3, 3, 3]",
        "conv.bias = parameter bias frozen : float32[4]",
        "bn.weight = parameter normalization_scale : float32[4]",
        "bn.bias = parameter normalization_shift : float32[4]",
        "bn.running_mean = parameter statistic : float32[4]",
        "bn.running_var = parameter statistic : float32[4]",
        "fc.weight = parameter weight : float32[5, 4]",
        "fc.bias = parameter bias : float32[5]",
        "conv = conv2d(input, conv.weight, conv.bias) stride=[1, 1] padding='same' : float32[1, 6, 6, 4]",
        "bn = batch_norm(conv, bn.weight, bn.bias, bn.running_mean, bn.running_var) epsilon=1e-05 momentum=0.1 "
          + ": float32[1, 6, 6, 4]",
        "relu = activation(bn) function='relu' : float32[1, 6, 6, 4]",
        "dropout = dropout(relu) rate=0.5 stream=1 : float32[1, 6, 6, 4]",
        "sum = add(dropout, relu) : float32[1, 6, 6, 4]",
        "pool = global_pool2d(sum) kind='average' : float32[1, 4]",
        "fc = dense(pool, fc.weight, fc.bias) : float32[1, 5]",
        "output scores = fc",
      ])
  }

  @Test func updatesAndFurtherResultsAreShown() throws {
    let text = try smallNetwork().trainingForm().text
    #expect(text.contains("update bn.running_mean = bn:3"))
    #expect(text.contains("update bn.running_var = bn:4"))
  }

  @Test func dotNamesEveryNodeAndEdge() throws {
    let graph = try smallNetwork()
    let dot = graph.dot
    #expect(dot.hasPrefix("digraph {") && dot.hasSuffix("}"))
    for node in graph.nodes { #expect(dot.contains("\"\(node.name)\\n\(type(of: node.operation).name)")) }
    // relu feeds dropout and sum; fc feeds the output.
    #expect(dot.contains("n2 -> n3;") && dot.contains("n2 -> n4;"))
    #expect(dot.contains("n6 -> \"output scores\";"))
  }

  @Test func dotEscapesNames() throws {
    var graph = Graph()
    let x = try graph.addInput("a\"b\\c", TensorType(.float32, [1, 2]))
    try graph.addOutput("y\"", graph.addSingle(Softmax(), [x], name: "evil\"];x[label=\"\n"))
    let dot = graph.dot
    #expect(dot.contains("a\\\"b\\\\c"))
    #expect(dot.contains("evil\\\"];x[label=\\\"\\n"))
    #expect(dot.split(separator: "\n").count == 8)
  }
}
