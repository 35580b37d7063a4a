import CNNCore
import Testing

@testable import CNNGraph

@Suite struct ResidualBranchesTests {
  /// Two blocks as He et al. have them: the second of other channels, with a projection.
  private func network(rectifies: Bool = true) throws -> Graph {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [4, 4, 8])
    if rectifies { x = try builder.activation(.relu, x, "first") }
    let branch = try builder.batchNormalization(
      builder.convolution(x, "a.conv", outputChannels: 8, kernel: (3, 3), padding: .all(1)), "a.bn")
    x = try builder.activation(.relu, builder.apply(Add(), branch, x, name: "a.sum"), "a.relu")
    let other = try builder.convolution(x, "b.conv", outputChannels: 4, kernel: (1, 1))
    let shortcut = try builder.convolution(x, "b.projection", outputChannels: 4, kernel: (1, 1))
    try builder.graph.addOutput("y", builder.apply(Add(), other, shortcut, name: "b.sum"))
    return builder.graph
  }

  @Test func branchesOfProjectionsStay() throws {
    #expect(try network().residualBranches() == [ResidualBranch(addition: "a.sum", layers: ["a.conv"])])
  }

  @Test func withoutABranchWhatItWasAddedToGoesOn() throws {
    let graph = try network().removingBranches(["a.sum"])
    try graph.verify()
    #expect(graph.nodes.map(\.name) == ["first", "b.conv", "b.projection", "b.sum"])
    #expect(graph.parameters.map(\.name) == ["b.conv.weight", "b.projection.weight"])
    #expect(graph.name(of: try #require(graph.nodes.last).operands[0]) == "b.conv")
  }

  @Test func whatWasNotRectifiedBeforeIsRectifiedStill() throws {
    let graph = try network(rectifies: false).removingBranches(["a.sum"])
    #expect(graph.nodes.map(\.name) == ["a.relu", "b.conv", "b.projection", "b.sum"])
  }

  @Test func aSumOfTwoBranchesIsNoBranch() throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [4, 4, 8])
    let a = try builder.convolution(x, "a", outputChannels: 8, kernel: (1, 1))
    let b = try builder.convolution(x, "b", outputChannels: 8, kernel: (1, 1))
    try builder.graph.addOutput("y", builder.apply(Add(), a, b, name: "sum"))
    #expect(try builder.graph.residualBranches() == [])
  }

  /// A value that is repeated to the sum's shape cannot stand for it.
  @Test func whatIsRepeatedIsNoShortcut() throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [1, 1, 8])
    let wide = try builder.convolution(x, "wide", outputChannels: 8, kernel: (1, 1), padding: .all(1))
    try builder.graph.addOutput("y", builder.apply(Add(), wide, x, name: "sum"))
    #expect(try builder.graph.residualBranches() == [])
  }
}
