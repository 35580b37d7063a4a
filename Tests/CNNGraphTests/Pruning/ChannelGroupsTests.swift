import CNNCore
import Testing

@testable import CNNGraph

@Suite struct ChannelGroupsTests {
  /// A network of convolutions, of whose pieces `body` is one.
  private func groups(
    channels: Int = 8, _ body: (inout GraphBuilder, Value) throws -> Value
  ) throws -> ChannelGroups {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [4, 4, 3])
    let x = try builder.convolution(input, "first", outputChannels: channels, kernel: (1, 1))
    try builder.graph.addOutput("y", try body(&builder, x))
    return try ChannelGroups(builder.graph)
  }

  /// Keeps the first channels, two of three, of every group that may lose some; the shapes must fit.
  private func pruned(_ groups: ChannelGroups) throws -> Graph {
    let result = try groups.keeping(
      groups.groups.map { group in group.channels.indices.filter { group.reason != nil || $0 % 3 != 2 } })
    try result.graph.verify()
    for parameter in result.graph.parameters {
      #expect(result.slices[parameter.name].map { $0.shape == parameter.shape } ?? true)
    }
    return result.graph
  }

  private func free(_ groups: ChannelGroups) -> [[String]] { groups.groups.filter { $0.reason == nil }.map(\.layers) }

  private func shape(_ graph: Graph, _ name: String) throws -> [Int] {
    graph.type(of: try #require(graph.value(named: name))).shape
  }

  @Test func outputsAndInputsKeepTheirChannels() throws {
    let groups = try groups { builder, x in
      try builder.convolution(x, "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(free(groups) == [["first"]])
    #expect(groups.groups.first { $0.layers == ["last"] }?.reason == "it is the output 'y'")
    let graph = try pruned(groups)
    #expect(try shape(graph, "first.weight") == [6, 3, 1, 1])
    #expect(try shape(graph, "last.weight") == [5, 6, 1, 1])
  }

  @Test func whatIsAddedStandsOrFallsTogether() throws {
    let groups = try groups { builder, x in
      let branch = try builder.convolution(x, "branch", outputChannels: 8, kernel: (1, 1), bias: true)
      let normalized = try builder.batchNormalization(branch, "bn")
      let sum = try builder.apply(Add(), normalized, x, name: "sum")
      return try builder.convolution(sum, "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(free(groups) == [["first", "branch"]])
    let graph = try pruned(groups)
    #expect(try shape(graph, "branch.weight") == [6, 6, 1, 1])
    #expect(try shape(graph, "branch.bias") == [6])
    #expect(try shape(graph, "bn.running_var") == [6])
  }

  @Test func depthwiseConvolutionsFollowWhatTheyRead() throws {
    let groups = try groups { builder, x in
      var y = try builder.convolution(x, "depthwise", outputChannels: 8, kernel: (3, 3), padding: .same, groups: 8)
      y = try builder.convolution(y, "doubled", outputChannels: 16, kernel: (1, 1), groups: 8)
      return try builder.convolution(y, "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(free(groups) == [["first", "depthwise", "doubled"]])
    let graph = try pruned(groups)
    #expect(try shape(graph, "depthwise") == [1, 4, 4, 6])
    #expect(try shape(graph, "doubled") == [1, 4, 4, 12])
    #expect(try shape(graph, "last.weight") == [5, 12, 1, 1])
  }

  @Test func groupsLoseTheSameChannelsEach() throws {
    let groups = try groups(channels: 12) { builder, x in
      let y = try builder.convolution(x, "grouped", outputChannels: 18, kernel: (3, 3), padding: .same, groups: 2)
      return try builder.convolution(y, "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(groups.groups.filter { $0.reason == nil }.map(\.channels.count) == [6, 9])
    #expect(groups.groups.filter { $0.reason == nil }.map(\.width) == [12, 18])
    let graph = try pruned(groups)
    #expect(try shape(graph, "grouped.weight") == [12, 4, 3, 3])
  }

  @Test func concatenationsKeepTheirPartsApart() throws {
    let groups = try groups { builder, x in
      let second = try builder.convolution(x, "second", outputChannels: 4, kernel: (1, 1))
      let both = try builder.graph.addSingle(Concatenate(), [x, second], name: "both")
      return try builder.convolution(both, "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(free(groups) == [["first"], ["second"]])
    #expect(try shape(pruned(groups), "last.weight") == [5, 9, 1, 1])
  }

  @Test func flattenedChannelsHaveARowOfTheWeightForEachPixel() throws {
    let groups = try groups { builder, x in
      try builder.dense(builder.apply(Reshape.flatten, x, name: "flat"), "fc", units: 5)
    }
    #expect(try shape(pruned(groups), "fc.weight") == [5, 96])
  }

  @Test func shuffledChannelsLoseTheSameOfEachGroup() throws {
    let groups = try groups { builder, x in
      var y = try builder.apply(Reshape([4, 4, 2, 4]), x, name: "apart")
      y = try builder.apply(Permute([0, 1, 2, 4, 3]), y, name: "exchanged")
      y = try builder.apply(Reshape([4, 4, 8]), y, name: "shuffled")
      return try builder.convolution(y, "last", outputChannels: 5, kernel: (1, 1))
    }
    let group = try #require(groups.groups.first { $0.reason == nil })
    #expect(group.channels.count == 4 && group.width == 8)
    let graph = try pruned(groups)
    #expect(try shape(graph, "shuffled") == [1, 4, 4, 6])
  }

  @Test func slicesAndGathersTakeWhatIsLeft() throws {
    let groups = try groups(channels: 9) { builder, x in
      let a = try builder.apply(Slice(axis: -1, start: 3, length: 6), x, name: "a")
      let b = try builder.apply(Gather(axis: -1, indices: [8, 0, 8]), x, name: "b")
      let both = try builder.graph.addSingle(Concatenate(), [a, b], name: "both")
      return try builder.convolution(both, "last", outputChannels: 5, kernel: (1, 1))
    }
    _ = try pruned(groups)
    #expect(groups.groups.filter { $0.reason == nil }.reduce(0) { $0 + $1.width } == 9)
  }

  @Test func whatMixesChannelsHoldsThem() throws {
    let softmax = try groups { builder, x in
      try builder.convolution(builder.apply(Softmax(), x, name: "softmax"), "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(free(softmax).isEmpty)
    #expect(softmax.groups[0].reason == "'softmax' (softmax) divides each by the sum of all")
    let mean = try groups { builder, x in
      let mean = try builder.apply(Reduction(.mean, axes: [3], keepsAxes: true), x, name: "mean")
      return try builder.apply(Multiply(), x, mean, name: "y")
    }
    #expect(mean.groups[0].reason?.contains("'mean' (reduce) takes the mean of all") == true)
    let riddle = try groups { builder, x in
      try builder.convolution(builder.apply(Riddle(), x, name: "riddle"), "last", outputChannels: 5, kernel: (1, 1))
    }
    #expect(riddle.groups[0].reason == "'riddle' (riddle) has no rule for channels")
  }

  @Test func masksOfWeightsLoseWhatWeightsLose() throws {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [4, 4, 3])
    let weight = try builder.graph.addParameter(
      Parameter(name: "w", shape: [8, 3, 1, 1], role: .weight, initializer: .ones))
    let mask = try builder.graph.addParameter(
      Parameter(name: "mask", shape: [8, 3, 1, 1], role: .statistic, initializer: .ones))
    let masked = try builder.apply(Multiply(), weight, mask, name: "masked")
    let x = try builder.graph.addSingle(Convolution2D(), [input, masked], name: "first")
    try builder.graph.addOutput("y", try builder.convolution(x, "last", outputChannels: 5, kernel: (1, 1)))
    let groups = try ChannelGroups(builder.graph)
    let graph = try pruned(groups)
    #expect(try shape(graph, "mask") == [6, 3, 1, 1])
    #expect(NetworkSize(groups)(groups.groups.map(\.channels.count)).macs == builder.graph.macs)
  }
}
