import CNNCore
import CNNGraph
import Foundation

@testable import CNNONNX

/// A small network of most operations that are written: convolutions, normalisation, a gate, pooling, a classifier.
func smallNetwork() throws -> Graph {
  var builder = GraphBuilder()
  let x = try builder.input("image", shape: [9, 7, 3])
  var y = try builder.convolution(x, "conv1", outputChannels: 8, kernel: (3, 3), stride: (2, 2), padding: .same)
  y = try builder.batchNormalization(y, "bn1")
  y = try builder.activation(.silu, y)
  let pooled = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), y)
  var gate = try builder.convolution(pooled, "gate", outputChannels: 8, kernel: (1, 1), bias: true)
  gate = try builder.activation(.sigmoid, gate)
  y = try builder.apply(Multiply(), y, gate)
  let branch = try builder.depthwiseConvolution(y, "depthwise", kernel: (3, 3), padding: .all(1))
  y = try builder.apply(Add(), y, branch)
  y = try builder.apply(Pooling2D(.max, kernel: [2, 2]), y)
  y = try builder.activation(.gelu, y)
  y = try builder.apply(Reshape.flatten, y)
  y = try builder.dense(y, "fc", units: 5)
  y = try builder.apply(Softmax(), y, name: "probabilities")
  try builder.graph.addOutput("probabilities", y)
  return builder.graph
}

/// Values that are the same for the same name.
func values(of parameter: Parameter) -> [Float] {
  let random = Philox(seed: 7, stream: RandomStream.initialValue(of: parameter.name))
  return (0..<parameter.shape.reduce(1, *)).map { Philox.unit(random.words(at: UInt64($0 / 4))[$0 % 4]) + 0.1 }
}

/// The bytes of a network's model.
func model(_ graph: Graph, options: ONNXExportOptions = ONNXExportOptions()) throws -> [UInt8] {
  var memory: [Memory] = []
  return try ONNXExporter.model(graph, options: options) { (parameter) throws(CNNError) in
    let numbers = values(of: parameter), block = try Memory(count: numbers.count, of: .float32, for: "test")
    _ = block.floats.update(fromContentsOf: numbers)
    memory.append(block)
    return UnsafeBufferPointer(rebasing: block.floats[..<numbers.count])
  }
}

/// The network of a model's bytes, which has no files beside it.
func network(_ bytes: [UInt8], options: ONNXImportOptions = ONNXImportOptions()) throws(CNNError) -> ONNXNetwork {
  let outcome: Result<ONNXNetwork, CNNError> = bytes.withUnsafeBytes { bytes in
    do throws(CNNError) {
      return .success(
        try ONNXImporter.network(bytes, options: options) { (location, _, _) throws(CNNError) in
          throw CNNError(.inputOutput, "there is no file '\(location)'")
        })
    } catch {
      return .failure(error)
    }
  }
  return try outcome.get()
}

/// A model of these nodes with the image input `x` and these outputs.
func proto(
  _ nodes: [Onnx_NodeProto], input: [Int64?] = [nil, 3, 8, 8], initializers: [Onnx_TensorProto] = [],
  outputs: [String] = ["y"], version: Int64 = 17
) -> Onnx_ModelProto {
  .with {
    $0.irVersion = 8
    $0.opsetImport = [.with { $0.version = version }]
    $0.graph.node = nodes
    $0.graph.initializer = initializers
    $0.graph.input = [
      .with {
        $0.name = "x"
        $0.type.tensorType.elemType = 1
        $0.type.tensorType.shape.dim = input.map { size in
          .with { if let size { $0.dimValue = size } else { $0.dimParam = "n" } }
        }
      }
    ]
    $0.graph.output = outputs.map { name in .with { $0.name = name } }
  }
}

func node(_ kind: String, _ inputs: [String], _ outputs: [String], _ attributes: [Onnx_AttributeProto] = [])
  -> Onnx_NodeProto
{
  .with {
    $0.opType = kind
    $0.name = "the_\(kind)"
    $0.input = inputs
    $0.output = outputs
    $0.attribute = attributes
  }
}

func attribute(_ name: String, _ values: Int64...) -> Onnx_AttributeProto {
  .with {
    $0.name = name
    $0.type = values.count == 1 ? .int : .ints
    if values.count == 1 { $0.i = values[0] } else { $0.ints = values }
  }
}

func list(_ name: String, _ values: [Int64]) -> Onnx_AttributeProto {
  .with {
    $0.name = name
    $0.type = .ints
    $0.ints = values
  }
}

func tensor(_ name: String, _ shape: [Int64], _ values: [Float]) -> Onnx_TensorProto {
  .with {
    $0.name = name
    $0.dims = shape
    $0.dataType = 1
    $0.floatData = values
  }
}

func integers(_ name: String, _ values: [Int64]) -> Onnx_TensorProto {
  .with {
    $0.name = name
    $0.dims = [Int64(values.count)]
    $0.dataType = 7
    $0.int64Data = values
  }
}
