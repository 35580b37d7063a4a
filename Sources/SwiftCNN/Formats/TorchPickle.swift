import CNNCore

/// Reads the pickles that PyTorch writes for tensors, and nothing else.
///
/// A pickle is a program for a stack machine. This machine knows the instructions that put data together; a class or
/// function is only a name to it, and the few calls that PyTorch's tensors are made by are understood here, one by one.
/// Any other name is an error, so that no file can make anything happen. (The instructions: CPython's pickletools.)
struct TorchPickle {
  /// The most instructions' worth of values, which bounds what a small file can make.
  static let maximumValues = 1 << 20

  private(set) var containers: [PickleContainer] = []
  /// Every storage that was named, by its key.
  private(set) var storages: [String: TorchStorage] = [:]
  private var stack: [PickleValue] = []
  private var memo: [Int: PickleValue] = [:]
  private var steps = 0

  /// Runs one pickle and leaves `bytes` behind its end.
  /// - Throws: `.malformedFile` naming the instruction or the class that is not a tensor's.
  mutating func value(of bytes: inout ByteReader) throws(CNNError) -> PickleValue {
    (stack, memo) = ([], [:])
    while true {
      steps += 1
      guard steps <= TorchPickle.maximumValues else { throw fault("has more than \(TorchPickle.maximumValues) parts") }
      let code = try bytes.uint8()
      if code == UInt8(ascii: ".") { return try pop() }
      try execute(code, &bytes)
    }
  }

  private mutating func execute(_ code: UInt8, _ bytes: inout ByteReader) throws(CNNError) {
    switch code {
    case 0x80: try bytes.skip(1)  // The protocol's number.
    case 0x95: try bytes.skip(8)  // A frame's length.
    case UInt8(ascii: "("): stack.append(.mark)
    case UInt8(ascii: "0"): _ = try pop()
    case UInt8(ascii: "1"): _ = try popGroup()
    case UInt8(ascii: "2"): stack.append(try top())
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.integer(Int(try bytes.uint8())))
    case UInt8(ascii: "M"): stack.append(.integer(Int(try bytes.uint16())))
    case UInt8(ascii: "J"): stack.append(.integer(Int(Int32(bitPattern: try bytes.uint32()))))
    case 0x8A: stack.append(try longInteger(&bytes))
    case UInt8(ascii: "G"): stack.append(.number(Double(bitPattern: try bytes.uint64().byteSwapped)))
    case UInt8(ascii: "X"): stack.append(.text(try bytes.text(Int(bytes.uint32()))))
    case 0x8C: stack.append(.text(try bytes.text(Int(bytes.uint8()))))
    case 0x8D: stack.append(.text(try bytes.text(bytes.size())))
    case UInt8(ascii: ")"): push(.tuple, [])
    case UInt8(ascii: "]"): push(.list, [])
    case UInt8(ascii: "}"): push(.dictionary, [])
    case UInt8(ascii: "t"): push(.tuple, try popGroup())
    case UInt8(ascii: "l"): push(.list, try popGroup())
    case UInt8(ascii: "d"): push(.dictionary, try popGroup())
    case 0x85, 0x86, 0x87:
      let count = Int(code - 0x84)
      guard stack.count >= count else { throw fault("takes from an empty stack") }
      let items = Array(stack.suffix(count))
      stack.removeLast(count)
      push(.tuple, items)
    case UInt8(ascii: "a"): try append([pop()], to: .list)
    case UInt8(ascii: "e"): try append(popGroup(), to: .list)
    case UInt8(ascii: "s"):
      let value = try pop()
      try append([pop(), value], to: .dictionary)
    case UInt8(ascii: "u"): try append(popGroup(), to: .dictionary)
    case UInt8(ascii: "q"): memo[Int(try bytes.uint8())] = try top()
    case UInt8(ascii: "r"): memo[Int(try bytes.uint32())] = try top()
    case 0x94: memo[memo.count] = try top()
    case UInt8(ascii: "h"): stack.append(try remembered(Int(bytes.uint8())))
    case UInt8(ascii: "j"): stack.append(try remembered(Int(bytes.uint32())))
    case UInt8(ascii: "c"): stack.append(try global(bytes.line(), bytes.line()))
    case 0x93:
      guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
        throw fault("names a class by something that is not text")
      }
      stack.append(try global(module, name))
    case UInt8(ascii: "Q"): stack.append(.storage(try storage(pop())))
    case UInt8(ascii: "R"):
      let arguments = try items(of: pop(), "arguments")
      guard case .global(let name) = try pop() else { throw fault("calls what is not a function") }
      stack.append(try call(name, arguments))
    case UInt8(ascii: "b"):
      // Attributes of a dictionary, such as `_metadata`, hold no tensors.
      _ = try pop()
      guard case .container(let index) = try top(), containers[index].kind == .dictionary else {
        throw fault("gives attributes to what is not a dictionary")
      }
    default: throw fault("has the instruction \(code), which tensors do not need")
    }
  }

  // -------------------------------------------------------------------------------------------------- the stack machine

  private func fault(_ what: String) -> CNNError { CNNError(.malformedFile, "its pickle \(what)") }

  private mutating func pop() throws(CNNError) -> PickleValue {
    guard let value = stack.popLast() else { throw fault("takes from an empty stack") }
    return value
  }

  private func top() throws(CNNError) -> PickleValue {
    guard let value = stack.last else { throw fault("takes from an empty stack") }
    return value
  }

  /// Takes everything above the last mark, and the mark.
  private mutating func popGroup() throws(CNNError) -> [PickleValue] {
    let start = stack.lastIndex { if case .mark = $0 { true } else { false } }
    guard let start else { throw fault("closes a group that was not opened") }
    defer { stack.removeSubrange(start...) }
    return Array(stack[(start + 1)...])
  }

  private mutating func push(_ kind: PickleContainer.Kind, _ items: [PickleValue]) {
    containers.append(PickleContainer(kind: kind, items: items))
    stack.append(.container(containers.count - 1))
  }

  private mutating func append(_ items: [PickleValue], to kind: PickleContainer.Kind) throws(CNNError) {
    guard case .container(let index) = try top(), containers[index].kind == kind,
      kind != .dictionary || items.count.isMultiple(of: 2)
    else { throw fault("adds to what is not a list or dictionary") }
    containers[index].items += items
  }

  private func remembered(_ index: Int) throws(CNNError) -> PickleValue {
    guard let value = memo[index] else { throw fault("refers to something that was not there before") }
    return value
  }

  /// A whole number of up to eight bytes; a longer one is none that matters here.
  private func longInteger(_ bytes: inout ByteReader) throws(CNNError) -> PickleValue {
    var digits = try bytes.part(Int(bytes.uint8()))
    guard digits.remaining <= 8 else { return .none }
    var value: UInt64 = 0, shift: UInt64 = 0
    var isNegative = false
    while digits.remaining > 0 {
      let digit = try digits.uint8()
      value |= UInt64(digit) << shift
      isNegative = digit & 0x80 != 0
      shift += 8
    }
    if isNegative, shift < 64 { value |= ~0 << shift }
    return .integer(Int(Int64(bitPattern: value)))
  }

  // --------------------------------------------------------------------------------------------- what the names mean

  /// Values that are only handed on, as those of a checkpoint's settings.
  private static let plainNames: Set<String> = [
    "collections.OrderedDict", "torch.Size", "torch.device", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter", "torch.serialization._get_layout",
  ]

  /// PyTorch's classes of storages, by the type of their elements.
  private static let storageTypes: [String: StoredType] = [
    "torch.DoubleStorage": .float64, "torch.FloatStorage": .float32, "torch.HalfStorage": .float16,
    "torch.BFloat16Storage": .bfloat16, "torch.LongStorage": .int64, "torch.IntStorage": .int32,
    "torch.ShortStorage": .int16, "torch.CharStorage": .int8, "torch.ByteStorage": .uint8, "torch.BoolStorage": .bool,
  ]

  /// The element types by their own names, which settings may have.
  private static let types: Set<String> = [
    "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16", "torch.int64", "torch.int32", "torch.int16",
    "torch.int8", "torch.uint8", "torch.bool",
  ]

  private func global(_ module: String, _ name: String) throws(CNNError) -> PickleValue {
    let whole = "\(module.prefix(100)).\(name.prefix(100))"
    guard
      TorchPickle.plainNames.contains(whole) || TorchPickle.storageTypes[whole] != nil
        || TorchPickle.types.contains(whole)
    else { throw fault("names '\(whole)'; what is read are tensors and dictionaries of them, as state_dict() gives") }
    return .global(whole)
  }

  private func items(of value: PickleValue, _ what: String) throws(CNNError) -> [PickleValue] {
    guard case .container(let index) = value, containers[index].kind != .dictionary else {
      throw fault("has \(what) that are not a list")
    }
    return containers[index].items
  }

  /// What a call of a function gives.
  private mutating func call(_ name: String, _ arguments: [PickleValue]) throws(CNNError) -> PickleValue {
    switch name {
    case "collections.OrderedDict":
      var members: [PickleValue] = []
      for list in arguments.prefix(1) {
        for pair in try items(of: list, "pairs") {
          let pair = try items(of: pair, "pairs")
          guard pair.count == 2 else { throw fault("has a pair of \(pair.count)") }
          members += pair
        }
      }
      containers.append(PickleContainer(kind: .dictionary, items: members))
      return .container(containers.count - 1)
    case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor":
      return .tensor(try tensor(arguments))
    case "torch._utils._rebuild_parameter":
      guard let first = arguments.first, case .tensor = first else { throw fault("has a parameter without a tensor") }
      return first
    case "torch.Size": return arguments.first ?? .none
    case "torch.device", "torch.serialization._get_layout": return .none
    default: throw fault("calls '\(name)'; only what tensors and dictionaries of them are made of is read")
    }
  }

  /// The storage of a persistent identifier: ("storage", class, key, device, number of elements).
  private mutating func storage(_ identifier: PickleValue) throws(CNNError) -> TorchStorage {
    let parts = try items(of: identifier, "storages")
    guard parts.count >= 5, case .text("storage") = parts[0], case .global(let name) = parts[1],
      case .text(let key) = parts[2], case .integer(let count) = parts[4]
    else { throw fault("has a storage that is not described as PyTorch does it") }
    guard let type = TorchPickle.storageTypes[name] else { throw fault("has a storage of '\(name)'") }
    guard (0..<1 << 48).contains(count) else { throw fault("has a storage of \(count) elements") }
    if parts.count > 5, case .container = parts[5] { throw fault("has a storage that is a part of another") }
    let storage = TorchStorage(key: key, type: type, count: count)
    guard storages.updateValue(storage, forKey: key) ?? storage == storage else {
      throw fault("describes the storage '\(key.prefix(100))' twice, and differently")
    }
    return storage
  }

  /// The tensor of (storage, offset, sizes, strides, ...).
  private func tensor(_ arguments: [PickleValue]) throws(CNNError) -> TorchTensor {
    guard arguments.count >= 4, case .storage(let storage) = arguments[0], case .integer(let offset) = arguments[1]
    else { throw fault("has a tensor that is not described as PyTorch does it") }
    let shape = try integers(arguments[2]), strides = try integers(arguments[3])
    guard shape.count == strides.count, shape.count <= SafetensorsFile.maximumRank, offset >= 0,
      (shape + strides).allSatisfy({ $0 >= 0 })
    else { throw fault("has a tensor of shape \(describe(shape)) with strides \(describe(strides))") }
    let count = try Checked.product(shape, "a tensor")
    // The last element must lie in the storage.
    var terms = [offset]
    for (size, stride) in zip(shape, strides) {
      terms.append(try Checked.product([max(0, size - 1), stride], "a tensor"))
    }
    let last = try Checked.sum(terms, "a tensor")
    guard count == 0 || last < storage.count else {
      throw fault("has a tensor whose element \(last) is not in its storage of \(storage.count)")
    }
    return TorchTensor(storage: storage, offset: offset, shape: shape, strides: strides, count: count)
  }

  private func integers(_ value: PickleValue) throws(CNNError) -> [Int] {
    var result: [Int] = []
    for item in try items(of: value, "sizes") {
      guard case .integer(let size) = item else { throw fault("has a size that is not a whole number") }
      result.append(size)
    }
    return result
  }

  // ------------------------------------------------------------------------------------------------------ what was made

  /// The tensors of a dictionary by their names, or of the first that stands under one of `keys` in it.
  /// - Throws: `.malformedFile` where there are none, with the keys that there are.
  func tensors(
    of root: PickleValue, under keys: [String]
  ) throws(CNNError) -> [(name: String, tensor: TorchTensor)] {
    var root = root
    for _ in 0..<4 {
      let members = members(of: root)
      let tensors = members.compactMap { name, value in
        if case .tensor(let tensor) = value { (name: name, tensor: tensor) } else { nil }
      }
      if !tensors.isEmpty { return tensors }
      guard let next = keys.lazy.compactMap({ key in members.last { $0.name == key } }).first else {
        let names = members.prefix(20).map { "'\($0.name.prefix(50))'" }.joined(separator: ", ")
        throw fault("has no dictionary of tensors; it has \(names.isEmpty ? "no names at all" : names)")
      }
      root = next.value
    }
    throw fault("has no dictionary of tensors")
  }

  /// The members of a dictionary whose keys are text.
  private func members(of value: PickleValue) -> [(name: String, value: PickleValue)] {
    guard case .container(let index) = value, containers[index].kind == .dictionary else { return [] }
    let items = containers[index].items
    return stride(from: 0, to: items.count - 1, by: 2).compactMap { position in
      if case .text(let name) = items[position] { (name, items[position + 1]) } else { nil }
    }
  }
}
