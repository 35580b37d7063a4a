/// What a pickle of tensors is made of.
///
/// Containers are known by their number in the machine that made them, not nested in one another: a hostile pickle can
/// neither build a tower that is too high to be taken down nor a ring that is never freed.
enum PickleValue {
  /// The bottom of a group on the stack.
  case mark
  /// None, and what is of no interest here.
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  /// A class or function, as `torch.FloatStorage`.
  case global(String)
  /// A tuple, list, dictionary or object.
  case container(Int)
  // In a box of their own, so that the many other values are small.
  indirect case storage(TorchStorage)
  indirect case tensor(TorchTensor)
}

/// The items of a container; those of a dictionary are its keys and values in turn.
struct PickleContainer {
  /// An object is of a class that is only a name; it may have members as a dictionary has them.
  enum Kind { case tuple, list, dictionary, object }

  let kind: Kind
  var items: [PickleValue] = []
  var className = ""
  /// Whether it is one of PyTorch's networks, pickled as a whole.
  var isNetwork = false
}

/// Elements of one type, one after another somewhere in the file.
struct TorchStorage: Sendable, Equatable {
  /// Its name in the file.
  let key: String
  let type: StoredType
  /// The number of elements.
  let count: Int
}

/// A tensor's place in a storage.
struct TorchTensor: Sendable, Equatable {
  let storage: TorchStorage
  /// Where its first element is, in elements.
  let offset: Int
  let shape: [Int]
  /// How far apart neighbours are along each axis, in elements.
  let strides: [Int]

  /// The number of elements.
  let count: Int

  /// Whether the elements stand one after another in row-major order.
  var isContiguous: Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      if stride != expected { return false }
      expected *= size
    }
    return true
  }
}
