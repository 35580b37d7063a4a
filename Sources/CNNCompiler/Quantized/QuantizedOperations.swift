import CNNCore
import CNNGraph
import CNNKernels

/// An operation on tensors of levels. What it means is what an operation on floats does to what they stand for, rounded.
protocol QuantizedOperation: CompiledOperation, MemoryOperation, PortableOperation {}

/// The levels of a tensor of floats.
struct Quantize: QuantizedOperation {
  static let name = "quantize"
  let levels: ByteLevels

  init(_ levels: ByteLevels) { self.levels = levels }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    guard operands[0].element == .float32 else {
      throw CNNError(.shapeMismatch, "the input has element type \(operands[0].element.rawValue); expected float32")
    }
    return [try TensorType(levels, operands[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (levels, count) = (levels, types.operands[0].count)
    return LoweredOperation(kernel: {
      QuantizedElementwise.quantize(
        $0.operand(0), levels, into: $0.byteResult(), count: count, workers: $0.workers)
    })
  }
}

/// The floats that levels stand for.
struct Dequantize: QuantizedOperation {
  static let name = "dequantize"
  let levels: ByteLevels

  init(_ levels: ByteLevels) { self.levels = levels }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(levels, as: "the input")
    return [try operands[0].floats]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (levels, count) = (levels, types.operands[0].count)
    return LoweredOperation(kernel: {
      QuantizedElementwise.dequantize($0.bytes(0), levels, into: $0.result(), count: count, workers: $0.workers)
    })
  }
}

/// A function of one number, as the table of its 256 levels.
struct QuantizedFunction: QuantizedOperation {
  static let name = "quantized_function"
  let input, result: ByteLevels
  let table: [UInt8]
  let label: String

  /// - Parameter activation: nil where levels only become others.
  init(_ activation: Activation?, _ input: ByteLevels, _ result: ByteLevels) {
    (self.input, self.result) = (input, result)
    label = activation?.function.rawValue ?? "requantize"
    table =
      if let activation {
        QuantizedElementwise.table(input, result, activation.function, constants: activation.constantLanes)
      } else { QuantizedElementwise.table(input, result) { $0 } }
  }

  var attributes: Attributes { ["function": .text(label)] }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(input, as: "the input")
    return [try TensorType(result, operands[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (table, count) = (table, types.operands[0].count)
    var cost = StepCost()
    cost.algorithm = label
    return LoweredOperation(
      overwritableOperands: [[0]], cost: cost,
      kernel: { arguments in
        table.withUnsafeBufferPointer {
          guard let table = $0.baseAddress else { return }
          QuantizedElementwise.look(
            up: arguments.bytes(0), in: table, into: arguments.byteResult(), count: count, workers: arguments.workers)
        }
      })
  }
}

/// Levels of two tensors combined, as `result`.
protocol QuantizedPair: QuantizedOperation {
  /// What is done to the floats that they stand for.
  associatedtype Meaning: ElementwisePair
  var a: ByteLevels { get }
  var b: ByteLevels { get }
  var result: ByteLevels { get }
}

extension QuantizedPair {
  static var implementations: [any Implementation] { [QuantizedArithmeticInBlocks(), PortableImplementation()] }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(a, as: "the first operand")
    try operands[1].require(b, as: "the second operand")
    return [try TensorType(result, Meaning().resultTypes(floats(operands))[0].shape)]
  }
}

/// The sum of two tensors of one shape, limited as `result` says.
struct QuantizedAdd: QuantizedPair {
  typealias Meaning = Add
  static let name = "quantized_add"
  let a, b, result: ByteLevels

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let sum = QuantizedSum(a, b, result), count = types.results[0].count
    return LoweredOperation(
      overwritableOperands: [[0, 1]],
      kernel: {
        QuantizedElementwise.add(
          $0.bytes(0), $0.bytes(1), sum, into: $0.byteResult(), count: count, workers: $0.workers)
      })
  }
}

/// The product of images `[N, H, W, C]` and a factor for each channel `[N, 1, 1, C]`, or of tensors of one shape.
struct QuantizedMultiply: QuantizedPair {
  typealias Meaning = Multiply
  static let name = "quantized_multiply"
  let a, b, result: ByteLevels

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let product = QuantizedProduct(a, b, result), shape = types.operands[0].shape
    let isWhole = types.operands[0].shape == types.operands[1].shape
    let channels = shape.last ?? 1, images = isWhole ? types.operands[0].count / channels : shape[0]
    let pixels = types.operands[0].count / channels / images
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        QuantizedElementwise.multiply(
          $0.bytes(0), by: $0.bytes(1), product, into: $0.byteResult(), images: images, pixels: pixels,
          channels: channels, workers: $0.workers)
      })
  }
}

/// A pooling: the largest level, or the mean, as a level of `result` or a float.
struct QuantizedPooling2D: QuantizedOperation {
  static let name = "quantized_pool2d"
  let pooling: any Operation
  let input: ByteLevels
  /// nil for the largest level, and where the result is float.
  let result: ByteLevels?
  var givesFloats = false

  var attributes: Attributes { pooling.attributes }

  /// How a mean is computed; nil for the largest level.
  var mean: QuantizedMean? { givesFloats || result != nil ? QuantizedMean(input, result) : nil }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(input, as: "the input")
    if givesFloats { return try pooling.resultTypes(floats(operands)) }
    return [try TensorType(result ?? input, pooling.resultTypes(floats(operands))[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = types.operands[0].shape, mean = mean
    let geometry: Pooling.Geometry, countsPadding: Bool
    switch pooling {
    case let window as Pooling2D:
      (geometry, countsPadding) = (try window.geometry(input: shape), window.countsPadding)
    case let global as GlobalPooling2D: (geometry, countsPadding) = (global.geometry(input: shape), false)
    default: throw CNNError(.internalFault, "'\(pooling.kind)' is no pooling")
    }
    return LoweredOperation(kernel: {
      QuantizedPooling.pool(
        $0.bytes(0), mean: mean, countsPadding: countsPadding, into: $0.result(), geometry, workers: $0.workers)
    })
  }
}

/// The same levels in another shape or order.
struct QuantizedMove: QuantizedOperation {
  static let name = "quantized_move"
  /// `Reshape` or `Permute`.
  let operation: any Operation
  let levels: ByteLevels

  var kind: String { "quantized_\(operation.kind)" }
  var attributes: Attributes { operation.attributes }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(levels, as: "the input")
    return [try TensorType(levels, operation.resultTypes(floats(operands))[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    guard let operation = operation as? any PortableOperation else {
      throw CNNError(.internalFault, "'\(operation.kind)' moves nothing")
    }
    return try operation.portable(types)
  }
}

/// The types of the floats that operands stand for.
func floats(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
  var result: [TensorType] = []
  for operand in operands { result.append(try operand.floats) }
  return result
}
