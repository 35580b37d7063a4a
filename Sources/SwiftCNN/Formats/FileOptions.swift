import CNNCore
import CNNGraph

/// What C and Python may say of a model file.
package struct ModelFileOptions: Configurable {
  /// Whether training can go on from the file.
  package var includesTrainingState = false
  /// What the file has of the parameters.
  package var precision = Precision.float32

  package init(includesTrainingState: Bool = false) { self.includesTrainingState = includesTrainingState }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_model_save_as`.
  package init(json: JSONObject) throws(CNNError) { try read(json) }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.flag(
      "training_state", &includesTrainingState, "Whether training can go on from the file in the same bits.")
    try options.choice("dtype", &precision, "The type of the parameters in the file.")
  }
}

/// What C and Python may say of a file of weights alone.
package struct WeightsFileOptions: Configurable {
  /// How the tensors are named.
  package var naming = WeightNaming.native
  /// What the file has of the parameters.
  package var precision = Precision.float32

  package init() {}

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_model_save_weights_as`.
  package init(json: JSONObject) throws(CNNError) { try read(json) }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.choice("naming", &naming, "How the tensors are named.")
    try options.choice("dtype", &precision, "The type of the parameters in the file.")
  }
}
