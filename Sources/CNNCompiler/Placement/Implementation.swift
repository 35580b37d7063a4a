import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// An operation for which there are implementations.
protocol Placeable: Operation {
  /// The ways of computing it, best first. The portable one, which defines what the operation means, is the last.
  static var implementations: [any Implementation] { get }
}

/// One way of computing an operation: what it accepts, what it costs, and how it makes the step.
protocol Implementation: Sendable {
  /// How it is called where placement is printed.
  var name: String { get }

  /// What it computes in.
  var precision: Precision { get }

  /// The instructions that it is made of, as `avx512`, or `portable` where no code is generated for it.
  func instruction(on target: CodeTarget?) -> String

  /// Looks at a node, with what follows it: how it would read its operands and how long it would take, or why it does not
  /// compute this one.
  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration

  /// Whether it computes a node from a value in blocks of bfloat16, where placement computes in that: so whether what makes
  /// the value should write it so.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool

  /// The border of zeros that it wants around a value in blocks of bfloat16 which it reads for a node: it takes any that is
  /// as wide, so what makes the value may write one; nil where it takes none.
  func border(reading value: Value, of node: Node, in placement: Placement) -> BlockedTensor.Border?

  /// Whether it computes in float32 on images that are stored either so or in bfloat16.
  var takesEitherElement: Bool { get }

  /// Adds the node to the placed graph.
  /// - Parameter images: what the offer reads, in its order and its types.
  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError)
}

extension Implementation {
  /// float32.
  var precision: Precision { .float32 }

  /// It does not.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool { false }

  /// It takes none.
  func border(reading value: Value, of node: Node, in placement: Placement) -> BlockedTensor.Border? { nil }

  /// It does not.
  var takesEitherElement: Bool { false }

  /// Those on vectors.
  func instruction(on target: CodeTarget?) -> String { target?.vectorName ?? "portable" }
}

/// A node that waits for an implementation, with what follows it and could be computed in the same step.
struct Candidate {
  let node: Node
  /// What follows it.
  var fusion = EpilogueFusions.Fusion()
  /// The name and the result of the last node of the step.
  let name: String
  let result: Value
  /// What computes it, once that is chosen.
  var choice = Choice()

  /// An implementation, and what steps say of it.
  struct Choice {
    var implementation = "", cycles = 0.0
    var precision = Precision.float32, instruction = "portable"
    /// Why it is not computed in the precision that was asked for.
    var reason = ""
    /// Whether something else would have computed it in that, more slowly.
    var isFaster = false
  }

  /// What a convolution or dense layer does in the pass of its products.
  var epilogue: Epilogue {
    Epilogue(
      hasBias: node.operands.count == 3, addsResidual: fusion.residual != nil, activation: fusion.activation)
  }

  /// A node by itself.
  init(_ node: Node) { (self.node, name, result) = (node, node.name, node.results[0]) }

  /// A node and what follows it, up to the node `last`.
  init(_ node: Node, _ fusion: EpilogueFusions.Fusion, last: Node) {
    (self.node, self.fusion, name, result) = (node, fusion, last.name, last.results[0])
  }
}

/// What an implementation says of a node.
enum Consideration {
  /// Why it does not compute it, in a few words.
  case refused(String)
  case offered(Offer)

  /// That something, unless told otherwise the input, does not lie in blocks of channels now.
  static func rowMajor(_ what: String = "its input") -> Consideration { .refused("\(what) is row-major") }
  /// That something cannot lie in blocks of channels.
  static func withoutBlocks(_ what: String = "its input") -> Consideration {
    .refused("\(what) has no blocks of channels")
  }
}

/// What it takes to compute a node.
struct Offer {
  /// The values that are read and the types in which they are; what lies otherwise is reordered first. Weights that are
  /// packed when the node is placed are not among them.
  var reads: [Read]
  /// Cycles of each worker, by a model.
  var cycles: Double

  struct Read {
    let value: Value
    let type: TensorType
  }
}

/// How long simple things take, in cycles of each worker.
enum CycleModel {
  /// A pass over these bytes, part of them in caches.
  static func pass(_ byteCount: Int, _ workers: Workers) -> Double { Double(byteCount) / 16 / Double(workers.count) }

  /// A copy of its own: a pass, and what it takes to begin a step and to wake the workers. For a change of layout alone that
  /// is a guess; one of the element takes 3.7 to 4.6 microseconds where there is nearly nothing to copy, measured.
  static func reorder(_ byteCount: Int, changesElement: Bool, _ workers: Workers) -> Double {
    (changesElement ? 10_000 : 2500) + 2 * pass(byteCount, workers)
  }

  /// A portable kernel, which is not made for the processor and is taken where no generated one is.
  static func portable(_ byteCount: Int, operations: Int, _ workers: Workers) -> Double {
    8 * pass(byteCount, workers) + Double(operations) / Double(workers.count)
  }
}
