import CNNCore
import CNNRuntime
import X86Assembler

@testable import CNNKernels

/// Images of bytes for the tests of what computes on levels, in blocks of 64 channels with a guard behind.
final class ByteImages {
  let tensor: BlockedTensor
  private let memory: Memory
  private static let guardCount = 64

  /// Blocks that nothing is written to yet.
  init(_ tensor: BlockedTensor) throws {
    self.tensor = tensor
    memory = try Memory(count: tensor.byteCount + Self.guardCount, of: .uint8, for: "test")
    memset(0xA5, tensor.byteCount..<tensor.byteCount + Self.guardCount)
  }

  /// Blocks of these NHWC numbers; what lies behind the last channel is anything.
  convenience init(_ numbers: [UInt8], _ tensor: BlockedTensor) throws {
    try self.init(tensor)
    memset(0x5A, 0..<tensor.byteCount)
    for index in numbers.indices { base[place(index)] = numbers[index] }
  }

  var base: UnsafeMutablePointer<UInt8> { memory.base.assumingMemoryBound(to: UInt8.self) }

  private func memset(_ byte: UInt8, _ range: Range<Int>) { for index in range { base[index] = byte } }

  private func place(_ index: Int) -> Int {
    let (pixel, channel) = index.quotientAndRemainder(dividingBy: tensor.channels)
    return channel / 64 * tensor.blockByteCount + pixel * 64 + channel % 64
  }

  /// The numbers as NHWC.
  var numbers: [UInt8] {
    (0..<tensor.images * tensor.height * tensor.width * tensor.channels).map { base[place($0)] }
  }

  var isGuardIntact: Bool {
    (tensor.byteCount..<tensor.byteCount + Self.guardCount).allSatisfy { base[$0] == 0xA5 }
  }
}

extension CodeTarget {
  /// What generated code is tried for, as far as this processor goes.
  static let tried: [CodeTarget] = [
    InstructionSet.avx2, .avxVNNI, .avx512, .avx512VNNI, Processor.host.instructionSet,
  ].filter { Processor.host.instructionSet.isSuperset(of: $0) && $0.contains(.avx2) }.map { CodeTarget($0) }
}

/// Random sizes and numbers.
struct RandomNumbers {
  private var generator: PhiloxGenerator
  init(seed: UInt64) { generator = PhiloxGenerator(seed: seed, stream: 0) }

  mutating func int(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + min(range.count - 1, Int(generator.unit() * Float(range.count)))
  }
  mutating func float(_ range: ClosedRange<Float>) -> Float {
    range.lowerBound + generator.unit() * (range.upperBound - range.lowerBound)
  }
  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(int(0...255)) } }
  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float(-1...1) } }

  /// Levels of some scale, zero point and limits.
  mutating func levels(scale: ClosedRange<Float> = 0.01...0.1) throws -> ByteLevels {
    let minimum = int(0...3) == 0 ? int(0...60) : 0, maximum = int(0...3) == 0 ? int(180...254) : 255
    guard
      let levels = ByteLevels(
        scale: float(scale), zeroPoint: UInt8(int(0...255)), minimum: UInt8(minimum), maximum: UInt8(maximum))
    else { throw CNNError(.internalFault, "no levels") }
    return levels
  }
}
