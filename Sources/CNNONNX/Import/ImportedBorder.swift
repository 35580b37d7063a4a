import CNNCore
import CNNGraph

/// A network's inputs and outputs.
extension GraphImporter {
  /// Adds an input; returns whether it takes uint8 pixels.
  mutating func addInput(_ input: Onnx_ValueInfoProto) throws(CNNError) -> Bool {
    do throws(CNNError) {
      guard !input.name.isEmpty else { throw CNNError(.malformedFile, "it has no name") }
      guard known[input.name] == nil else { throw CNNError(.malformedFile, "the name is given twice") }
      guard input.type.hasTensorType, input.type.tensorType.hasShape else {
        throw CNNError(.invalidArgument, "it is no tensor of known rank")
      }
      let code = Int(input.type.tensorType.elemType)
      guard ElementCode.isFloat(code) || code == ElementCode.uint8 else {
        throw CNNError(
          .invalidArgument, "its element type is \(ElementCode.name(code)); expected float32, or uint8 pixels")
      }
      noteFloats(code)
      let sizes = try sizes(of: input.type.tensorType.shape)
      let rank = sizes.count + (options.batch ? 0 : 1)
      guard rank >= 1, rank <= TensorType.maximumRank else {
        throw CNNError(
          .invalidArgument, "it has \(sizes.count) axes; expected a batch, and at most \(TensorType.maximumRank)")
      }
      let isImage = options.batch && sizes.count == 4
      let hasChannelsSecond = isImage && findLayout(of: input.name, sizes) == .nchw
      // In memory the batch comes first and an image's channels last.
      let order =
        hasChannelsSecond && options.layout == .nhwc
        ? Traced.image : options.batch ? Array(0..<rank) : Array(1..<rank)
      var shape = Array(repeating: 1, count: rank), variable: [Int] = []
      for (position, size) in sizes.enumerated() where order[position] != 0 {
        if let size {
          shape[order[position]] = size
        } else if isImage {
          shape[order[position]] = Self.exampleSize
          variable.append(order[position])
        } else {
          throw CNNError(.invalidArgument, "axis \(position) has no fixed size; only height, width and batch may vary")
        }
      }
      if options.batch, let batch = sizes[0] { fixedBatch = batch }
      let value = try graph.addInput(
        graph.uniqueName(Self.sanitized(input.name)), TensorType(.float32, shape), variableAxes: variable.sorted())
      var tensor = Traced(value: value, order: order)
      if hasChannelsSecond && options.layout == .file {
        stem = Self.sanitized("\(input.name).nhwc")
        tensor = try reordered(tensor, to: Traced.image)
      }
      known[input.name] = .tensor(tensor)
      return code == ElementCode.uint8
    } catch {
      throw error.prefixed("input '\(input.name)'")
    }
  }

  /// The size of an axis that may be another at every run, wherever one is needed before.
  private static let exampleSize = 256

  /// The sizes of an input; nil for those that are not fixed.
  private func sizes(of shape: Onnx_TensorShapeProto) throws(CNNError) -> [Int?] {
    var result: [Int?] = []
    for dimension in shape.dim {
      guard case .dimValue(let size) = dimension.value else {
        result.append(nil)
        continue
      }
      guard size >= 1, size <= 1 << 40 else {
        throw CNNError(.malformedFile, "axis \(result.count) has size \(size); expected 1 or more")
      }
      result.append(Int(size))
    }
    return result
  }

  mutating func addOutput(_ output: Onnx_ValueInfoProto) throws(CNNError) {
    stem = "\(Self.sanitized(output.name)).output"
    guard case .tensor(var tensor)? = try value(named: output.name) else {
      throw CNNError(.invalidArgument, "output '\(output.name)' does not depend on the model's input")
    }
    do throws(CNNError) {
      if !(options.layout == .nhwc && tensor.order == Traced.image) { tensor = try plain(tensor) }
      if graph.node(defining: tensor.value) == nil {
        tensor = Traced(value: try add(Rescaling(), [tensor.value]), order: tensor.order)
      }
      let stem = Self.sanitized(output.name)
      var name = stem, number = 0
      while !outputNames.insert(name).inserted {
        number += 1
        name = "\(stem)_\(number)"
      }
      try graph.addOutput(name, tensor.value)
    } catch {
      throw error.prefixed("output '\(output.name)'")
    }
  }
}
