extension Assembler {
  // MARK: - Jumps

  /// Goes to a label. The jump takes 2 bytes where it leads back by no more than 128 and 5 otherwise: how far it leads
  /// forward is not yet known.
  public func jump(_ label: Label) {
    guard owns(label, "jump") else { return }
    if let distance = shortDistance(to: label) {
      bytes += [0xEB, UInt8(bitPattern: distance)]
    } else {
      bytes.append(0xE9)
      emitDistance(to: label)
    }
  }

  /// Goes to a label if the condition holds, in 2 or 6 bytes.
  public func jump(_ condition: Condition, _ label: Label) {
    guard owns(label, "jump") else { return }
    if let distance = shortDistance(to: label) {
      bytes += [0x70 | condition.rawValue, UInt8(bitPattern: distance)]
    } else {
      bytes += [0x0F, 0x80 | condition.rawValue]
      emitDistance(to: label)
    }
  }

  /// Goes to the address in a register.
  public func jump(_ register: GeneralRegister) {
    encodeGeneral("jump", 0xFF, .double, reg: 4, rm: .register(register.number))
  }

  /// Calls the function at the address in a register.
  public func call(_ register: GeneralRegister) {
    encodeGeneral("call", 0xFF, .double, reg: 2, rm: .register(register.number))
  }

  /// Returns to the caller.
  public func ret() { bytes.append(0xC3) }

  /// The distance from behind a jump of 2 bytes, if the label is bound and near.
  private func shortDistance(to label: Label) -> Int8? {
    place(of: label).flatMap { Int8(exactly: $0 - (bytes.count + 2)) }
  }

  // MARK: - Caches

  /// Fetches the cache line into all levels.
  public func prefetcht0(_ address: Address) { prefetch("prefetcht0", 0x18, digit: 1, address) }

  /// Fetches the cache line into levels 2 and above.
  public func prefetcht1(_ address: Address) { prefetch("prefetcht1", 0x18, digit: 2, address) }

  /// Fetches the cache line into level 3.
  public func prefetcht2(_ address: Address) { prefetch("prefetcht2", 0x18, digit: 3, address) }

  /// Fetches the cache line for one use.
  public func prefetchnta(_ address: Address) { prefetch("prefetchnta", 0x18, digit: 0, address) }

  /// Fetches the cache line to write to it.
  public func prefetchw(_ address: Address) { prefetch("prefetchw", 0x0D, digit: 1, address) }

  private func prefetch(_ mnemonic: StaticString, _ opcode: UInt8, digit: Int, _ address: Address) {
    encodeGeneral(mnemonic, opcode, isEscaped: true, .double, reg: digit, rm: .memory(address))
  }

  // MARK: - The processor

  /// Clears what is above 128 bits in vector registers 0...15; needed before code without VEX runs.
  public func vzeroupper() { bytes += [0xC5, 0xF8, 0x77] }

  /// Stops in a debugger.
  public func int3() { bytes.append(0xCC) }

  /// Describes the processor: eax and ecx say what of it, eax, ebx, ecx and edx receive it.
  public func cpuid() { bytes += [0x0F, 0xA2] }

  /// Reads into edx:eax which registers the operating system saves; ecx must be 0.
  public func xgetbv() { bytes += [0x0F, 0x01, 0xD0] }

  /// Reads the time stamp counter into edx:eax.
  public func rdtsc() { bytes += [0x0F, 0x31] }

  /// Waits until all earlier loads are done.
  public func lfence() { bytes += [0x0F, 0xAE, 0xE8] }

  /// Waits until all earlier stores are there for other processors, also those past the caches.
  public func sfence() { bytes += [0x0F, 0xAE, 0xF8] }

  /// Says that this is a loop that waits.
  public func pause() { bytes += [0xF3, 0x90] }
}
