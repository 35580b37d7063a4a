import CNNCore
import CNNGraph

/// Which tensor of a file belongs to which parameter of a network.
struct WeightsMatch {
  /// The file's name of each parameter's tensor, by the parameter's position; nil where it has none that fits.
  private(set) var sources: [String?]
  private(set) var report: WeightsReport

  /// Finds the conventions by which most of the file's names are known.
  /// - Parameter isPassedOver: whether a tensor is none of the network's, whatever it is called.
  init(_ file: any TensorFile, _ network: Graph, passingOver isPassedOver: (String) -> Bool) {
    let parameters = network.parameters
    let tensors = file.names.filter { !isPassedOver($0) }
    let plain = Self.withoutWrappers(tensors)
    // By the name inside of wrappers. Where two are alike, neither is lost: the other is left over.
    var whole: [String: String] = [:]
    for (name, inner) in zip(tensors, plain) where whole[inner] == nil { whole[inner] = name }

    var best = (naming: WeightNaming.native, names: parameters.map(\.name), count: -1)
    for naming in WeightNaming.allCases {
      guard let names = naming.names(of: parameters), names.count == parameters.count else { continue }
      let count = names.count { whole[$0] != nil }
      if count > best.count { best = (naming, names, count) }
    }
    sources = Array(repeating: nil, count: parameters.count)
    report = WeightsReport(path: file.path, naming: best.naming)
    let classifier = Self.classifier(of: network)
    let classes = Self.otherClasses(file, whole, best.names, parameters, classifier)
    report.otherClasses = classes
    for (position, parameter) in parameters.enumerated() {
      guard let source = whole[best.names[position]], let shape = file.shape(of: source) else {
        report.missing.append(best.names[position])
        continue
      }
      if shape == parameter.shape {
        sources[position] = source
        report.loaded += 1
      } else if classes == nil || !classifier.contains(parameter.name) {
        report.misshapen.append("\(source) \(describe(shape)) instead of \(describe(parameter.shape))")
      }
    }
    let known = Set(best.names.compactMap { whole[$0] })
    report.leftOver = tensors.filter { !known.contains($0) }
    // A network without classifier takes the rest of a file that has one.
    if classifier.isEmpty {
      let heads = Self.classifierNames
      report.leftOver.removeAll { name in heads.contains { name == "\($0).weight" || name == "\($0).bias" } }
    }
  }

  /// What classifiers are called by the conventions that are known.
  private static let classifierNames =
    ["fc"] + [EfficientNetNaming.torchvision, .timm, .efficientNetPyTorch].map(\.classifier)

  private static func withoutWrappers(_ names: [String]) -> [String] {
    var names = names
    while let first = names.first, let wrapper = WeightNaming.wrappers.first(where: first.hasPrefix),
      names.allSatisfy({ $0.hasPrefix(wrapper) })
    {
      names = names.map { String($0.dropFirst(wrapper.count)) }
    }
    return names
  }

  /// The names of the classifier's parameters; none where the network does not end in one.
  static func classifier(of network: Graph) -> Set<String> {
    guard let node = try? network.classifier() else { return [] }
    return Set(node.operands.compactMap { network.parameter(defining: $0)?.name })
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
