import CNNCore
import CNNGraph
import SwiftProtobuf

/// Writes networks as ONNX models.
public enum ONNXExporter {
  /// The version of the operator set that models are written for.
  public static let operatorSet = 17
  /// The version of the format, the oldest that has that operator set.
  static let formatVersion = 8
  /// No protobuf message can be larger.
  static let maximumByteCount = Int(Int32.max)

  /// The model of a network as it predicts, as the bytes of a file.
  /// - Parameters:
  ///   - network: one with NHWC tensors, as all are.
  ///   - values: gives a parameter's values, which stay where they are until this returns.
  /// - Throws: `.invalidArgument` naming the node for an operation that no ONNX operator is, `.outOfMemory` where the
  ///   weights are more than the format holds.
  public static func model(
    _ network: Graph, options: ONNXExportOptions = ONNXExportOptions(),
    values: (Parameter) throws(CNNError) -> UnsafeBufferPointer<Float>
  ) throws(CNNError) -> [UInt8] {
    var graph = try network.inferenceForm().removingDeadNodes().removingDeadParameters()
    if let pixels = options.pixels {
      let inputs = graph.inputs.filter { graph.takesPixels($0, channels: pixels.mean.count) }
      guard !inputs.isEmpty else {
        throw CNNError(.invalidArgument, "none of the \(graph.inputs.count) inputs is an image, so there are no pixels")
      }
      for input in inputs {
        graph = try graph.acceptingPixels(input: input.name, mean: pixels.mean, deviation: pixels.deviation)
      }
    }
    var total = 0
    for parameter in graph.parameters {
      total = try Checked.sum([total, Checked.product(parameter.shape + [4], parameter.name)], "the weights")
    }
    guard total < maximumByteCount - (1 << 24) else {
      throw CNNError(.outOfMemory, "the weights have \(total) bytes; an ONNX file holds \(maximumByteCount)")
    }
    var exporter = GraphExporter(graph, options: options)
    try exporter.run(values: values)
    var model = Onnx_ModelProto()
    model.irVersion = Int64(formatVersion)
    model.producerName = "SwiftCNN"
    model.opsetImport = [
      .with {
        $0.domain = ""
        $0.version = Int64(operatorSet)
      }
    ]
    model.metadataProps = try ModelMetadata.entries(options)
    model.graph = exporter.proto
    do {
      return try model.serializedBytes()
    } catch {
      throw CNNError(.internalFault, "the ONNX model could not be encoded: \(error)")
    }
  }
}

/// What a model's metadata say to readers that are this library.
enum ModelMetadata {
  private static let pixelsKey = "swiftcnn.pixels", layoutKey = "swiftcnn.layout"

  static func entries(_ options: ONNXExportOptions) throws(CNNError) -> [Onnx_StringStringEntryProto] {
    var entries = [entry(layoutKey, options.layout.rawValue)]
    if let pixels = options.describedPixels { entries.append(entry(pixelsKey, try pixels.json.serialized())) }
    return entries
  }

  private static func entry(_ key: String, _ value: String) -> Onnx_StringStringEntryProto {
    .with {
      $0.key = key
      $0.value = value
    }
  }

  /// The order of the axes of the model's images, where it says so.
  static func layout(_ entries: [Onnx_StringStringEntryProto]) -> ONNXExportOptions.Layout? {
    entries.first { $0.key == layoutKey }.flatMap { ONNXExportOptions.Layout(rawValue: $0.value) }
  }

  /// How pixels become numbers, where it can be read; another program's entry of that name is passed over.
  static func pixels(_ entries: [Onnx_StringStringEntryProto]) -> ONNXExportOptions.Pixels? {
    guard let text = entries.first(where: { $0.key == pixelsKey })?.value,
      let object = (try? JSON(parsing: text))?.objectValue,
      let mean = try? object.numbers("mean"), let deviation = try? object.numbers("std")
    else { return nil }
    return .init(mean: mean, deviation: deviation)
  }
}
