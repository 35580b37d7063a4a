import CNNCore
import CNNGraph

extension DrawingOptions: Configurable {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_model_draw`.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.flag("shapes", &showsShapes, "Whether the shapes of the results are shown.")
    try options.flag("names", &showsNames, "Whether the names of the layers are shown.")
  }
}
