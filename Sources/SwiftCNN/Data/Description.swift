import CNNCore
import CNNGraph
import CNNPictures

/// What the library says of itself: everything that is told by a name or an option, as its own readers declare it.
package enum Description {
  /// An object, whose members `include/swiftcnn.h` lists for `scnn_describe`.
  package static var json: JSON {
    [
      "layers": GraphBuilder.description,
      "activations": GraphBuilder.activationDescription,
      "initializers": NamedInitialValues.description,
      "losses": TrainingSettings.lossDescription,
      "metrics": NamedMetric.description,
      "optimizers": OptimizerSettings.description,
      "schedules": LearningRateSchedule.description,
      "compile": options(TrainingSettings.usual),
      "fit": options(FitOptions()),
      "model": options(ModelOptions()),
      "stage": options(EfficientNetStage(.mbconv, kernel: 3, stride: 1, expandRatio: 1, channels: 1, repeats: 1)),
      "graph_model": options(CustomModelOptions()),
      "model_file": options(ModelFileOptions()),
      "weights_file": options(WeightsFileOptions()),
      "preprocessing": options(Preprocessing(resizing: nil, crop: nil)),
      "image_folder": options(ImageFolderOptions()),
      "quantization": options(QuantizationOptions()),
      "quantization_aware": options(QuantizationAwareOptions()),
      "pruning": options(PruningOptions()),
      "sparsity": options(SparsityOptions()),
      "distillation": options(DistillationOptions()),
      "distillation_losses": DistillationOptions.lossDescription,
      "compression": options(CompressionOptions()),
      "drawing": options(DrawingOptions()),
      "profile": options(ProfileOptions()),
      "picture_operations": .strings(PictureOperation.allCases.map(\.rawValue)),
    ]
  }

  /// The same as text, which is made once: a caller in C asks for its length first.
  package static let text = Lazy { Result { () throws(CNNError) in try json.serialized() } }

  private static func options(_ thing: some Configurable) -> JSON { OptionDeclaration.json(thing.declarations) }
}
