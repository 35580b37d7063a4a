import CNNCore
import CNNGraph

/// The values of a network's parameters, in one block of memory.
///
/// Whoever changes values calls `markChanged()`, so that plans prepare their weights anew. Access is serialised by the
/// owner: many may read at once, one may write.
public final class ParameterStorage: @unchecked Sendable {
  /// What is stored.
  public let parameters: [Parameter]
  /// Changes with every change of a value.
  public private(set) var version = 1

  let memory: Memory
  private let offsets: [Int]
  private let positions: [String: Int]

  /// Room for these parameters, all zero.
  public init(_ parameters: [Parameter]) throws(CNNError) {
    self.parameters = parameters
    let layout = try Self.offsets(of: parameters)
    offsets = layout.offsets
    memory = try Memory(byteCount: layout.byteCount, for: "parameters")
    positions = Dictionary(
      parameters.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Where each parameter lies, and the size of the whole, in bytes.
  static func offsets(of parameters: [Parameter]) throws(CNNError) -> (offsets: [Int], byteCount: Int) {
    var offsets: [Int] = []
    var end = 0
    for parameter in parameters {
      offsets.append(end)
      let size = try Checked.product(parameter.shape + [4], "parameter '\(parameter.name)'")
      end = try Checked.sum([end, Memory.aligned(size)], "parameters")
    }
    return (offsets, end)
  }

  /// The position of the parameter of that name, or nil.
  public func position(of name: String) -> Int? { positions[name] }

  /// The values of the parameter at `position`.
  public func values(at position: Int) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(
      start: (memory.base + offsets[position]).assumingMemoryBound(to: Float.self),
      count: parameters[position].shape.reduce(1, *))
  }

  /// Says that a value has changed.
  public func markChanged() { version &+= 1 }

  /// An independent copy.
  public func copy() throws(CNNError) -> ParameterStorage {
    let copy = try ParameterStorage(parameters)
    copy.memory.base.copyMemory(from: memory.base, byteCount: memory.byteCount)
    return copy
  }
}
