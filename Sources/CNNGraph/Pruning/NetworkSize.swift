import CNNCore

/// What a network of certain widths takes: multiplications with additions, and parameters.
public struct NetworkSize: Sendable {
  /// A parameter or a weight, as made of widths.
  private struct Term: Sendable {
    let axes: [ChannelCount]
    /// How often each of its numbers is multiplied with for an image, and as how many numbers it counts.
    let uses: Double, weight: Double
  }

  private let terms: [Term]
  /// By group the terms that it changes.
  private let termsOfGroup: [[Int]]

  /// The sizes of a network of those groups.
  public init(_ groups: ChannelGroups) {
    let graph = groups.graph
    var terms: [Term] = [], ofGroup = Array(repeating: [Int](), count: groups.groups.count)
    func add(_ value: Value, uses: Double, weight: Double) {
      let axes = graph.type(of: value).shape.indices.map { groups.size(of: value, axis: $0) }
      for group in Set(axes.flatMap { $0.perChannel.map(\.group) }) { ofGroup[group].append(terms.count) }
      terms.append(Term(axes: axes, uses: uses, weight: weight))
    }
    for parameter in graph.parameters where parameter.role.isLearned {
      if let value = graph.value(named: parameter.name) { add(value, uses: 0, weight: 1) }
    }
    for (weight, uses) in graph.productsPerWeight { add(weight, uses: uses, weight: 0) }
    (self.terms, termsOfGroup) = (terms, ofGroup)
  }

  /// Multiplications with additions of convolutions and dense layers for an image, and learned numbers.
  public struct Amounts: Sendable, Equatable {
    /// Each a multiplication and an addition.
    public var macs = 0.0
    /// Numbers in parameters; statistics do not count.
    public var parameters = 0.0
  }

  private func amounts(_ term: Term, _ kept: [Int]) -> Amounts {
    let numbers = term.axes.reduce(1.0) { $0 * $1(kept) }
    return Amounts(macs: numbers * term.uses, parameters: numbers * term.weight)
  }

  /// The amounts where groups keep so many channels each.
  public func callAsFunction(_ kept: [Int]) -> Amounts { sum(terms.indices, kept) }

  /// The part of them that a group's width changes.
  public func part(of group: Int, _ kept: [Int]) -> Amounts { sum(termsOfGroup[group], kept) }

  private func sum(_ positions: some Sequence<Int>, _ kept: [Int]) -> Amounts {
    var sum = Amounts()
    for position in positions {
      let amounts = amounts(terms[position], kept)
      sum.macs += amounts.macs
      sum.parameters += amounts.parameters
    }
    return sum
  }
}

extension Graph {
  /// By weight how often each of its numbers is multiplied with for one image: the pixels of what a convolution makes, or the
  /// rows of a dense layer. Where a size varies it is that of the example.
  var productsPerWeight: [Value: Double] {
    var result: [Value: Double] = [:]
    for node in nodes where node.operation.filterAxis != nil && node.operands.count > 1 {
      // A transposed convolution multiplies each pixel that it reads.
      let image = node.operation is ConvolutionTranspose2D ? node.operands[0] : node.results[0]
      let rows = type(of: image).shape.dropLast().dropFirst().reduce(1.0) { $0 * Double($1) }
      result[node.operands[1], default: 0] += rows
    }
    return result
  }

  /// The learned numbers in its parameters.
  public var learnedCount: Int { parameters.filter(\.role.isLearned).reduce(0) { $0 + $1.shape.reduce(1, *) } }

  /// Multiplications with additions of convolutions and dense layers for an image.
  public var macs: Double {
    productsPerWeight.reduce(0) { $0 + $1.value * type(of: $1.key).shape.reduce(1.0) { $0 * Double($1) } }
  }
}
