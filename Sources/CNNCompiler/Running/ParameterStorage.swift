import CNNCore
import CNNGraph

/// A block of memory in which parameters lie, with the lock that guards them.
///
/// A model has a block of its own; one made of parts of other models reads and writes theirs too.
public final class ParameterBlock: @unchecked Sendable {
  /// Held by whoever reads or writes the values and flags of the parameters in the block.
  public let lock: ReadWriteLock
  let memory: Memory
  /// Changes with every change of a value.
  var version = 1
  /// Changes with every change of a mask.
  var maskVersion = 0

  init(byteCount: Int, lock: ReadWriteLock) throws(CNNError) {
    self.lock = lock
    memory = try Memory(byteCount: byteCount, for: "parameters")
  }
}

/// One parameter's values, and whether they are trained: what models made of one another share.
public final class ParameterTensor: @unchecked Sendable {
  /// Where it lies.
  public let block: ParameterBlock
  /// The values, row-major.
  public let values: UnsafeMutableBufferPointer<Float>
  /// Whether training changes the values. Guarded by the block's lock, as they are.
  public var isTrainable: Bool
  /// Which of the values may be other than 0; nil where all may. Guarded by the block's lock.
  public internal(set) var mask: SparsityMask?
  /// Changes with every change of these values that is noted for them alone.
  var version = 0

  init(_ parameter: Parameter, in block: ParameterBlock, at offset: Int) {
    self.block = block
    values = UnsafeMutableBufferPointer(
      start: (block.memory.base + offset).assumingMemoryBound(to: Float.self), count: parameter.shape.reduce(1, *))
    (isTrainable, mask) = (parameter.isTrainable, parameter.mask)
  }

  /// Makes 0 what the mask says is.
  public func holdMask() { mask?.clear(values) }
}

/// The values of a network's parameters.
///
/// Whoever changes values calls `markChanged()`, so that masks hold and plans prepare their weights anew. Access is serialised by the
/// owner: many may read at once, one may write.
public final class ParameterStorage: @unchecked Sendable {
  /// What is stored. Whether a parameter is trained, its tensor knows.
  public let parameters: [Parameter]
  /// The values, in the same order.
  public let tensors: [ParameterTensor]
  /// The memory: first the storage's own, then that of others in which shared parameters lie.
  public let blocks: [ParameterBlock]
  private let positions: [String: Int]

  /// Room for these parameters, all zero, save for those that another storage has already.
  /// - Parameters:
  ///   - shared: by name, the tensors to be used instead of new ones; of the parameter's size.
  ///   - lock: what guards the new ones.
  public init(
    _ parameters: [Parameter], sharing shared: [String: ParameterTensor] = [:],
    lock: ReadWriteLock = ReadWriteLock(of: "the model")
  ) throws(CNNError) {
    self.parameters = parameters
    var offsets: [Int] = []
    var end = 0
    for parameter in parameters where shared[parameter.name] == nil {
      offsets.append(end)
      let size = try Checked.product(parameter.shape + [4], "parameter '\(parameter.name)'")
      end = try Checked.sum([end, Memory.aligned(size)], "parameters")
    }
    let own = try ParameterBlock(byteCount: end, lock: lock)
    var tensors: [ParameterTensor] = [], blocks = [own]
    var free = offsets.makeIterator()
    for parameter in parameters {
      if let tensor = shared[parameter.name] {
        guard tensor.values.count == parameter.shape.reduce(1, *) else {
          throw CNNError(.shapeMismatch, "the shared parameter '\(parameter.name)' has another size")
        }
        tensors.append(tensor)
        if !blocks.contains(where: { $0 === tensor.block }) { blocks.append(tensor.block) }
      } else {
        tensors.append(ParameterTensor(parameter, in: own, at: free.next() ?? 0))
      }
    }
    (self.tensors, self.blocks) = (tensors, blocks)
    positions = Dictionary(
      parameters.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The position of the parameter of that name, or nil.
  public func position(of name: String) -> Int? { positions[name] }

  /// All of it, to be shared with another storage.
  public var byName: [String: ParameterTensor] {
    Dictionary(zip(parameters.map(\.name), tensors), uniquingKeysWith: { first, _ in first })
  }

  /// The values of the parameter at `position`.
  public func values(at position: Int) -> UnsafeMutableBufferPointer<Float> { tensors[position].values }

  /// Whether another storage made the parameter at `position`.
  public func isShared(at position: Int) -> Bool { tensors[position].block !== blocks[0] }

  /// Changes with every change of the values at these positions, whichever model made it.
  public func version(of positions: [Int]) -> Int {
    positions.reduce(blocks.reduce(0) { $0 &+ $1.version }) { $0 &+ tensors[$1].version }
  }

  /// Changes with every change of a value, whichever model made it.
  public var version: Int { version(of: Array(tensors.indices)) }

  /// Says that values have changed.
  public func markChanged() {
    for tensor in tensors { tensor.holdMask() }
    for block in blocks { block.version &+= 1 }
  }

  /// Says that the values at this position have, and no others: what is prepared of those stays.
  public func markChanged(at position: Int) {
    tensors[position].holdMask()
    tensors[position].version &+= 1
  }

  /// Changes with every change of a mask, whichever model made it: plans that skip zeros are made for masks.
  public var maskVersion: Int { blocks.reduce(0) { $0 &+ $1.maskVersion } }

  /// Gives the values at this position a mask, or none; those that it leaves out become 0.
  public func setMask(_ mask: SparsityMask?, at position: Int) {
    tensors[position].mask = mask
    tensors[position].block.maskVersion &+= 1
    markChanged(at: position)
  }

  /// An independent copy.
  public func copy() throws(CNNError) -> ParameterStorage {
    let copy = try ParameterStorage(parameters)
    for (new, old) in zip(copy.tensors, tensors) {
      _ = new.values.update(fromContentsOf: old.values)
      (new.isTrainable, new.mask) = (old.isTrainable, old.mask)
    }
    return copy
  }
}
