import CNNCore

/// Which layer of a file is which of a model, where a file has its weights by layers, as Keras's have.
///
/// Layers are told by the names that somebody gave them; otherwise by the places that they have in the model's object, by
/// which Keras itself goes; otherwise by their order among those of their class.
public struct LayerMatch {
  /// A layer of the model or of the file.
  private struct Layer {
    /// The attributes and numbered lists that lead to it.
    let path: [String]
    /// The names of the models and layers around it and its own; "" where nobody gave one.
    let given: [String]
    /// Its class, as "conv2d"; "" where it is not known.
    let kind: String
    /// What it is called in messages.
    let label: String
    /// Its weights.
    let weights: [Weight]

    /// Its group and its class in it, of which there are as many on both sides.
    var group: [String] { path.dropLast() + [LayerMatch.stem(path.last ?? "")] }

    init(_ object: JSONObject) throws(CNNError) {
      path = try object.strings("path")
      given = try object.strings("given")
      kind = try object.string("kind")
      label = try object.string("label")
      var weights: [Weight] = []
      for entry in try object.array("weights") { weights.append(try Weight(entry)) }
      self.weights = weights
    }
  }

  private struct Weight {
    let name: String
    let parameter: String
    let label: String
    let shape: [Int]

    init(_ json: JSON) throws(CNNError) {
      guard let object = json.objectValue else { throw CNNError(.malformedFile, "expected an object for each weight") }
      name = try object.optionalString("name") ?? ""
      parameter = try object.optionalString("parameter") ?? ""
      label = try object.optionalString("label") ?? ""
      shape = try object.integers("shape")
    }
  }

  private let wanted: [Layer]
  private let stored: [Layer]
  private let hasOrder: Bool
  /// The last parameter of the model, which may be of a classifier for other classes.
  private let last: String
  /// The normalisation of pixels, if it was asked for.
  private var pixels: KerasPixels?
  /// The file's layer for each of the model's.
  private var found: [Int: Int] = [:]
  private var taken: Set<Int> = []
  private var byOrder: [String] = []

  /// Matches what a JSON object describes, as `include/swiftcnn.h` has it for `scnn_match_layers`.
  /// - Throws: `.invalidArgument` where it is no such description.
  public init(json: JSONObject) throws(CNNError) {
    func layers(_ key: String) throws(CNNError) -> [Layer] {
      var result: [Layer] = []
      for entry in try json.array(key) {
        guard let object = entry.objectValue else { throw CNNError(.malformedFile, "'\(key)': expected objects") }
        result.append(try Layer(object))
      }
      return result
    }
    do throws(CNNError) {
      try json.requireKeys(among: ["wanted", "stored", "has_order", "last", "pixels"])
      (wanted, stored) = (try layers("wanted"), try layers("stored"))
      (hasOrder, last) = (try json.bool("has_order"), try json.string("last"))
      if let object = try json.optionalObject("pixels") { pixels = try KerasPixels(object) }
    } catch { throw error.coded(.invalidArgument) }
    matchNames()
    matchPaths()
    matchOrder()
  }

  private mutating func take(_ layer: Int, _ other: Int, byOrder isByOrder: Bool) {
    found[layer] = other
    taken.insert(other)
    if isByOrder { byOrder.append("\(stored[other].label) as \(wanted[layer].label)") }
  }

  /// By names that somebody gave: alone where there is one such, otherwise with those of the models around.
  private mutating func matchNames() {
    for usesWhole in [false, true] {
      func key(_ layer: Layer) -> [String] { usesWhole ? layer.given : layer.given.suffix(1) }
      func table(_ side: [Layer]) -> [[String]: [Int]] {
        Dictionary(grouping: side.indices.filter { side[$0].given.last?.isEmpty == false }) { key(side[$0]) }
      }
      let here = table(wanted), there = table(stored)
      for other in stored.indices {
        let name = key(stored[other])
        guard there[name] == [other] else { continue }
        let layers = here[name] ?? Self.torchName(name.last ?? "").flatMap { here[[$0]] } ?? []
        if layers.count == 1, found[layers[0]] == nil { take(layers[0], other, byOrder: false) }
      }
    }
  }

  /// By the places that Keras itself goes by, where names were made up or differ; a group has to have as many layers of
  /// the class on both sides.
  private mutating func matchPaths() {
    func counts(_ side: [Layer]) -> [[String]: Int] {
      Dictionary(side.filter { !$0.path.isEmpty }.map { ($0.group, 1) }, uniquingKeysWith: +)
    }
    let places = Dictionary(stored.indices.map { (stored[$0].path, $0) }, uniquingKeysWith: { $1 })
    let (here, there) = (counts(wanted), counts(stored)), named = taken
    for (index, layer) in wanted.enumerated() where !layer.path.isEmpty && found[index] == nil {
      guard let other = places[layer.path], !named.contains(other), here[layer.group] == there[layer.group] else {
        continue
      }
      take(index, other, byOrder: true)
    }
  }

  /// By the order of each class, where the file has other groups, or none: each is to be at the same place among all layers
  /// of its class.
  private mutating func matchOrder() {
    // What layers have in common that can be told apart in the file.
    func sort(_ layer: Layer) -> String {
      hasOrder && ["conv2d", "depthwise_conv2d"].contains(layer.kind) ? "" : layer.kind
    }
    let others = Dictionary(grouping: stored.indices) { sort(stored[$0]) }, before = taken
    var next: [String: Int] = [:]
    for index in wanted.indices {
      let kind = sort(wanted[index]), position = next[kind, default: 0]
      next[kind] = position + 1
      guard let list = others[kind], position < list.count, found[index] == nil, !before.contains(list[position]) else {
        continue
      }
      take(index, list[position], byOrder: true)
    }
  }

  /// What was found: pairs of layers that fit, by their numbers, and what did not.
  public var json: JSON {
    var pairs: [JSON] = [], missing: [String] = [], misshapen: [String] = [], classes: Int?
    for (index, layer) in wanted.enumerated() {
      guard let number = found[index] else {
        missing += layer.weights.map(\.parameter)
        continue
      }
      let other = stored[number]
      if Self.fits(layer, other) {
        pairs.append(.integers([index, number]))
      } else if layer.weights.last?.parameter == last, let count = Self.otherClasses(layer, other) {
        classes = count
      } else {
        let shapes = other.weights.map { describe($0.shape) }.joined(separator: " ")
        let expected = layer.weights.map { "\($0.label) \(describe($0.shape))" }.joined(separator: ", ")
        misshapen.append("\(other.label) \(shapes) instead of \(expected)")
      }
    }
    return [
      "pairs": .array(pairs), "missing": .strings(missing),
      "left_over": .strings(stored.indices.filter { !taken.contains($0) }.map { stored[$0].label }),
      "misshapen": .strings(misshapen + (pixels?.faults ?? [])), "pixels": pixels?.json ?? .null,
      "by_order": .strings(byOrder),
      "other_classes": classes.map { .integer(Int64($0)) } ?? .null,
    ]
  }

  /// Whether a layer has as many weights as the file's, of the same shapes.
  private static func fits(_ layer: Layer, _ other: Layer) -> Bool {
    guard layer.weights.count == other.weights.count else { return false }
    return zip(layer.weights, other.weights).allSatisfy { ours, theirs in
      // PReLU's slopes may have axes of one element more or fewer.
      ours.shape == theirs.shape
        || ours.name == "alpha" && ours.shape.filter { $0 != 1 } == theirs.shape.filter { $0 != 1 }
    }
  }

  /// The number of classes of a dense layer of the file that differs in nothing else.
  private static func otherClasses(_ layer: Layer, _ other: Layer) -> Int? {
    guard layer.kind == "dense", layer.weights.count == other.weights.count, let shape = other.weights.first?.shape,
      shape.count == 2, shape[0] == layer.weights[0].shape.first
    else { return nil }
    return shape[1]
  }

  /// A name without the number at its end.
  fileprivate static func stem(_ name: String) -> String {
    guard let end = name.lastIndex(of: "_") else { return name }
    let number = name[name.index(after: end)...]
    let isNumber = !number.isEmpty && number.utf8.count < 10 && number.utf8.allSatisfy { (48...57).contains($0) }
    return isNumber ? String(name[..<end]) : name
  }

  /// What a layer of one of Keras's ResNets is called by torchvision, as `layer1.0.conv2` for `conv2_block1_2_conv`.
  private static func torchName(_ name: String) -> String? {
    switch name {
    case "conv1_conv": return "conv1"
    case "conv1_bn": return "bn1"
    case "predictions": return "fc"
    default: break
    }
    let parts = name.split(separator: "_" as Character)
    guard parts.count == 4, parts[0].hasPrefix("conv"), parts[1].hasPrefix("block"),
      let stage = Int(parts[0].dropFirst(4)),
      let block = Int(parts[1].dropFirst(5)), let number = Int(parts[2]), (0...3).contains(number), stage < 10,
      parts[3] == "conv" || parts[3] == "bn"
    else { return nil }
    let place = "layer\(stage - 1).\(block - 1)"
    return number == 0 ? "\(place).downsample.\(parts[3] == "bn" ? 1 : 0)" : "\(place).\(parts[3])\(number)"
  }
}
