import CNNCore
import CNNRuntime
import Glibc
import X86Assembler

/// The way between images of float32, in blocks of 16 channels or row by row, and of bfloat16 in blocks of 32: layout and
/// type change in one trip over memory.
public struct BFloat16Reorder: Sendable {
  /// Which way.
  public enum Direction: Hashable, Sendable {
    /// To bfloat16, rounded to nearest even; lanes behind the last channel become 0.
    case rounding
    /// To float32, exactly.
    case widening
  }

  /// The images of bfloat16.
  public let rounded: BlockedTensor
  private let floats: BlockedTensor
  private let direction: Direction
  private let isRowMajor: Bool
  private let kernels: BlockKernels

  /// Whether there is code for a target.
  public static func isPossible(on target: CodeTarget) -> Bool { target.instructionSet.contains(.avx512BF16) }

  /// - Parameters:
  ///   - tensor: the images of float32, without a border.
  ///   - isRowMajor: whether they lie as NHWC, and not in blocks.
  ///   - border: of the images of bfloat16: of zeros where they are written, left out where they are read.
  /// - Throws: `.invalidArgument` where the target has no instructions on bfloat16.
  public init(
    _ direction: Direction, _ tensor: BlockedTensor, isRowMajor: Bool = false,
    border: BlockedTensor.Border = .none, library: KernelLibrary
  ) throws(CNNError) {
    guard Self.isPossible(on: library.target) else {
      throw CNNError(.invalidArgument, "\(library.target.instructionSet) has no instructions on bfloat16")
    }
    rounded = tensor.with(element: .bfloat16).with(border: border)
    (self.direction, self.isRowMajor, floats) = (direction, isRowMajor, tensor)
    func kernel(channels: Int) -> GeneratedKernel {
      let kernel = BFloat16ReorderKernel(
        target: library.target, direction: direction, channels: channels,
        rowChannels: isRowMajor ? tensor.channels : nil)
      return library.kernel(kernel, name: kernel.name) { kernel.code() }
    }
    kernels = BlockKernels(whole: kernel(channels: 32), last: kernel(channels: (tensor.channels - 1) % 32 + 1))
  }

  /// Copies all of it.
  public func run(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    let lines = rounded.images * rounded.height
    workers.forEachRange(of: rounded.blocks * lines) { range, _ in
      var next = range.lowerBound
      while next < range.upperBound {
        let (block, line) = next.quotientAndRemainder(dividingBy: lines)
        // Without a border all images are one line.
        let count = rounded.border == .none ? min(lines - line, range.upperBound - next) : 1
        copy(block, line, count, x, y)
        next += count
      }
    }
  }

  private func copy(
    _ block: Int, _ line: Int, _ count: Int, _ x: UnsafeRawPointer, _ y: UnsafeMutableRawPointer
  ) {
    let (image, row) = line.quotientAndRemainder(dividingBy: rounded.height)
    let start = rounded.byteOffset(image: image, block: block)
    if direction == .rounding, row == 0, rounded.border != .none {
      BlockedCopies.clearBorder(y + start, of: rounded)
    }
    let half = start + rounded.originByteOffset + row * rounded.rowByteCount
    let float =
      isRowMajor
      ? (line * floats.width * floats.channels + block * rounded.channelsPerBlock) * 4
      : floats.byteOffset(image: image, block: 2 * block) + row * floats.rowByteCount
    let (from, to) = direction == .rounding ? (float, half) : (half, float)
    var arguments = BFloat16ReorderKernel.Arguments(
      source: x + from, target: y + to,
      blockByteCount: isRowMajor ? BlockedTensor.pixelByteCount : floats.blockByteCount,
      pixels: count * rounded.width)
    kernels(isLast: block == rounded.blocks - 1, &arguments)
  }
}

/// The code for a block of up to 32 channels.
struct BFloat16ReorderKernel: Hashable, Sendable {
  let target: CodeTarget
  let direction: BFloat16Reorder.Direction
  let channels: Int
  /// The channels of a row of float32; nil where these lie in blocks.
  var rowChannels: Int?

  /// What it is called with.
  struct Arguments {
    var source: UnsafeRawPointer
    var target: UnsafeMutableRawPointer
    /// From the first 16 channels of float32 to the others.
    var blockByteCount: Int
    var pixels: Int
  }

  var name: String {
    "\(direction == .rounding ? "round_to" : "widen")_bf16_\(channels)" + (rowChannels.map { "of\($0)" } ?? "")
  }

  func code() -> VectorCode {
    let code = VectorCode(target), k = code.assembler
    let arguments = GeneralRegister.rdi, source = GeneralRegister.rax, place = GeneralRegister.rdx
    let distance = GeneralRegister.rsi, pixels = GeneralRegister.rcx
    for (index, register) in [source, place, distance, pixels].enumerated() { k.mov(register, arguments[8 * index]) }
    let parts = (0..<(channels + 15) / 16).map { (vector: WideRegister(number: $0, lanes: 16), index: $0) }
    let lanes = (channels - 1) % 16 + 1
    if lanes < 16 {
      k.mov(.rdi, (1 << lanes) - 1)
      k.kmovw(.k1, .rdi)
    }
    k.loop(pixels) {
      for (vector, index) in parts {
        switch direction {
        case .rounding:
          let address = index == 0 ? source[] : source[distance]
          if index == parts.count - 1 && lanes < 16 {
            k.vmovups(Zmm(vector.number), address, .zero(.k1))
          } else {
            code.load(vector, address)
          }
        case .widening:
          code.loadBFloat16(vector, source[32 * index])
          let address = index == 0 ? place[] : place[distance]
          if rowChannels != nil && index == parts.count - 1 && lanes < 16 {
            k.vmovups(address, Zmm(vector.number), .merge(.k1))
          } else {
            code.store(address, vector)
          }
        }
      }
      if direction == .rounding {
        if parts.count == 2 {
          code.roundToBFloat16(parts[0].vector, parts[0].vector, parts[1].vector)
        } else {
          code.roundToBFloat16(parts[0].vector, parts[0].vector)
        }
        code.store(place[], parts[0].vector)
      }
      let floatStride = rowChannels.map { $0 * 4 } ?? BlockedTensor.pixelByteCount
      k.add(direction == .rounding ? source : place, floatStride)
      k.add(direction == .rounding ? place : source, BlockedTensor.pixelByteCount)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}
