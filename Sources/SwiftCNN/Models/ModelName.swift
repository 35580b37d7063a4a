import CNNCore

/// The names of the models that can be built, for `Model(.resnet50)`.
public enum ModelName: String, Sendable, CaseIterable {
  /// The ResNets, ResNeXts and wide ResNets of torchvision.
  case resnet18, resnet34, resnet50, resnet101, resnet152, resNeXt50 = "resnext50_32x4d",
    resNeXt101 = "resnext101_32x8d", wideResNet50 = "wide_resnet50_2", wideResNet101 = "wide_resnet101_2"
  /// The ResNets of Keras.
  case kerasResNet50 = "keras_resnet50", kerasResNet101 = "keras_resnet101", kerasResNet152 = "keras_resnet152"
  /// ResNets for small images.
  case resnet20, resnet32, resnet44, resnet56, resnet110, resnetArticle = "resnet_article"
  /// The EfficientNets of torchvision.
  case efficientNetB0 = "efficientnet_b0", efficientNetB1 = "efficientnet_b1", efficientNetB2 = "efficientnet_b2",
    efficientNetB3 = "efficientnet_b3", efficientNetB4 = "efficientnet_b4", efficientNetB5 = "efficientnet_b5",
    efficientNetB6 = "efficientnet_b6", efficientNetB7 = "efficientnet_b7", efficientNetV2S = "efficientnet_v2_s",
    efficientNetV2M = "efficientnet_v2_m", efficientNetV2L = "efficientnet_v2_l"
  /// The EfficientNets of timm.
  case tfEfficientNetB0 = "tf_efficientnet_b0", tfEfficientNetB1 = "tf_efficientnet_b1",
    tfEfficientNetB2 = "tf_efficientnet_b2", tfEfficientNetB3 = "tf_efficientnet_b3",
    tfEfficientNetB4 = "tf_efficientnet_b4", tfEfficientNetB5 = "tf_efficientnet_b5",
    tfEfficientNetB6 = "tf_efficientnet_b6", tfEfficientNetB7 = "tf_efficientnet_b7",
    tfEfficientNetLite0 = "tf_efficientnet_lite0", tfEfficientNetLite1 = "tf_efficientnet_lite1",
    tfEfficientNetLite2 = "tf_efficientnet_lite2", tfEfficientNetLite3 = "tf_efficientnet_lite3",
    tfEfficientNetLite4 = "tf_efficientnet_lite4", tfEfficientNetV2S = "tf_efficientnetv2_s"
}

extension Model {
  /// Builds a model of the registry, with random weights or those of a file.
  ///
  ///     let model = try Model(.resnet50, options: ModelOptions(classes: 10))
  ///
  /// - Throws: `.invalidArgument` for what does not fit in the options; what reading the weights throws.
  public convenience init(_ name: ModelName, options: ModelOptions = ModelOptions()) throws(CNNError) {
    try self.init(name.rawValue, options: options)
  }
}
