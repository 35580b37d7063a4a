import CNNCore
import Testing

@testable import CNNGraph

@Suite struct DrawingTests {
  /// A convolution, two branches that meet, and what follows.
  private func branching(prefix: String = "block.0") throws -> Graph {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [8, 8, 3])
    let first = try builder.convolution(x, "\(prefix).conv", outputChannels: 4, kernel: (3, 3), padding: .same)
    let left = try builder.activation(.relu, first, "\(prefix).left")
    let sum = try builder.apply(Add(), left, first, name: "\(prefix).sum")
    try builder.graph.addOutput("result", builder.activation(.silu, sum, "last"))
    return builder.graph
  }

  @Test func rowsShowOperationsNamesAndShapes() throws {
    let svg = try branching().svg()
    for text in ["input", "3×3 conv", "relu", "add", "silu", "block.0.conv", "8×8×4", "output", "result", ">block.0<"] {
      #expect(svg.contains(text), "\(text)")
    }
    let plain = try branching().svg(DrawingOptions(showsShapes: false, showsNames: false))
    #expect(!plain.contains("8×8×4") && !plain.contains("block.0.conv") && plain.contains("3×3 conv"))
  }

  @Test func rowsThatFollowEachOtherShareABox() throws {
    let units = DrawnUnits(try branching()).units
    #expect(units.map { $0.rows.map(\.text) } == [["input"], ["3×3 conv"], ["relu"], ["add"], ["silu"], ["output"]])
    #expect(units.map(\.sources) == [[], [0], [1], [2, 1], [3], [4]])
    #expect(units.map(\.group) == [nil, "block.0", "block.0", "block.0", nil, nil])
    var builder = GraphBuilder()
    var x = try builder.input(shape: [4])
    for index in 0..<5 { x = try builder.activation(.relu, x, "relu\(index)") }
    try builder.graph.addOutput("result", x)
    #expect(DrawnUnits(builder.graph).units.map(\.rows.count) == [1, 5, 1])
  }

  @Test func namesAreEscaped() throws {
    let svg = try branching(prefix: "<&\"\u{1}>").svg()
    #expect(svg.contains("&lt;&amp;\"?&gt;.conv") && !svg.contains("<&"))
  }

  @Test func boxesLieBelowWhatTheyReadAndApart() throws {
    // Three branches of different lengths, and an edge past them.
    let edges = [(0, 1), (0, 2), (0, 3), (2, 4), (4, 5), (1, 6), (5, 6), (3, 6), (0, 6)].map { (from: $0.0, to: $0.1) }
    let sizes = (0..<7).map { (width: 60.0 + Double($0) * 10, height: 20.0) }
    let layout = LayeredLayout(sizes: sizes, edges: edges)
    #expect(layout.ranks == [0, 1, 1, 1, 2, 3, 4])
    for (edge, route) in zip(edges, layout.routes) {
      #expect(layout.tops[edge.to] >= layout.tops[edge.from] + sizes[edge.from].height + LayeredLayout.layerGap)
      #expect(route.count == layout.ranks[edge.to] - layout.ranks[edge.from] + 1)
      #expect(route[0].x == layout.centers[edge.from] && route[route.count - 1].x == layout.centers[edge.to])
    }
    for a in 0..<7 {
      #expect(
        layout.centers[a] - sizes[a].width / 2 > -0.001 && layout.centers[a] + sizes[a].width / 2 < layout.width + 0.001
      )
      for b in 0..<a where layout.ranks[a] == layout.ranks[b] {
        #expect(
          abs(layout.centers[a] - layout.centers[b]) >= (sizes[a].width + sizes[b].width) / 2 + LayeredLayout.gap
            - 0.001)
      }
    }
  }

  @Test func aLongNetworkGoesOnInFurtherColumns() throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [8, 8, 4])
    for index in 0..<60 {
      let y = try builder.convolution(x, "b.\(index).conv", outputChannels: 4, kernel: (3, 3), padding: .same)
      x = try builder.apply(Add(), x, y, name: "b.\(index)")
    }
    try builder.graph.addOutput("y", x)
    let svg = try builder.graph.svg()
    // Each block has its frame, and no column is much higher than another picture of this size.
    for index in 0..<60 { #expect(svg.contains(">b.\(index)</text>\n")) }
    let height = try #require(svg.firstRange(of: "height=\"").map { svg[$0.upperBound...].prefix { $0 != "\"" } })
    #expect(try #require(Int(height)) < 2500)
  }

  @Test func whatIsTooLargeIsRefused() throws {
    var graph = Graph()
    let input = try graph.addInput("x", TensorType(.float32, [1, 2]))
    var x = input
    for _ in 0..<900 { x = try graph.addSingle(Add(), [x, input]) }
    try graph.addOutput("y", x)
    let error = #expect(throws: CNNError.self) { try graph.svg() }
    #expect(error?.message.hasPrefix("the network has 902 boxes to draw") == true)
  }
}
