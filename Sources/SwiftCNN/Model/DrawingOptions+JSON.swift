import CNNCore
import CNNGraph

extension DrawingOptions {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_model_draw`.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json) { (options) throws(CNNError) in
      showsShapes = try options.flag("shapes", true)
      showsNames = try options.flag("names", true)
    }
  }
}
