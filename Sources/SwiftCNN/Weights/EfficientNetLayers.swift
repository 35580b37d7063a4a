import CNNGraph

/// The layers of an EfficientNet as its parameters' names tell them, so that they can be named by another convention.
///
/// What kind a convolution of a block has follows from how many there are, and whether the first is depthwise.
struct EfficientNetLayers {
  /// Consecutive parameters of one layer.
  private struct Layer {
    let name: String
    /// The last components of the parameters' names: weight, bias, running_mean...
    var leaves: [Substring]
    var shape: [Int]

    var isConvolution: Bool { shape.count == 4 }
    /// Squeeze-and-excitation's convolutions are the ones with a bias.
    var isSqueeze: Bool { isConvolution && leaves.count == 2 }
  }

  private struct Block {
    let stage, position: Int
    var layers: [Layer] = []
  }

  private var stem: [Layer] = []
  private var blocks: [Block] = []
  private var head: [Layer] = []
  private var classifier: [Layer] = []

  /// Finds the layers; nil where these are not an EfficientNet's parameters, in its order.
  init?(_ parameters: [Parameter]) {
    let schemes = [EfficientNetNaming.torchvision, .timm]
    guard let first = parameters.first?.name,
      let scheme = schemes.first(where: { first == "\($0.stem.convolution).weight" })
    else { return nil }
    var layers: [Layer] = []
    for parameter in parameters {
      guard let dot = parameter.name.lastIndex(of: ".") else { return nil }
      let name = String(parameter.name[..<dot]), leaf = parameter.name[parameter.name.index(after: dot)...]
      if layers.last?.name == name {
        layers[layers.count - 1].leaves.append(leaf)
      } else {
        layers.append(Layer(name: name, leaves: [leaf], shape: parameter.shape))
      }
    }
    for layer in layers {
      if layer.shape.count == 2 {
        classifier.append(layer)
      } else if let (stage, position) = Self.place(of: layer.name, scheme) {
        if blocks.last.map({ ($0.stage, $0.position) == (stage, position) }) != true {
          blocks.append(Block(stage: stage, position: position))
        }
        blocks[blocks.count - 1].layers.append(layer)
      } else if blocks.isEmpty {
        stem.append(layer)
      } else {
        head.append(layer)
      }
    }
    // Feature maps end before the head.
    guard stem.count == 2, head.isEmpty || head.count == 2, classifier.count <= 1,
      blocks.allSatisfy({ Self.parts(of: $0) != nil })
    else { return nil }
  }

  /// The names of the parameters in their order; nil where the convention has none for such blocks.
  func names(in scheme: EfficientNetNaming) -> [String]? {
    var result: [String] = []
    func append(_ name: String, _ layer: Layer) { result += layer.leaves.map { "\(name).\($0)" } }
    func append(_ names: EfficientNetNaming.Layer, _ layers: [Layer]) {
      for (name, layer) in zip([names.convolution, names.normalization], layers) { append(name, layer) }
    }
    append(scheme.stem, stem)
    for (index, block) in blocks.enumerated() {
      guard let parts = Self.parts(of: block) else { return nil }
      if !scheme.hasFusedBlocks, parts.contains(.fusedExpansion) || parts.contains(.whole) { return nil }
      var names = scheme.block(stage: block.stage, position: block.position, index: index)
      var next = parts.makeIterator()
      var current: EfficientNetNaming.Layer?, squeeze: EfficientNetNaming.Squeeze?
      for layer in block.layers {
        if layer.isSqueeze {
          if let reduced = squeeze {
            append(reduced.expansion, layer)
          } else {
            let new = names.squeeze()
            append(new.reduction, layer)
            squeeze = new
          }
        } else if layer.isConvolution, let part = next.next() {
          let new = names.convolution(part)
          append(new.convolution, layer)
          current = new
        } else if let current {
          append(current.normalization, layer)
        } else {
          return nil
        }
      }
    }
    append(scheme.head(stages: (blocks.last?.stage ?? -1) + 1), head)
    for layer in classifier { append(scheme.classifier, layer) }
    return result
  }

  /// The stage and the position in it of the block that a layer belongs to, nil for one outside.
  private static func place(of layer: String, _ scheme: EfficientNetNaming) -> (stage: Int, position: Int)? {
    let parts = layer.split(separator: ".")
    let isBlock = scheme == .torchvision ? parts.count > 4 && parts[0] == "features" : parts.first == "blocks"
    guard isBlock, parts.count > 3, let stage = Int(parts[1]), let position = Int(parts[2]), stage >= 0 else {
      return nil
    }
    return (scheme == .torchvision ? stage - 1 : stage, position)
  }

  /// What the convolutions of a block are for, in their order.
  private static func parts(of block: Block) -> [EfficientNetNaming.Part]? {
    let convolutions = block.layers.filter { $0.isConvolution && !$0.isSqueeze }
    let isDepthwise = convolutions.first.map { $0.shape[1] == 1 } ?? false
    switch convolutions.count {
    case 1: return [.whole]
    case 2: return isDepthwise ? [.depthwise, .plainProjection] : [.fusedExpansion, .projection]
    case 3: return [.expansion, .depthwise, .projection]
    default: return nil
    }
  }
}
