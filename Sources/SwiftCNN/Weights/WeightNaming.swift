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

  /// The conventions of that name.
  /// - Throws: `.unknownName` with the nearest name.
  public init(named name: String) throws(CNNError) {
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
    }
  }

  /// ResNets are named alike everywhere, this library included.
  private static func residual(_ names: [String]) -> [String]? {
    names.contains("conv1.weight") && names.contains("layer1.0.conv1.weight") ? names : nil
  }

  /// What wrappers put before every name of a `state_dict`: data-parallel training, compilation, a model in a model.
  static let wrappers = ["module.", "_orig_mod.", "model.", "encoder.", "backbone.", "net.", "network."]
}
