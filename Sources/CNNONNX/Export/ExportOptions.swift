import CNNCore
import CNNGraph

/// How a network is written as an ONNX model.
public struct ONNXExportOptions: Sendable, Equatable {
  /// The order of the axes of images at the model's input and output.
  public enum Layout: String, Sendable, CaseIterable {
    /// `[batch, height, width, channels]`, as everywhere in the library: the model begins with one transposition.
    case nhwc
    /// `[batch, channels, height, width]`, as PyTorch's.
    case nchw
  }

  /// Mean and standard deviation of pixels, in units of the full range 0...1.
  public struct Pixels: Sendable, Equatable {
    /// One per channel.
    public var mean, deviation: [Double]

    /// Pixels normalised as `(x / 255 - mean) / deviation`.
    public init(mean: [Double], deviation: [Double]) { (self.mean, self.deviation) = (mean, deviation) }
  }

  /// The order of the axes at the border.
  public var layout = Layout.nhwc
  /// The model takes uint8 pixels and normalises them itself; nil: it takes float32.
  public var pixels: Pixels?
  /// What is written about pixels into the model's metadata, for readers that are this library.
  public var describedPixels: Pixels?
  /// The graph's name.
  public var name = "network"

  /// Options; those that are not given have their defaults.
  public init(layout: Layout = .nhwc, pixels: Pixels? = nil) { (self.layout, self.pixels) = (layout, pixels) }
}

extension ONNXExportOptions {
  /// Reads what `json` gave.
  package init(json: JSONObject) throws(CNNError) {
    try json.requireKeys(among: ["layout", "pixels", "described_pixels", "name"])
    if let word = try json.optionalString("layout") {
      guard let layout = Layout(rawValue: word) else {
        throw unknownName("layout", word, among: Layout.allCases.map(\.rawValue))
      }
      self.layout = layout
    }
    pixels = try json.optionalObject("pixels").map { (object) throws(CNNError) in try Pixels(json: object) }
    describedPixels = try json.optionalObject("described_pixels").map { (object) throws(CNNError) in
      try Pixels(json: object)
    }
    name = try json.optionalString("name") ?? name
  }

  /// The same options as JSON.
  package var json: JSONObject {
    var object = JSONObject()
    object["layout"] = .string(layout.rawValue)
    object["pixels"] = pixels?.json ?? .null
    object["described_pixels"] = describedPixels?.json ?? .null
    object["name"] = .string(name)
    return object
  }
}

extension ONNXExportOptions.Pixels {
  fileprivate init(json: JSONObject) throws(CNNError) {
    try json.requireKeys(among: ["mean", "std"])
    self.init(mean: try json.numbers("mean"), deviation: try json.numbers("std"))
  }

  var json: JSON {
    ["mean": .array(mean.map { .number($0) }), "std": .array(deviation.map { .number($0) })]
  }
}
