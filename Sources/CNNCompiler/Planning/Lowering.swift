import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// What a kernel is chosen for.
struct LoweringTypes {
  let operands: [TensorType]
  let results: [TensorType]
  var workers = Workers(count: 1)
}

/// A kernel with everything it must know before it runs.
struct LoweredOperation {
  /// Scratch memory for the time of the step.
  var workspaceByteCount = 0
  /// The operand whose memory the first result shares without any work: a reshape.
  var aliasedOperand: Int?
  /// For each result from the first on, operands that it may overwrite, where nobody needs them afterwards and the size is
  /// the same: the best first, since what has just been read is still in a cache.
  var overwritableOperands: [[Int]] = []
  /// Whether the kernel calls OpenBLAS, which is loaded when first needed: it takes longer than the rest of a start.
  var usesOpenBLAS = false
  /// How it is computed and how much there is to do, for profiles.
  var cost = StepCost()
  /// The work; nil where there is none, and of passes over blocks as long as it is not known with which others they are made.
  var kernel: Kernel?
  /// The passes over blocks of channels that it is made of; nil where it is made of something else.
  var stream: StreamStep?
}

/// What a step has to do at least, whatever computes it.
public struct StepCost: Sendable, Equatable {
  /// How it is computed, as in `winograd_f4`; empty where there is but one way.
  public var algorithm = ""
  /// The sizes, as in `56x56x64 -> 56x56x64`.
  public var shape = ""
  /// Multiplications and additions that the kernel carries out.
  public var operations = 0
  /// What carries them out.
  public var unit = ArithmeticUnit.vectors
  /// How many it carries out in the time of one on the unit's usual numbers: in tiles bfloat16, on vectors float32 if not integers.
  public var rate = 1.0
  /// Bytes of the operands and results.
  public var byteCount = 0
  /// The precision that it computes in.
  public var precision = Precision.float32
  /// Whether it computes in integers, or makes floats of them or them of floats.
  public var isOfIntegers = false
  /// The instructions that it is made of: `avx512`, `avx2`, or `portable` where no code is generated for it.
  public var instruction = "portable"
  /// Why it is not computed in the precision that was asked for; empty where it is.
  public var reason = ""
  /// The implementation that was chosen.
  public var implementation = ""
  /// How many cycles it takes each of the workers, as placement expected.
  public var cycles = 0.0

  /// The type of its numbers.
  public var element: ElementType { isOfIntegers ? .int8 : precision.element }

  /// The instruction of its products where the instructions that it is made of have but one for them, else these.
  public var productInstruction: String {
    guard operations > 0 else { return instruction }
    return switch instruction {
    case "amx_int8": "tdpbusd"
    case "amx_bf16": "tdpbf16ps"
    case "avx512_vnni", "avx_vnni": "vpdpbusd"
    // Images may be of bfloat16 where products are of float32, and count as such.
    case "avx512_bf16" where rate != 1: "vdpbf16ps"
    case "avx512", "avx2": isOfIntegers ? "vpmaddwd" : instruction
    default: instruction
    }
  }
}

/// The work of a step. Must not allocate.
typealias Kernel = @Sendable (StepArguments) -> Void

/// What a kernel gets at run time.
struct StepArguments {
  let step: Step
  let bases: UnsafePointer<UnsafeMutableRawPointer>
  let workers: Workers
  let randomness: Randomness

  private func address(_ slot: Slot) -> UnsafeMutableRawPointer { bases[slot.region] + slot.offset }

  /// An operand as floats.
  func operand(_ index: Int) -> UnsafePointer<Float> {
    UnsafePointer(address(step.operands[index]).assumingMemoryBound(to: Float.self))
  }
  /// An operand as 32-bit integers.
  func integers(_ index: Int) -> UnsafePointer<Int32> {
    UnsafePointer(address(step.operands[index]).assumingMemoryBound(to: Int32.self))
  }
  /// An operand as bytes.
  func bytes(_ index: Int) -> UnsafePointer<UInt8> {
    UnsafePointer(address(step.operands[index]).assumingMemoryBound(to: UInt8.self))
  }
  /// An operand as numbers of bfloat16.
  func bfloat16(_ index: Int) -> UnsafePointer<BFloat16> {
    UnsafePointer(address(step.operands[index]).assumingMemoryBound(to: BFloat16.self))
  }
  /// A result as numbers of bfloat16.
  func bfloat16Result() -> UnsafeMutablePointer<BFloat16> {
    address(step.results[0]).assumingMemoryBound(to: BFloat16.self)
  }
  /// An operand as signed bytes.
  func signedBytes(_ index: Int) -> UnsafePointer<Int8> {
    UnsafePointer(address(step.operands[index]).assumingMemoryBound(to: Int8.self))
  }
  /// A result as bytes.
  func byteResult() -> UnsafeMutablePointer<UInt8> { address(step.results[0]).assumingMemoryBound(to: UInt8.self) }
  /// A result as signed bytes.
  func signedByteResult() -> UnsafeMutablePointer<Int8> {
    address(step.results[0]).assumingMemoryBound(to: Int8.self)
  }
  /// A result as 32-bit integers.
  func integerResult() -> UnsafeMutablePointer<Int32> {
    address(step.results[0]).assumingMemoryBound(to: Int32.self)
  }
  /// A result as floats.
  func result(_ index: Int = 0) -> UnsafeMutablePointer<Float> {
    address(step.results[index]).assumingMemoryBound(to: Float.self)
  }
  /// Scratch memory of the size that was asked for.
  var workspace: UnsafeMutableRawPointer { address(step.workspace) }
}

/// Where a tensor lies: a region whose base is known when the plan runs, and an offset in bytes.
struct Slot {
  let region: Int
  let offset: Int

  /// Inputs have a region each from `firstInput` on, and parameters after them.
  static let arena = 0, prepared = 1, firstInput = 2
}

/// One call of a kernel.
struct Step: Sendable {
  let name: String
  let kernel: Kernel
  let operands: [Slot]
  let results: [Slot]
  let workspace: Slot
  /// The position of the node that it computes; nil where it is none's.
  var node: Int?
}
