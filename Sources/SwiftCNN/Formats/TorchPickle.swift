import CNNCore

/// Reads the pickles that PyTorch writes: the tensors, and past all else that may stand beside them.
///
/// A pickle is a program for a stack machine. This machine knows its instructions, but a class or function is only a name
/// to it: the few calls that tensors and dictionaries are made by are understood here, one by one, and every other one
/// gives an object of which nothing is known but its class and the members it is given. So no file can make anything
/// happen. (The instructions: CPython's pickletools.)
struct TorchPickle {
  /// The most instructions' worth of values, which bounds what a small file can make.
  static let maximumValues = 1 << 22
  /// Longer texts are no names, and are passed over.
  static let maximumTextByteCount = 1 << 12

  private(set) var containers: [PickleContainer] = []
  /// Every storage that was named, by its key.
  private(set) var storages: [String: TorchStorage] = [:]
  private var stack: [PickleValue] = []
  private var memo: [Int: PickleValue] = [:]
  private var steps = 0

  /// Runs one pickle and leaves `bytes` behind its end.
  /// - Throws: `.malformedFile` naming the instruction that does not fit.
  mutating func value(of bytes: inout ByteReader) throws(CNNError) -> PickleValue {
    (stack, memo) = ([], [:])
    while true {
      try count(1)
      let code = try bytes.uint8()
      if code == UInt8(ascii: ".") { return try pop() }
      try execute(code, &bytes)
    }
  }

  private mutating func count(_ values: Int) throws(CNNError) {
    steps += values
    guard steps <= TorchPickle.maximumValues else { throw fault("has more than \(TorchPickle.maximumValues) parts") }
  }

  private mutating func execute(_ code: UInt8, _ bytes: inout ByteReader) throws(CNNError) {
    switch code {
    case 0x80: try bytes.skip(1)  // The protocol's number.
    case 0x95: try bytes.skip(8)  // A frame's length.
    case UInt8(ascii: "("): stack.append(.mark)
    case UInt8(ascii: "0"): _ = try pop()
    case UInt8(ascii: "1"): _ = try popGroup()
    case UInt8(ascii: "2"): stack.append(try top())
    case UInt8(ascii: "q"): memo[Int(try bytes.uint8())] = try top()
    case UInt8(ascii: "r"): memo[Int(try bytes.uint32())] = try top()
    case UInt8(ascii: "p"): memo[try index(bytes.line())] = try top()
    case 0x94: memo[memo.count] = try top()
    case UInt8(ascii: "h"): stack.append(try remembered(Int(bytes.uint8())))
    case UInt8(ascii: "j"): stack.append(try remembered(Int(bytes.uint32())))
    case UInt8(ascii: "g"): stack.append(try remembered(index(bytes.line())))
    default:
      if let value = try constant(code, &bytes) {
        stack.append(value)
      } else if try !executeContainer(code), try !executeObject(code, &bytes) {
        throw fault("has the instruction \(code), which is none of a file's")
      }
    }
  }

  /// The value that an instruction names by itself; nil for an instruction of another kind.
  private func constant(_ code: UInt8, _ bytes: inout ByteReader) throws(CNNError) -> PickleValue? {
    switch code {
    case UInt8(ascii: "N"): return PickleValue.none
    case 0x88: return .bool(true)
    case 0x89: return .bool(false)
    case UInt8(ascii: "K"): return .integer(Int(try bytes.uint8()))
    case UInt8(ascii: "M"): return .integer(Int(try bytes.uint16()))
    case UInt8(ascii: "J"): return .integer(Int(Int32(bitPattern: try bytes.uint32())))
    case UInt8(ascii: "I"), UInt8(ascii: "L"): return Self.integer(try bytes.line())
    case 0x8A: return try longInteger(&bytes, byteCount: Int(bytes.uint8()))
    case 0x8B: return try longInteger(&bytes, byteCount: Int(bytes.uint32()))
    case UInt8(ascii: "G"): return .number(Double(bitPattern: try bytes.uint64().byteSwapped))
    case UInt8(ascii: "F"):
      _ = try bytes.line()
      return PickleValue.none
    case UInt8(ascii: "X"), UInt8(ascii: "T"): return try text(&bytes, Int(bytes.uint32()))
    case 0x8C, UInt8(ascii: "U"): return try text(&bytes, Int(bytes.uint8()))
    case 0x8D: return try text(&bytes, bytes.size())
    case UInt8(ascii: "V"): return .text(try bytes.line())
    case UInt8(ascii: "S"): return .text(String(try bytes.line().dropFirst().dropLast()))  // It is quoted.
    case UInt8(ascii: "B"): return try skipped(&bytes, Int(bytes.uint32()))
    case UInt8(ascii: "C"): return try skipped(&bytes, Int(bytes.uint8()))
    case 0x8E, 0x96: return try skipped(&bytes, bytes.size())
    default: return nil
    }
  }

  /// Makes or fills a tuple, list, set or dictionary; false for an instruction of another kind.
  private mutating func executeContainer(_ code: UInt8) throws(CNNError) -> Bool {
    switch code {
    case UInt8(ascii: ")"): push(.tuple, [])
    case UInt8(ascii: "]"), 0x8F: push(.list, [])
    case UInt8(ascii: "}"): push(.dictionary, [])
    case UInt8(ascii: "t"): push(.tuple, try popGroup())
    case UInt8(ascii: "l"), 0x91: push(.list, try popGroup())
    case UInt8(ascii: "d"): push(.dictionary, try popGroup())
    case 0x85, 0x86, 0x87:
      let count = Int(code - 0x84)
      guard stack.count >= count else { throw fault("takes from an empty stack") }
      let items = Array(stack.suffix(count))
      stack.removeLast(count)
      push(.tuple, items)
    case UInt8(ascii: "a"): try append([pop()], to: .list)
    case UInt8(ascii: "e"), 0x90: try append(popGroup(), to: .list)
    case UInt8(ascii: "s"):
      let value = try pop()
      try append([pop(), value], to: .dictionary)
    case UInt8(ascii: "u"): try append(popGroup(), to: .dictionary)
    default: return false
    }
    return true
  }

  /// Names a class or calls one; false for an instruction of another kind.
  private mutating func executeObject(_ code: UInt8, _ bytes: inout ByteReader) throws(CNNError) -> Bool {
    switch code {
    case UInt8(ascii: "c"): stack.append(Self.global(try bytes.line(), try bytes.line()))
    case 0x93:
      guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
        throw fault("names a class by something that is not text")
      }
      stack.append(Self.global(module, name))
    case 0x82: stack.append(Self.global("extension", String(try bytes.uint8())))
    case 0x83: stack.append(Self.global("extension", String(try bytes.uint16())))
    case 0x84: stack.append(Self.global("extension", String(try bytes.uint32())))
    case UInt8(ascii: "Q"): stack.append(try persistent(pop()))
    case UInt8(ascii: "R"), 0x81:
      let arguments = try items(of: pop(), "arguments")
      stack.append(try call(pop(), arguments))
    case 0x92:
      _ = try pop()  // The arguments by name.
      let arguments = try items(of: pop(), "arguments")
      stack.append(try call(pop(), arguments))
    case UInt8(ascii: "i"):
      let name = Self.global(try bytes.line(), try bytes.line())
      stack.append(try call(name, popGroup()))
    case UInt8(ascii: "o"):
      let group = try popGroup()
      guard let name = group.first else { throw fault("makes an object of no class") }
      stack.append(try call(name, Array(group.dropFirst())))
    case UInt8(ascii: "b"):
      // Attributes, such as `_metadata`, hold no tensors that are a dictionary's; but they tell a whole network.
      let state = try pop()
      guard case .container(let index) = try top(), case .container(let attributes) = state else { return true }
      try count(containers[attributes].items.count)  // One dictionary may be given to many.
      if containers[attributes].items.contains(where: { if case .text("_modules") = $0 { true } else { false } }) {
        containers[index].isNetwork = true
      }
    default: return false
    }
    return true
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
    guard case .container(let index) = try top(), [kind, .object].contains(containers[index].kind),
      kind != .dictionary || items.count.isMultiple(of: 2)
    else { throw fault("adds to what is not a list or dictionary") }
    // Of an object the members are kept that it has as a dictionary.
    if containers[index].kind == kind || kind == .dictionary { containers[index].items += items }
  }

  private func remembered(_ index: Int) throws(CNNError) -> PickleValue {
    guard let value = memo[index] else { throw fault("refers to something that was not there before") }
    return value
  }

  private func index(_ line: String) throws(CNNError) -> Int {
    guard let index = Int(line), index >= 0 else { throw fault("numbers what it remembers by '\(line.prefix(20))'") }
    return index
  }

  private func text(_ bytes: inout ByteReader, _ byteCount: Int) throws(CNNError) -> PickleValue {
    guard byteCount <= TorchPickle.maximumTextByteCount else { return try skipped(&bytes, byteCount) }
    return .text(try bytes.repairedText(byteCount))
  }

  private func skipped(_ bytes: inout ByteReader, _ byteCount: Int) throws(CNNError) -> PickleValue {
    try bytes.skip(byteCount)
    return .none
  }

  /// A number in decimal digits, with an L behind it where it was long, or 00 and 01 for false and true.
  private static func integer(_ line: String) -> PickleValue {
    switch line {
    case "00": return .bool(false)
    case "01": return .bool(true)
    default: return Int(line.last == "L" ? line.dropLast() : line[...]).map { .integer($0) } ?? .none
    }
  }

  /// A whole number of up to eight bytes; a longer one is none that matters here.
  private func longInteger(_ bytes: inout ByteReader, byteCount: Int) throws(CNNError) -> PickleValue {
    var digits = try bytes.part(byteCount)
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

  /// PyTorch's classes of storages, by the type of their elements.
  private static let storageTypes: [String: StoredType] = [
    "torch.DoubleStorage": .float64, "torch.FloatStorage": .float32, "torch.HalfStorage": .float16,
    "torch.BFloat16Storage": .bfloat16, "torch.LongStorage": .int64, "torch.IntStorage": .int32,
    "torch.ShortStorage": .int16, "torch.CharStorage": .int8, "torch.ByteStorage": .uint8, "torch.BoolStorage": .bool,
  ]

  private static func global(_ module: String, _ name: String) -> PickleValue {
    .global("\(module.prefix(100)).\(name.prefix(100))")
  }

  private func items(of value: PickleValue, _ what: String) throws(CNNError) -> [PickleValue] {
    guard case .container(let index) = value, [.tuple, .list].contains(containers[index].kind) else {
      throw fault("has \(what) that are not a list")
    }
    return containers[index].items
  }

  /// An object of which nothing is known but its class.
  private mutating func object(_ name: String) -> PickleValue {
    containers.append(PickleContainer(kind: .object, className: name))
    return .container(containers.count - 1)
  }

  /// What the call of a function or class gives. Nothing is run.
  private mutating func call(_ function: PickleValue, _ arguments: [PickleValue]) throws(CNNError) -> PickleValue {
    guard case .global(let name) = function else { return object("an object") }
    switch name {
    case "collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict":
      push(.dictionary, try pairs(of: arguments.first))
      return try pop()
    case "collections.Counter": return arguments.first ?? .none
    case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor":
      if case .container(let index)? = arguments.first, containers[index].kind == .object { return object(name) }
      return .tensor(try tensor(arguments))
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
      return arguments.first ?? .none
    case "torch._tensor._rebuild_from_type_v2":
      // (function, class, arguments, state), of a class derived from the tensor's.
      guard arguments.count > 2, case .global(let inner) = arguments[0], inner != name else { return object(name) }
      return try call(arguments[0], items(of: arguments[2], "arguments"))
    case "torch.Size": return arguments.first ?? .none
    case "copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__":
      if case .global(let inner)? = arguments.first { return object(inner) }
      return object(name)
    default: return object(name)
    }
  }

  /// The keys and values of a list of pairs; none where it is something else.
  private mutating func pairs(of list: PickleValue?) throws(CNNError) -> [PickleValue] {
    guard case .container(let index)? = list, containers[index].kind == .list else { return [] }
    var members: [PickleValue] = []
    // Counted, since one list may be given to many calls.
    try count(containers[index].items.count)
    for pair in containers[index].items {
      guard case .container(let index) = pair, containers[index].items.count == 2 else { return [] }
      members += containers[index].items
    }
    return members
  }

  /// What stands outside of the pickle: a storage, ("storage", class, key, device, number of elements), or of old files
  /// the class of a network, ("module", class, file, source).
  private mutating func persistent(_ identifier: PickleValue) throws(CNNError) -> PickleValue {
    let parts = try items(of: identifier, "storages")
    if parts.count > 1, case .text("module") = parts[0] { return parts[1] }
    guard parts.count >= 5, case .text("storage") = parts[0], case .global(let name) = parts[1],
      case .text(let key) = parts[2], case .integer(let count) = parts[4]
    else { throw fault("has a storage that is not described as PyTorch does it") }
    guard let type = TorchPickle.storageTypes[name] else { return object(name) }
    guard (0..<1 << 48).contains(count) else { throw fault("has a storage of \(count) elements") }
    if parts.count > 5, case .container = parts[5] { throw fault("has a storage that is a part of another") }
    let storage = TorchStorage(key: key, type: type, count: count)
    guard storages.updateValue(storage, forKey: key) ?? storage == storage else {
      throw fault("describes the storage '\(key.prefix(100))' twice, and differently")
    }
    return .storage(storage)
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

  /// All tensors that stand in dictionaries, by their keys from the outermost on, as `state_dict/conv1.weight`.
  /// - Throws: `.malformedFile` where there are none, with what there is instead.
  func tensors(of root: PickleValue) throws(CNNError) -> [(name: String, tensor: TorchTensor)] {
    var result: [(name: String, tensor: TorchTensor)] = []
    var seen: Set<Int> = [], names: Set<String> = []
    var level = [(path: "", value: root)]
    for _ in 0..<Self.maximumDepth {
      var next: [(path: String, value: PickleValue)] = []
      for (path, value) in level {
        guard case .container(let index) = value, seen.insert(index).inserted else { continue }
        for (key, member) in members(of: value) {
          switch member {
          case .tensor(let tensor): if names.insert(path + key).inserted { result.append((path + key, tensor)) }
          case .container: next.append(("\(path)\(key)/", member))
          default: break
          }
        }
      }
      level = next
    }
    if result.isEmpty { throw nothing(in: root) }
    return result
  }

  /// How deep in dictionaries tensors are looked for.
  private static let maximumDepth = 5

  /// The class of a network that was pickled as a whole, the first there is.
  var networkClass: String? { containers.first { $0.isNetwork }?.className }

  private func nothing(in root: PickleValue) -> CNNError {
    if let name = networkClass { return fault("is \(Self.wholeNetwork(name))") }
    switch root {
    case .container(let index) where containers[index].kind == .object:
      return fault("is \(Self.wholeNetwork(containers[index].className))")
    case .tensor: return fault("is one tensor; expected a dictionary of them, as state_dict() gives")
    default:
      let names = members(of: root).prefix(20).map { "'\($0.name.prefix(50))'" }.joined(separator: ", ")
      return fault(
        "has no dictionary of tensors, as state_dict() gives; it has \(names.isEmpty ? "no names at all" : names)")
    }
  }

  /// What is said of a network that was pickled with its code.
  static func wholeNetwork(_ name: String) -> String {
    "a whole object of the class '\(name)', whose code is not in the file, and is not run; save its tensors: "
      + "torch.save(model.state_dict(), path)"
  }

  /// The members of a dictionary whose keys are text, the last of each name, or of a list by their numbers.
  private func members(of value: PickleValue) -> [(name: String, value: PickleValue)] {
    guard case .container(let index) = value else { return [] }
    let items = containers[index].items
    switch containers[index].kind {
    case .tuple, .list: return items.enumerated().map { (String($0.offset), $0.element) }
    case .dictionary, .object:
      var positions: [String: Int] = [:]
      var members: [(name: String, value: PickleValue)] = []
      for position in stride(from: 0, to: items.count - 1, by: 2) {
        guard case .text(let name) = items[position] else { continue }
        if let known = positions[name] {
          members[known].value = items[position + 1]
        } else {
          positions[name] = members.count
          members.append((name, items[position + 1]))
        }
      }
      return members
    }
  }
}
