// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The same elements in another shape; the batch axis stays. Operand `[N, ...]`; result `[N] + shape`.
public struct Reshape: Operation {
  public static let name = "reshape"
  /// The sizes of the axes after the batch; one of them may be -1 and takes what is left.
  public let shape: [Int]

  /// A reshape to `[N] + shape`.
  public init(_ shape: [Int]) { self.shape = shape }

  /// All axes after the batch in one.
  public static let flatten = Reshape([-1])

  public init(_ attributes: inout Attributes) throws(CNNError) { shape = try attributes.integers("shape") }

  public var attributes: Attributes { ["shape": .integers(shape)] }

  /// Any: the bits are moved, not looked at.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { true }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    guard let batch = operands[0].shape.first else {
      throw CNNError(.shapeMismatch, "the input is a scalar; expected a batch")
    }
    let count = operands[0].shape.dropFirst().reduce(1, *)
    let wildcards = shape.filter { $0 == -1 }.count
    let isPossible = wildcards <= 1 && shape.allSatisfy { $0 >= 1 || $0 == -1 }
    let known = isPossible ? try Checked.product(shape.filter { $0 != -1 }, "reshape") : 0
    guard known >= 1, wildcards == 1 ? count % known == 0 : count == known else {
      throw CNNError(
        .shapeMismatch,
        "shape \(describe(shape)) does not hold the \(count) elements of \(describe(Array(operands[0].shape.dropFirst())))"
      )
    }
    return [try TensorType(operands[0].element, [batch] + shape.map { $0 == -1 ? count / known : $0 })]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    return [try context.emit(Reshape(Array(shape.dropFirst())), context.upstream)]
  }

  /// Where axes become one, the channels of one of them are spread over it. Where one is divided, what has the same place
  /// in each part belongs together, as in groups of channels that are shuffled.
  public func couple(_ channels: inout CouplingContext) {
    for (old, new) in alignedAxes(channels.shape(0), channels.resultShape()) {
      let labelled = old.filter { channels.hasChannels(0, axis: $0) }
      guard let axis = labelled.last else { continue }
      let all = channels.channels(0, axis: axis)
      guard labelled.count == 1 else {
        for axis in labelled { channels.hold(0, axis: axis, because: "makes one axis of several that have channels") }
        continue
      }
      // What lies behind an axis of the same run is repeated for each of its indices.
      let (shape, result) = (channels.shape(0), channels.resultShape())
      let repeats = old.filter { $0 > axis }.reduce(1) { $0 * shape[$1] }
      let count = old.reduce(1) { $0 * shape[$1] }
      let spread = (0..<count).map { all[$0 / repeats % all.count] }
      guard let last = new.last(where: { result[$0] > 1 }) ?? new.last else { continue }
      let size = result[last], behind = new.filter { $0 > last }.reduce(1) { $0 * result[$1] }
      let places = (0..<count).map { $0 / behind % size }
      let kept = (0..<size).map { spread[$0 * behind] }
      channels.unite(spread, places.map { kept[$0] })
      channels.setChannels(kept, axis: last)
    }
  }

  public func keeping(_ kept: KeptChannels, _ operands: [TensorType]) -> any Operation {
    Reshape(
      shape.enumerated().map { axis, size in
        size == -1 ? -1 : kept.result(axis: axis + 1)?.count ?? size
      })
  }

  /// The runs of axes of two shapes that hold the same elements, as short as can be.
  private func alignedAxes(_ old: [Int], _ new: [Int]) -> [(old: [Int], new: [Int])] {
    var result: [(old: [Int], new: [Int])] = []
    var (first, second) = (0, 0)
    while first < old.count || second < new.count {
      var run = (old: [Int](), new: [Int]()), (a, b) = (1, 1)
      repeat {
        if second == new.count || first < old.count && a <= b {
          a *= old[first]
          run.old.append(first)
          first += 1
        } else {
          b *= new[second]
          run.new.append(second)
          second += 1
        }
      } while a != b && (first < old.count || second < new.count)
      result.append(run)
    }
    return result
  }
}
