import CNNCore
import X86Assembler

/// A row of a depthwise convolution or a pooling: 16 channels, every one by itself, of all pixels of an output row.
///
/// A few neighbouring outputs are computed at a time, each in a register: the inputs they share are loaded once. What of
/// the window lies beside the image is known for each output while the code is generated, and left out; how many rows of
/// the window lie inside, the caller says.
///
/// Where the image or the result is bfloat16, which is a way to store only, it is 32 channels in two registers of float32.
/// Of an image in bfloat16 these are the even channels and the odd ones, which one instruction each makes of a block, and
/// not the lower and the upper 16, which take two.
struct WindowKernel: Hashable, Sendable {
  /// What is done with the numbers in a window.
  enum Combination: Hashable, Sendable {
    /// Their sum, each times its weight.
    case weightedSum
    /// The largest, or NaN.
    case maximum
    /// Their sum over their number, which counts zeros beside the image if `countsPadding`.
    case average(countsPadding: Bool)
  }

  let target: CodeTarget
  var combination: Combination
  /// Columns of the window, and the distance between two of them and between two outputs.
  var taps, dilation, stride: Int
  /// Columns of zeros on the left, and the widths of the image and of the result.
  var padding, inputWidth, outputWidth: Int
  /// Bytes from one pixel of the result to the next.
  var outputStep = BlockedTensor.pixelByteCount
  /// Bytes of the input from one row of the window to the next.
  var rowStride: Int
  /// The types of the numbers of the image and of the result.
  var input = ElementType.float32, output = ElementType.float32
  /// The channels of the block: those of a whole one, or of the last one fewer where something is bfloat16.
  var channels = BlockedTensor.blockChannels
  var epilogue = Epilogue()
  /// Whether the sum of the results is added to the numbers at `sums`.
  var accumulatesSum = false

  var name: String {
    let kind =
      switch combination {
      case .weightedSum: "depthwise"
      case .maximum: "maximum"
      case .average: "average"
      }
    return [
      kind, target.vectorName, "\(taps)s\(stride)", "w\(outputWidth)",
      hasBytes ? "bytes" : nil,
      hasBFloat16 ? "\(input.rawValue)_to_\(output.rawValue)_\(channels)" : nil,
      epilogue.activation?.function.rawValue,
      accumulatesSum ? "sum" : nil,
    ].compactMap { $0 }.joined(separator: "_")
  }

  /// Whether the image or the result is bfloat16.
  var hasBFloat16: Bool { input == .bfloat16 || output == .bfloat16 }
  /// Whether both are bytes, of which there are only maxima.
  var hasBytes: Bool { input == .uint8 }
  /// Channels of a block and of its weights.
  var blockChannels: Int { (hasBytes ? 4 : hasBFloat16 ? 2 : 1) * BlockedTensor.blockChannels }
  /// In what order registers hold the channels of a block: the first 16 numbers are those in the first register.
  var channelOrder: [Int] {
    let channels = 0..<blockChannels
    return input == .bfloat16 ? channels.filter { $0 % 2 == 0 } + channels.filter { $0 % 2 == 1 } : Array(channels)
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    WindowEmitter(kernel: self, code: code).emit()
    return code
  }
}

/// What a window kernel is called with.
struct WindowArguments {
  /// The first pixel of the first row of the window that lies inside the image.
  var input: UnsafeRawPointer
  /// The weights of that row: for every row and column of the window those of the block's channels, in the kernel's order.
  var filter: UnsafeRawPointer
  /// A float for each channel, those of whole blocks of 16.
  var bias: UnsafeRawPointer
  /// The first pixel of the output row.
  var output: UnsafeMutableRawPointer
  /// 16 floats to which the results are added.
  var sums: UnsafeMutableRawPointer
  /// How many rows of the window lie inside the image, at least 1.
  var rows: Int
  /// 1 / the number of rows that an average counts, as a float.
  var factor: Float
  /// Of 32 channels: bytes from 16 channels to the next 16 where image or result is float32, and of the sums.
  var blockDistance = 0, sumsDistance = 0
}

private struct WindowEmitter {
  let kernel: WindowKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let input = GeneralRegister.r8, filter = GeneralRegister.r9, output = GeneralRegister.r10
  let sums = GeneralRegister.r11, rows = GeneralRegister.rcx, bias = GeneralRegister.rdx
  let inputRow = GeneralRegister.rax, filterRow = GeneralRegister.rsi
  let rowCounter = GeneralRegister.rbx, segmentCounter = GeneralRegister.r12, arguments = GeneralRegister.rdi
  let blockDistance = GeneralRegister.r13
  let channelMask = MaskRegister.k2

  var lanes: Int { kernel.target.lanes }
  var reach: Int { (kernel.taps - 1) * kernel.dilation }
  /// Whether a register holds the even channels and another the odd ones.
  var isInTurns: Bool { kernel.input == .bfloat16 }
  /// Blocks of 16 channels of float32 that the channels are, or one of 64 bytes.
  var floatBlocks: Int {
    kernel.hasBytes ? 1 : (kernel.channels + BlockedTensor.blockChannels - 1) / BlockedTensor.blockChannels
  }
  /// The registers that hold a pixel.
  var parts: Range<Int> { 0..<(isInTurns ? 2 : floatBlocks) }
  /// Bytes of the weights of a tap.
  var tapByteCount: Int { kernel.blockChannels * 4 }

  // Registers: the outputs, then the weights of a row (the temporaries of the epilogue take their place), an input, the
  // running sum, the factor, and what keeps the odd channels.
  var outputs: Int {
    let fixed = 2 * parts.count + (isInTurns ? 2 : 1)
    let others = max(kernel.taps * parts.count, kernel.epilogue.temporaryCount, 2) + fixed
    return max(1, min(kernel.target.hasAVX512 ? 16 : 8, (kernel.target.registerCount - others) / parts.count))
  }
  func accumulator(_ index: Int, _ part: Int) -> WideRegister {
    WideRegister(number: index * parts.count + part, lanes: lanes)
  }
  func temporary(_ index: Int) -> WideRegister {
    WideRegister(number: outputs * parts.count + index, lanes: lanes)
  }
  func weight(_ tap: Int, _ part: Int) -> WideRegister { temporary(tap * parts.count + part) }
  func special(_ index: Int) -> WideRegister {
    WideRegister(number: kernel.target.registerCount - 1 - index, lanes: lanes)
  }
  func element(_ part: Int) -> WideRegister { special(part) }
  func sum(_ part: Int) -> WideRegister { special(parts.count + part) }
  var factor: WideRegister { special(2 * parts.count) }
  var oddChannels: WideRegister { special(2 * parts.count + 1) }

  /// Some neighbouring outputs, and how often such a segment comes.
  struct Segment {
    let first, count: Int
    var times = 1
  }

  /// The outputs in equal parts; those among them whose windows lie inside the image are one loop.
  func segments() -> [Segment] {
    let width = kernel.outputWidth, parts = (width + outputs - 1) / outputs
    var result: [Segment] = []
    for part in 0..<parts {
      let first = width * part / parts, count = width * (part + 1) / parts - first
      if var last = result.last, isInside(last.first, last.count), isInside(first, count), last.count == count {
        last.times += 1
        result[result.count - 1] = last
      } else {
        result.append(Segment(first: first, count: count))
      }
    }
    return result
  }

  func isInside(_ first: Int, _ count: Int) -> Bool {
    let start = first * kernel.stride - kernel.padding
    return start >= 0 && start + (count - 1) * kernel.stride + reach < kernel.inputWidth
  }

  func emit() {
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    k.push(rowCounter)
    k.push(segmentCounter)
    if kernel.hasBFloat16 { prepareBFloat16() }
    k.mov(input, arguments[0])
    k.mov(filter, arguments[8])
    k.mov(bias, arguments[16])
    k.mov(output, arguments[24])
    k.mov(sums, arguments[32])
    k.mov(rows, arguments[40])
    if case .average(countsPadding: _) = kernel.combination { code.broadcast(factor, arguments[48]) }
    // AVX2 takes the 16 channels in two halves.
    for half in 0..<(16 / lanes) {
      let offset = half * lanes * 4
      if half > 0 {
        k.mov(input, arguments[0])
        k.mov(output, arguments[24])
      }
      if kernel.accumulatesSum { addSums(offset) }
      for segment in segments() { emit(segment, offset) }
      if kernel.accumulatesSum { storeSums(offset) }
    }
    if kernel.hasBFloat16 { k.pop(blockDistance) }
    k.pop(segmentCounter)
    k.pop(rowCounter)
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  /// `input` points at the pixel where a loop's next segment begins to read, counted from the first one of the row.
  private func emit(_ segment: Segment, _ half: Int) {
    let top = k.newLabel()
    if segment.times > 1 {
      k.mov(segmentCounter, segment.times)
      k.align(32)
      k.bind(top)
    }
    initialize(segment, half)
    k.mov(inputRow, input)
    if kernel.combination == .weightedSum { k.mov(filterRow, filter) }
    k.mov(rowCounter, rows)
    k.loop(rowCounter) {
      addRow(segment, half)
      k.add(inputRow, kernel.rowStride)
      if kernel.combination == .weightedSum { k.add(filterRow, kernel.taps * tapByteCount) }
    }
    finish(segment, half)
    if segment.times > 1 {
      k.add(input, segment.count * kernel.stride * 64)
      k.add(output, segment.count * kernel.outputStep)
      k.dec(segmentCounter)
      k.jump(.ne, top)
      // What follows addresses from the row's first pixel again.
      k.sub(input, segment.times * segment.count * kernel.stride * 64)
      k.sub(output, segment.times * segment.count * kernel.outputStep)
    }
  }

  private func initialize(_ segment: Segment, _ half: Int) {
    for index in 0..<segment.count {
      let all = parts.map { accumulator(index, $0) }
      switch kernel.combination {
      case .weightedSum where kernel.epilogue.hasBias:
        if index == 0 {
          loadFloats(all, from: [bias[half], bias[64]])
        } else {
          for part in parts { code.copy(all[part], accumulator(0, part)) }
        }
      case .maximum where !kernel.hasBytes:
        for register in all { code.broadcast(register, k.constant(-.infinity)) }
      case .weightedSum, .average, .maximum: for register in all { code.zero(register) }
      }
    }
  }

  /// One row of the windows of a segment.
  private func addRow(_ segment: Segment, _ half: Int) {
    if kernel.combination == .weightedSum {
      for tap in 0..<kernel.taps {
        for part in parts { code.load(weight(tap, part), filterRow[tap * tapByteCount + 64 * part + half]) }
      }
    }
    let start = segment.first * kernel.stride - kernel.padding
    for offset in 0...((segment.count - 1) * kernel.stride + reach) {
      guard (0..<kernel.inputWidth).contains(start + offset) else { continue }
      // The outputs that see this pixel, each with the tap under which it lies.
      let users = (0..<kernel.taps).compactMap { tap -> (output: Int, tap: Int)? in
        let position = offset - tap * kernel.dilation
        guard position >= 0, position % kernel.stride == 0, position / kernel.stride < segment.count else { return nil }
        return (position / kernel.stride, tap)
      }
      if users.isEmpty { continue }
      let isLoaded = users.count > 1 || kernel.combination == .maximum || isInTurns
      let values = parts.map { part -> VectorCode.Operand in
        let address = address(ofPixel: start + offset, part, half)
        if isLoaded { load(part, address) }
        return isLoaded ? .register(element(part)) : .memory(address)
      }
      for (output, tap) in users {
        for part in parts {
          let register = accumulator(output, part)
          switch kernel.combination {
          case .weightedSum: code.multiplyAdd(register, weight(tap, part), values[part])
          case .average: code.add(register, register, values[part])
          case .maximum where kernel.hasBytes: code.maximumOfBytes(register, register, values[part])
          case .maximum:
            code.maximumKeepingNaN(register, element(part), temporary: temporary(0), temporary(1))
          }
        }
      }
    }
  }

  private func finish(_ segment: Segment, _ half: Int) {
    let temporaries = (0..<kernel.epilogue.temporaryCount).map(temporary)
    for index in 0..<segment.count {
      let output = segment.first + index, results = parts.map { accumulator(index, $0) }
      for (result, part) in zip(results, parts) {
        if case .average(let countsPadding) = kernel.combination {
          let start = output * kernel.stride - kernel.padding
          let inside = (0..<kernel.taps).count { (0..<kernel.inputWidth).contains(start + $0 * kernel.dilation) }
          code.multiply(result, result, factor)
          code.multiply(
            result, result, code.constant(1 / Float(countsPadding ? kernel.taps : max(1, inside)), lanes: lanes))
        }
        if let activation = kernel.epilogue.activation {
          code.apply(activation, to: result, temporaries: temporaries, isRounded: kernel.output == .bfloat16)
        }
        if kernel.accumulatesSum { code.add(sum(part), sum(part), result) }
      }
      store(results, at: output * kernel.outputStep + half)
    }
  }
}

// MARK: - Types of numbers, and where channels are

extension WindowEmitter {
  /// Without bfloat16 there is nothing to prepare.
  private func prepareBFloat16() {
    k.push(blockDistance)
    k.mov(blockDistance, arguments[56])
    if isInTurns { code.broadcast(oddChannels, k.constantVector([0xFFFF_0000])) }
    if kernel.output == .bfloat16, kernel.channels < kernel.blockChannels {
      k.mov(.rax, (1 << kernel.channels) - 1)
      k.kmovd(channelMask, .rax)
    }
  }

  /// Where a part of a pixel is, counted from the first one of the row.
  private func address(ofPixel pixel: Int, _ part: Int, _ half: Int) -> Address {
    isInTurns || part == 0 ? inputRow[pixel * 64 + half] : inputRow[blockDistance, 1, pixel * 64]
  }

  /// A part of a pixel as float32.
  private func load(_ part: Int, _ address: Address) {
    switch (isInTurns, part) {
    case (false, _): code.load(element(part), address)
    case (true, 0): code.loadEvenBFloat16(element(0), address)
    case (true, _): code.loadOddBFloat16(element(part), address, mask: oddChannels)
    }
  }

  /// Takes the sums in.
  private func addSums(_ half: Int) {
    loadFloats(parts.map(sum), from: [sums[half]] + (floatBlocks > 1 ? [secondSums()] : []))
  }

  private func storeSums(_ half: Int) {
    let ordered = inOrder(parts.map(sum))
    code.store(sums[half], ordered[0])
    if floatBlocks > 1 { code.store(secondSums(), ordered[1]) }
  }

  private func secondSums() -> Address {
    k.mov(inputRow, arguments[64])
    return sums[inputRow]
  }

  /// Floats in the order of their channels to where these are in registers. What is not there is like what is.
  private func loadFloats(_ registers: [WideRegister], from addresses: [Address]) {
    guard isInTurns else {
      for (register, address) in zip(registers, addresses) { code.load(register, address) }
      return
    }
    let (lower, upper) = (temporary(0), temporary(1))
    code.load(lower, addresses[0])
    if floatBlocks > 1 { code.load(upper, addresses[1]) }
    for (part, register) in registers.enumerated() {
      code.select(register, (0..<16).map { 2 * $0 + part }, of: lower, floatBlocks > 1 ? upper : lower)
    }
  }

  /// The registers that hold the channels of what these do in order, 16 each; may be temporaries.
  private func inOrder(_ registers: [WideRegister]) -> [WideRegister] {
    guard isInTurns else { return registers }
    return (0..<floatBlocks).map { block in
      let result = temporary(block)
      code.select(result, (0..<16).map { $0 / 2 + 8 * block + $0 % 2 * 16 }, of: registers[0], registers[1])
      return result
    }
  }

  /// Writes a pixel of the result. Of bfloat16, lanes behind the last channel become 0.
  private func store(_ results: [WideRegister], at offset: Int) {
    let ordered = inOrder(results)
    switch kernel.output {
    case .bfloat16:
      let masking = kernel.channels < kernel.blockChannels ? Masking.zero(channelMask) : nil
      if ordered.count > 1 {
        code.roundToBFloat16(ordered[0], ordered[0], ordered[1], masking)
      } else {
        code.roundToBFloat16(ordered[0], ordered[0], masking)
      }
      code.store(output[offset], ordered[0])
    default:
      code.store(output[offset], ordered[0])
      if ordered.count > 1 { code.store(output[blockDistance, 1, offset], ordered[1]) }
    }
  }
}

extension VectorCode {
  /// d = max(d, a), NaN where one of the two is.
  func maximumKeepingNaN(_ d: WideRegister, _ a: WideRegister, temporary t: WideRegister, _ mask: WideRegister) {
    let k = assembler
    maximum(t, d, a)  // `a` where either is NaN: wrong only where `d` is and `a` is not.
    if t.lanes == 16 {
      k.vcmpps(.k1, Zmm(d.number), Zmm(d.number), 3)
      k.vmovaps(Zmm(t.number), Zmm(d.number), .merge(.k1))
      k.vmovaps(Zmm(d.number), Zmm(t.number))
    } else {
      k.vcmpps(Ymm(mask.number), Ymm(d.number), Ymm(d.number), 3)
      k.vblendvps(Ymm(d.number), Ymm(t.number), Ymm(d.number), Ymm(mask.number))
    }
  }
}
