import CNNCore
import CNNGraph

/// Which tensor of a file belongs to which parameter of a network. Names decide.
struct WeightsMatch {
  /// The file's name of each parameter's tensor, by the parameter's position; nil where it has none that fits.
  private(set) var sources: [String?]
  /// The parameters whose tensor was made for another number of channels, and how many.
  private(set) var channels: [Int: Int] = [:]
  private(set) var report: WeightsReport

  /// Finds the place in the file, and the conventions, by which most of the network's names are known.
  /// - Parameters:
  ///   - cutOff: what whole networks have after the last of this one's parameters, which a file may have too.
  ///   - convertsChannels: whether a first convolution for another number of channels is taken.
  ///   - isPassedOver: whether a tensor is none of the network's, whatever it is called.
  init(
    _ file: any TensorFile, _ network: Graph, cutOff: [Parameter], convertsChannels: Bool,
    passingOver isPassedOver: (String) -> Bool
  ) {
    let parameters = network.parameters
    let tensors = file.names.filter { !isPassedOver($0) }
    let spellings = Self.spellings(of: parameters + cutOff)
    let place = WeightsPlace.best(for: spellings.map(\.names), parameters + cutOff, in: file, tensors)
    let spelling = spellings[place?.spelling ?? 0]
    report = WeightsReport(path: file.path, naming: spelling.naming)
    (report.source, report.prefix) = (place?.source ?? "", place?.prefix ?? "")

    // By the name inside of wrappers. Where two are alike, neither is lost: the other is left over.
    var whole: [String: String] = [:]
    var rest: [(tensor: String, name: String)] = []
    let known = Set(spelling.names)
    for tensor in tensors {
      guard let place else {
        rest.append((tensor, tensor))
        continue
      }
      switch place.name(of: tensor) {
      case .inside(let name):
        if known.contains(name), whole[name] == nil { whole[name] = tensor } else { rest.append((tensor, name)) }
      case .beside: report.passedOver.append(tensor)
      case .elsewhere: break
      }
    }

    sources = Array(repeating: nil, count: parameters.count)
    let classifier = Self.classifier(of: network)
    let stems = convertsChannels ? Self.firstConvolutions(of: network) : []
    let classes = Self.otherClasses(file, whole, spelling.names, parameters, classifier)
    report.otherClasses = classes
    for (position, parameter) in parameters.enumerated() {
      guard let source = whole[spelling.names[position]], let shape = file.shape(of: source) else {
        report.missing.append(spelling.names[position])
        continue
      }
      if shape == parameter.shape {
        sources[position] = source
        report.loaded += 1
      } else if stems.contains(parameter.name), InputChannels.areAllThatDiffers(shape, parameter.shape) {
        sources[position] = source
        channels[position] = shape[1]
        report.loaded += 1
        report.converted.append("\(source) \(describe(shape)) as \(describe(parameter.shape))")
      } else if classes == nil || !classifier.contains(parameter.name) {
        report.misshapen.append("\(source) \(describe(shape)) instead of \(describe(parameter.shape))")
      }
    }
    // A network without classifier takes the rest of a file that has one.
    if classifier.isEmpty {
      rest.removeAll { _, name in Self.classifierNames.contains { name == "\($0).weight" || name == "\($0).bias" } }
    }
    report.leftOver = rest.map(\.tensor)
    report.passedOver += spelling.names.dropFirst(parameters.count).compactMap { whole[$0] }
  }

  /// What the network's parameters may be called, each list once.
  private static func spellings(of parameters: [Parameter]) -> [(naming: WeightNaming, names: [String])] {
    var result: [(naming: WeightNaming, names: [String])] = []
    for naming in WeightNaming.allCases {
      for names in naming.spellings(of: parameters)
      where names.count == parameters.count && !result.contains(where: { $0.names == names }) {
        result.append((naming, names))
      }
    }
    return result
  }

  /// What classifiers are called by the conventions that are known.
  private static let classifierNames =
    ["fc"] + [EfficientNetNaming.torchvision, .timm, .efficientNetPyTorch].map(\.classifier)

  /// The names of the classifier's parameters; none where the network does not end in one.
  static func classifier(of network: Graph) -> Set<String> {
    guard let node = try? network.classifier() else { return [] }
    return Set(node.operands.compactMap { network.parameter(defining: $0)?.name })
  }

  /// The weights of the convolutions that read the network's input, or what is made of it without parameters.
  private static func firstConvolutions(of network: Graph) -> Set<String> {
    guard let input = network.inputs.first?.value else { return [] }
    func isInput(_ value: Value) -> Bool {
      var value = value
      for _ in 0..<16 {
        if value == input { return true }
        guard let node = network.node(defining: value), node.operands.count == 1 else { return false }
        value = node.operands[0]
      }
      return false
    }
    var names: Set<String> = []
    for node in network.nodes {
      guard let convolution = node.operation as? Convolution2D, convolution.groups == 1, node.operands.count > 1,
        let weight = network.parameter(defining: node.operands[1]), isInput(node.operands[0])
      else { continue }
      names.insert(weight.name)
    }
    return names
  }

  /// The number of classes of the file's classifier, where it differs from the network's in nothing else.
  private static func otherClasses(
    _ file: any TensorFile, _ whole: [String: String], _ names: [String], _ parameters: [Parameter],
    _ classifier: Set<String>
  ) -> Int? {
    var classes: Int?
    for (position, parameter) in parameters.enumerated() where classifier.contains(parameter.name) {
      guard let shape = whole[names[position]].flatMap(file.shape), shape.count == parameter.shape.count,
        shape.dropFirst() == parameter.shape.dropFirst(), let count = shape.first, count != parameter.shape[0],
        classes ?? count == count
      else { return nil }
      classes = count
    }
    return classes
  }
}
