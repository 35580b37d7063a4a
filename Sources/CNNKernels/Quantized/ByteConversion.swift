import CNNCore
import CNNRuntime
import X86Assembler

/// Floats to levels and back where both lie in blocks of channels, 16 floats and 64 bytes, by generated code; its numbers are
/// those of `QuantizedElementwise.quantize` and `dequantize`.
public struct ByteConversion: Sendable {
  private let kernel: GeneratedKernel
  private let isToLevels: Bool
  private let floats, bytes: BlockedTensor
  private let numbers: [Float]

  /// - Parameters:
  ///   - tensor: the floats.
  ///   - isToLevels: whether floats become levels; else levels become floats.
  public init(_ tensor: BlockedTensor, _ levels: ByteLevels, isToLevels: Bool, library: KernelLibrary) {
    (floats, bytes, self.isToLevels) = (tensor, tensor.with(element: .uint8), isToLevels)
    let zeroPoint = Float(levels.zeroPoint)
    numbers = RepeatedNumbers.list(
      isToLevels
        ? [levels.inverse, zeroPoint, Float(levels.minimum), Float(levels.maximum)] : [levels.scale, zeroPoint])
    let key = ByteConversionKernel(target: library.target, isToLevels: isToLevels)
    kernel = library.kernel(key, name: key.name) { key.code() }
  }

  /// How many cycles each of the workers will take.
  public static func cycles(_ tensor: BlockedTensor, workers: Workers) -> Double {
    Double(tensor.blocks * tensor.pixels) * 4 / Double(workers.count)
  }

  /// Converts `x` into `y`. What lies behind the last channel becomes something finite.
  public func run(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    let pixels = floats.height * floats.width
    numbers.withUnsafeBytes { numbers in
      guard let numbers = numbers.baseAddress else { return }
      workers.forEachRange(of: floats.blocks * floats.images) { range, _ in
        for unit in range {
          let image = unit % floats.images, block = unit / floats.images
          let ofFloats = floats.byteOffset(image: image, block: block)
          let ofBytes = bytes.byteOffset(image: image, block: block / 4) + block % 4 * 16
          var arguments = ByteConversionArguments(
            x: x + (isToLevels ? ofFloats : ofBytes), y: y + (isToLevels ? ofBytes : ofFloats), numbers: numbers,
            pixels: pixels)
          kernel(&arguments)
        }
      }
    }
  }
}

/// What a `ByteConversionKernel` is called with; its code knows the offsets.
struct ByteConversionArguments {
  var x: UnsafeRawPointer
  var y: UnsafeMutableRawPointer
  /// `RepeatedNumbers`: one over the scale, the zero point, the smallest and the largest level; or the scale and the zero
  /// point.
  var numbers: UnsafeRawPointer
  /// At least 1.
  var pixels: Int
}

/// The code that converts 16 channels of neighbouring pixels, 64 bytes apart.
struct ByteConversionKernel: Hashable, Sendable {
  let target: CodeTarget
  let isToLevels: Bool

  var name: String { "\(isToLevels ? "quantize" : "dequantize")_blocks_\(target.vectorName)" }

  func code() -> VectorCode {
    let code = VectorCode(target), lanes = target.lanes, k = code.assembler
    let arguments = GeneralRegister.rdi, x = GeneralRegister.rsi, y = GeneralRegister.rax, pixels = GeneralRegister.rcx
    let numbers = RepeatedNumbers(base: .r8)
    func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
    let values = (0..<16 / lanes).map(register), constants = (4..<(isToLevels ? 8 : 6)).map(register)
    for (index, register) in [x, y, numbers.base, pixels].enumerated() { k.mov(register, arguments[8 * index]) }
    for (index, register) in constants.enumerated() { code.broadcast(register, numbers.address(index)) }
    k.loop(pixels) {
      for (index, value) in values.enumerated() {
        if isToLevels {
          code.load(value, x[index * lanes * 4])
          code.multiplyInto(value, constants[0], adding: .register(constants[1]))
          code.maximum(value, value, constants[2])  // That where it is no number.
          code.limitToIntegers(value, maximum: constants[3])
        } else {
          code.loadBytes(value, x[index * lanes])
          code.subtract(value, value, constants[1])
          code.multiply(value, value, constants[0])
          code.store(y[index * lanes * 4], value)
        }
      }
      if isToLevels {
        code.storeLevels([values.enumerated().map { ($1, y[$0 * lanes]) }], temporary: register(8))
      }
      k.add(x, BlockedTensor.pixelByteCount)
      k.add(y, BlockedTensor.pixelByteCount)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}
