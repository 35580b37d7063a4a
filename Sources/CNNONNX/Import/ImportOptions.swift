import CNNCore
import CNNGraph

/// How an ONNX model is read.
public struct ONNXImportOptions: Sendable, Equatable {
  /// The order of the axes of images at the network's input and output.
  public enum Layout: String, Sendable, CaseIterable {
    /// `[batch, height, width, channels]`, as everywhere in the library, whatever the file has.
    case nhwc
    /// As in the file; transpositions are added where it has the channels second.
    case file
  }

  /// The order of the axes at the border.
  public var layout = Layout.nhwc
  /// Whether the first axis of the file's inputs is the batch. Without it a whole tensor is one sample, and the network's
  /// inputs and outputs have one axis more than the file's.
  public var batch = true

  /// Options; those that are not given have their defaults.
  public init(layout: Layout = .nhwc, batch: Bool = true) { (self.layout, self.batch) = (layout, batch) }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_model_import_onnx`.
  package init(json: JSONObject) throws(CNNError) {
    try json.requireKeys(among: ["layout", "batch"])
    if let word = try json.optionalString("layout") {
      guard let layout = Layout(rawValue: word) else {
        throw unknownName("layout", word, among: Layout.allCases.map(\.rawValue))
      }
      self.layout = layout
    }
    batch = try json.optionalBool("batch") ?? true
  }

  /// The same options as JSON.
  package var json: JSONObject {
    var object = JSONObject()
    object["layout"] = .string(layout.rawValue)
    object["batch"] = .bool(batch)
    return object
  }
}

/// What was read of an ONNX model.
public struct ONNXNetwork: Sendable {
  /// The network; its parameters have the names of the file's initializers.
  public let graph: Graph
  /// The values of its parameters.
  public let values: [String: ONNXFloats]
  /// The name of the file's graph.
  public let name: String
  /// How uint8 pixels become the network's numbers, where the file says so.
  public let pixels: ONNXExportOptions.Pixels?
  /// How it was read.
  public let report: ImportReport
}
