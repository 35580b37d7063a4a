import CNNCore
import CNNGraph

/// By whose conventions a file names its tensors.
public enum WeightNaming: String, Sendable, CaseIterable {
  /// As the model itself.
  case native
  /// As torchvision's models.
  case torchvision
  /// As timm's models.
  case timm
  /// As efficientnet_pytorch's.
  case efficientNetPyTorch = "efficientnet_pytorch"
  /// As Hugging Face's transformers name a ResNet or an EfficientNet that classifies images.
  case huggingFace = "huggingface"

  /// The conventions of that name.
  /// - Throws: `.unknownName` with the nearest name.
  package init(named name: String) throws(CNNError) {
    guard let naming = Self(rawValue: name) else {
      throw unknownName("naming", name, among: Self.allCases.map(\.rawValue))
    }
    self = naming
  }

  /// What a network's parameters are called by these conventions, in their order; nil for a network that they do not
  /// reach.
  func names(of parameters: [Parameter]) -> [String]? {
    let own = parameters.map(\.name)
    switch self {
    case .native: return own
    case .torchvision: return EfficientNetLayers(parameters)?.names(in: .torchvision) ?? Self.residual(own)
    case .timm: return EfficientNetLayers(parameters)?.names(in: .timm) ?? Self.residual(own)
    case .efficientNetPyTorch: return EfficientNetLayers(parameters)?.names(in: .efficientNetPyTorch)
    case .huggingFace:
      return EfficientNetLayers(parameters)?.names(in: .huggingFace) ?? Self.huggingFaceResidual(parameters)
    }
  }

  /// ResNets are named alike everywhere, this library included.
  private static func residual(_ names: [String]) -> [String]? {
    names.contains("conv1.weight") && names.contains("layer1.0.conv1.weight") ? names : nil
  }

  /// The lists of names under which files of this kind may have the parameters.
  func spellings(of parameters: [Parameter]) -> [[String]] {
    guard let names = names(of: parameters) else { return [] }
    guard self == .huggingFace else { return [names] }
    // A file of the features alone does not name the network within.
    return [names, names.map { Self.withoutNetwork($0) }]
  }

  private static func withoutNetwork(_ name: String) -> String {
    for network in ["resnet.", "efficientnet."] where name.hasPrefix(network) {
      return String(name.dropFirst(network.count))
    }
    return name
  }

  /// A ResNet for ImageNet as `ResNetForImageClassification` names it: `layer2.0.conv1.weight` is
  /// `resnet.encoder.stages.1.layers.0.layer.0.convolution.weight`.
  private static func huggingFaceResidual(_ parameters: [Parameter]) -> [String]? {
    guard residual(parameters.map(\.name)) != nil,
      parameters.first(where: { $0.name == "conv1.weight" })?.shape.suffix(2) == [7, 7]
    else { return nil }
    var names: [String] = []
    for parameter in parameters {
      let parts = parameter.name.split(separator: ".").map(String.init)
      guard let leaf = parts.last else { return nil }
      switch parts.first {
      case "conv1": names.append("resnet.embedder.embedder.convolution.\(leaf)")
      case "bn1": names.append("resnet.embedder.embedder.normalization.\(leaf)")
      case "fc": names.append("classifier.1.\(leaf)")
      default:
        guard parts.count >= 4, parts[0].hasPrefix("layer"), let stage = Int(parts[0].dropFirst(5)) else { return nil }
        let block = "resnet.encoder.stages.\(stage - 1).layers.\(parts[1])"
        if parts[2] == "downsample" {
          names.append("\(block).shortcut.\(parts[3] == "0" ? "convolution" : "normalization").\(leaf)")
        } else if let number = parts[2].last.flatMap({ Int(String($0)) }) {
          let kind = parts[2].hasPrefix("conv") ? "convolution" : "normalization"
          names.append("\(block).layer.\(number - 1).\(kind).\(leaf)")
        } else {
          return nil
        }
      }
    }
    return names
  }
}
