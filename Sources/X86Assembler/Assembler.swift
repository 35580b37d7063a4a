import CNNCore

/// Writes x86-64 machine code, one method a mnemonic: `k.vaddps(Zmm(0), Zmm(1), rdi[64])`.
///
/// Operands stand in the order of Intel's manual, the destination first. A mistake never traps and needs no `try` where
/// it is made: the first one is kept and `finish(name:)` throws it.
public final class Assembler {
  /// The instructions so far.
  var bytes: [UInt8] = []
  private(set) var failure: CNNError?
  private var notes: [MachineCode.Note] = []

  /// Where each label is bound, or nil.
  private var places: [Int?] = []
  private var fixups: [Fixup] = []

  /// The constants in the order in which they were asked for.
  private var constants: [(words: [UInt32], label: Label)] = []
  private var labelOfConstant: [[UInt32]: Label] = [:]

  /// 32 bits of the code that hold a distance, known when all places are.
  private struct Fixup {
    let position: Int
    let label: Label
    /// What the distance is counted from: the end of its instruction, less the displacement.
    let origin: Int
  }

  /// An assembler without instructions.
  public init() { bytes.reserveCapacity(4096) }

  /// How many bytes of instructions there are so far.
  public var byteCount: Int { bytes.count }

  /// Keeps the first mistake; the instruction that made it is left out.
  func fail(_ mnemonic: StaticString, _ message: @autoclosure () -> String) {
    if failure == nil {
      failure = CNNError(.internalFault, "\(mnemonic) at offset \(bytes.count): \(message())")
    }
  }

  // MARK: - Labels

  /// A label that is not yet bound.
  public func newLabel() -> Label {
    places.append(nil)
    return Label(index: places.count - 1, owner: ObjectIdentifier(self))
  }

  /// Says that `label` is the place of the next instruction.
  public func bind(_ label: Label) {
    guard owns(label, "bind") else { return }
    guard places[label.index] == nil else { return fail("bind", "label \(label.index) is bound twice") }
    places[label.index] = bytes.count
  }

  /// Where a label is bound, or nil.
  func place(of label: Label) -> Int? { places[label.index] }

  func owns(_ label: Label, _ mnemonic: StaticString) -> Bool {
    let isOwn = label.owner == ObjectIdentifier(self)
    if !isOwn { fail(mnemonic, "a label or constant of another assembler") }
    return isOwn
  }

  /// Appends 32 bits that will hold the distance to `label` from the end of the instruction, which is `trailing` bytes
  /// further on, plus `displacement`.
  func emitDistance(to label: Label, displacement: Int = 0, trailing: Int = 0) {
    fixups.append(Fixup(position: bytes.count, label: label, origin: bytes.count + 4 + trailing - displacement))
    emit32(0)
  }

  // MARK: - Constants

  /// The address of a float that stands after the code; equal bit patterns share one place. In an EVEX instruction its
  /// `.splat` is the float in every lane.
  public func constant(_ value: Float) -> Address { constantVector([value.bitPattern]) }

  /// The address of a float that is repeated `lanes` times, for AVX2, which has no splats.
  public func constant(_ value: Float, lanes: Int) -> Address {
    constantVector([UInt32](repeating: value.bitPattern, count: max(0, lanes)))
  }

  /// The address of 32-bit words that stand after the code, aligned to their size (to 64 bytes if it is larger); equal
  /// lists share one place.
  public func constantVector(_ values: [UInt32]) -> Address {
    if values.isEmpty { fail("constant", "has no elements") }
    if let label = labelOfConstant[values] { return Address(base: .label(label)) }
    let label = newLabel()
    labelOfConstant[values] = label
    constants.append((values, label))
    return Address(base: .label(label))
  }

  /// Code that is repeated as often as a register says, which is once at least; afterwards that is 0.
  public func loop(_ counter: GeneralRegister, alignment: Int = 32, _ body: () -> Void) {
    let top = newLabel()
    align(alignment)
    bind(top)
    body()
    dec(counter)
    jump(.ne, top)
  }

  // MARK: - Layout and notes

  /// Fills with instructions that do nothing up to a multiple of `n` bytes, a power of 2 up to 64.
  public func align(_ n: Int) {
    guard [1, 2, 4, 8, 16, 32, 64].contains(n) else { return fail("align", "to \(n); a power of 2 up to 64 is needed") }
    var gap = -bytes.count & (n - 1)
    while gap > 0 {
      let nop = Self.nops[min(gap, Self.nops.count) - 1]
      bytes += nop
      gap -= nop.count
    }
  }

  /// The instructions of 1 to 9 bytes that the manual recommends for doing nothing.
  private static let nops: [[UInt8]] = [
    [0x90],
    [0x66, 0x90],
    [0x0F, 0x1F, 0x00],
    [0x0F, 0x1F, 0x40, 0x00],
    [0x0F, 0x1F, 0x44, 0x00, 0x00],
    [0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00],
    [0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00],
    [0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    [0x66, 0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  ]

  /// Puts a comment on the next instruction; listings show it.
  public func note(_ text: String) { notes.append(MachineCode.Note(offset: bytes.count, text: text)) }

  // MARK: - The end

  /// The code with its constants behind it.
  /// - Throws: `.internalFault`, a mistake of the caller: the first instruction that does not exist, or a label that a
  ///   jump leads to and that is not bound.
  public func finish(name: String = "kernel") throws(CNNError) -> MachineCode {
    if let failure { throw failure.prefixed("kernel '\(name)'") }
    var code = bytes
    var places = places
    // Gaps are filled with int3, since control should never come there.
    func pad(to alignment: Int) { while code.count % alignment != 0 { code.append(0xCC) } }
    if !constants.isEmpty { pad(to: 64) }
    // The most aligned first, so that there are hardly any gaps.
    for alignment in [64, 32, 16, 8, 4] {
      for (words, label) in constants where Self.alignment(of: words) == alignment {
        pad(to: alignment)
        places[label.index] = code.count
        for word in words { withUnsafeBytes(of: word.littleEndian) { code += $0 } }
      }
    }
    for fixup in fixups {
      guard let place = places[fixup.label.index] else {
        throw CNNError(.internalFault, "kernel '\(name)': label \(fixup.label.index) is used and not bound")
      }
      guard let distance = Int32(exactly: place - fixup.origin) else {
        throw CNNError(.internalFault, "kernel '\(name)': a distance of \(place - fixup.origin) bytes")
      }
      withUnsafeBytes(of: distance.littleEndian) { code.replaceSubrange(fixup.position..<fixup.position + 4, with: $0) }
    }
    return MachineCode(name: name, bytes: code, instructionByteCount: bytes.count, notes: notes)
  }

  private static func alignment(of words: [UInt32]) -> Int {
    var alignment = 4
    while alignment < min(64, words.count * 4) { alignment *= 2 }
    return alignment
  }
}
