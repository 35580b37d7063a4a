import CNNCore
import X86Assembler

/// A row of a depthwise convolution or a pooling: 16 channels, every one by itself, of all pixels of an output row.
///
/// A few neighbouring outputs are computed at a time, each in a register: the inputs they share are loaded once. What of
/// the window lies beside the image is known for each output while the code is generated, and left out; how many rows of
/// the window lie inside, the caller says.
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
      epilogue.activation?.function.rawValue,
      accumulatesSum ? "sum" : nil,
    ].compactMap { $0 }.joined(separator: "_")
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
  /// The weights of that row: for every row and column of the window 16 floats.
  var filter: UnsafeRawPointer
  /// 16 floats.
  var bias: UnsafeRawPointer
  /// The first pixel of the output row.
  var output: UnsafeMutableRawPointer
  /// 16 floats to which the results are added.
  var sums: UnsafeMutableRawPointer
  /// How many rows of the window lie inside the image, at least 1.
  var rows: Int
  /// 1 / the number of rows that an average counts, as a float.
  var factor: Float
}

private struct WindowEmitter {
  let kernel: WindowKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let input = GeneralRegister.r8, filter = GeneralRegister.r9, output = GeneralRegister.r10
  let sums = GeneralRegister.r11, rows = GeneralRegister.rcx, bias = GeneralRegister.rdx
  let inputRow = GeneralRegister.rax, filterRow = GeneralRegister.rsi
  let rowCounter = GeneralRegister.rbx, segmentCounter = GeneralRegister.r12, arguments = GeneralRegister.rdi

  var lanes: Int { kernel.target.lanes }
  var reach: Int { (kernel.taps - 1) * kernel.dilation }

  // Registers: the outputs, then the weights of a row (the temporaries of the epilogue take their place), an input, the
  // running sum, and the factor.
  var outputs: Int {
    let others = max(kernel.taps, kernel.epilogue.temporaryCount, 2) + 3
    return max(1, min(kernel.target.hasAVX512 ? 16 : 8, kernel.target.registerCount - others))
  }
  func accumulator(_ index: Int) -> WideRegister { WideRegister(number: index, lanes: lanes) }
  func weight(_ tap: Int) -> WideRegister { WideRegister(number: outputs + tap, lanes: lanes) }
  func special(_ index: Int) -> WideRegister {
    WideRegister(number: kernel.target.registerCount - 1 - index, lanes: lanes)
  }
  var element: WideRegister { special(0) }
  var sum: WideRegister { special(1) }
  var factor: WideRegister { special(2) }

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
      if kernel.accumulatesSum { code.load(sum, sums[offset]) }
      for segment in segments() { emit(segment, offset) }
      if kernel.accumulatesSum { code.store(sums[offset], sum) }
    }
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
    let nextRow = k.newLabel()
    k.align(32)
    k.bind(nextRow)
    addRow(segment, half)
    k.add(inputRow, kernel.rowStride)
    if kernel.combination == .weightedSum { k.add(filterRow, kernel.taps * 64) }
    k.dec(rowCounter)
    k.jump(.ne, nextRow)
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
      switch kernel.combination {
      case .weightedSum where kernel.epilogue.hasBias:
        if index == 0 { code.load(accumulator(0), bias[half]) } else { code.copy(accumulator(index), accumulator(0)) }
      case .maximum: code.broadcast(accumulator(index), k.constant(-.infinity))
      case .weightedSum, .average: code.zero(accumulator(index))
      }
    }
  }

  /// One row of the windows of a segment.
  private func addRow(_ segment: Segment, _ half: Int) {
    if kernel.combination == .weightedSum {
      for tap in 0..<kernel.taps { code.load(weight(tap), filterRow[tap * 64 + half]) }
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
      let address = inputRow[(start + offset) * 64 + half]
      if users.isEmpty { continue }
      if users.count > 1 || kernel.combination == .maximum { code.load(element, address) }
      let value: VectorCode.Operand = users.count > 1 ? .register(element) : .memory(address)
      for (output, tap) in users {
        switch kernel.combination {
        case .weightedSum: code.multiplyAdd(accumulator(output), weight(tap), value)
        case .average: code.add(accumulator(output), accumulator(output), value)
        case .maximum: code.maximumKeepingNaN(accumulator(output), element, temporary: weight(0), weight(1))
        }
      }
    }
  }

  private func finish(_ segment: Segment, _ half: Int) {
    let temporaries = (0..<kernel.epilogue.temporaryCount).map { weight($0) }
    for index in 0..<segment.count {
      let result = accumulator(index), output = segment.first + index
      if case .average(let countsPadding) = kernel.combination {
        let start = output * kernel.stride - kernel.padding
        let inside = (0..<kernel.taps).count { (0..<kernel.inputWidth).contains(start + $0 * kernel.dilation) }
        code.multiply(result, result, factor)
        code.multiply(
          result, result, code.constant(1 / Float(countsPadding ? kernel.taps : max(1, inside)), lanes: lanes))
      }
      if let activation = kernel.epilogue.activation { code.apply(activation, to: result, temporaries: temporaries) }
      if kernel.accumulatesSum { code.add(sum, sum, result) }
      code.store(self.output[output * kernel.outputStep + half], result)
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
