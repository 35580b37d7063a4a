import X86Assembler

/// Sums the gradient of some rows of a depthwise convolution's filter, for 16 channels, over some rows of the result.
///
/// All of the filter's rows and columns are summed in registers at once: a pixel of the gradient is loaded once and
/// multiplied by every pixel of the image that it meets. What of the window lies beside the image, to the left and right,
/// is known while the code is generated, and left out.
struct WindowGradientKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Rows and columns of the filter, and the distance between columns and between outputs.
  var rows, taps, dilation, stride: Int
  /// Columns of zeros on the left, and the widths of the image and of the result.
  var padding, inputWidth, outputWidth: Int
  /// Bytes of the image from one row of the window to the next, and from one row of the result to the next.
  var rowStride, lineStride: Int
  /// Which numbers of the image and of the gradient are read.
  var image = Numbers.floats, gradient = Numbers.floats

  /// Which numbers of a pixel the 16 channels are.
  enum Numbers: String, Sendable {
    /// Of float32.
    case floats
    /// Neighbours of bfloat16.
    case bfloat16
    /// Of 32 of bfloat16 every other one, which one instruction widens.
    case even, odd
  }

  var name: String {
    "depthwise_gradient_\(target.vectorName)_\(rows)x\(taps)s\(stride)_w\(outputWidth)"
      + (isOfFloats ? "" : "_\(image)_\(gradient)")
  }

  private var isOfFloats: Bool { image == .floats && gradient == .floats }

  /// How many rows of so many taps can be summed at once.
  static func rowLimit(taps: Int, isOfFloats: Bool, _ target: CodeTarget) -> Int {
    // Beside the sums the gradient's numbers, and where these are widened the image's and a mask.
    max(1, (target.registerCount - (isOfFloats ? 1 : 3)) / taps)
  }

  /// Neighbouring outputs whose windows' columns are inside the image for the same taps.
  private struct Zone {
    var outputs: Int
    let taps: [Int]
  }

  private var zones: [Zone] {
    var result: [Zone] = []
    for output in 0..<outputWidth {
      let inside = (0..<taps).filter { (0..<inputWidth).contains(output * stride + $0 * dilation - padding) }
      if let last = result.last, last.taps == inside {
        result[result.count - 1].outputs += 1
      } else {
        result.append(Zone(outputs: 1, taps: inside))
      }
    }
    return result
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes
    let arguments = GeneralRegister.rdi, input = GeneralRegister.rax, gradient = GeneralRegister.rsi
    let sums = GeneralRegister.r8, lines = GeneralRegister.rdx, outputs = GeneralRegister.rcx
    func sum(_ row: Int, _ tap: Int) -> WideRegister { WideRegister(number: row * taps + tap, lanes: lanes) }
    let value = WideRegister(number: rows * taps, lanes: lanes)
    let widened = WideRegister(number: rows * taps + 1, lanes: lanes)
    let mask = WideRegister(number: rows * taps + 2, lanes: lanes)
    func load(_ v: WideRegister, _ numbers: Numbers, _ address: Address) {
      switch numbers {
      case .floats: code.load(v, address)
      case .bfloat16: code.loadBFloat16(v, address)
      case .even: code.loadEvenBFloat16(v, address)
      case .odd: code.loadOddBFloat16(v, address, mask: mask)
      }
    }
    func operand(_ address: Address) -> VectorCode.Operand {
      if image == .floats { return .memory(address) }
      load(widened, image, address)
      return .register(widened)
    }
    func forEachSum(_ body: (WideRegister, Address) -> Void, _ offset: Int) {
      for row in 0..<rows {
        for tap in 0..<taps { body(sum(row, tap), sums[(row * taps + tap) * 64 + offset]) }
      }
    }
    k.mov(sums, arguments[16])
    if image == .odd || self.gradient == .odd { code.broadcast(mask, k.constantVector([0xFFFF_0000])) }
    for half in 0..<(16 / lanes) {
      let offset = half * lanes * 4
      k.mov(input, arguments[0])
      k.mov(gradient, arguments[8])
      k.mov(lines, arguments[24])
      forEachSum({ code.load($0, $1) }, offset)
      let nextLine = k.newLabel()
      k.bind(nextLine)
      for zone in zones {
        let next = k.newLabel(), isLoop = zone.outputs > 1 && !zone.taps.isEmpty
        let step = zone.taps.isEmpty ? zone.outputs : 1
        if isLoop {
          k.mov(outputs, zone.outputs)
          k.align(32)
          k.bind(next)
        }
        if !zone.taps.isEmpty { load(value, self.gradient, gradient[offset]) }
        for row in 0..<rows {
          for tap in zone.taps {
            code.multiplyAdd(
              sum(row, tap), value, operand(input[row * rowStride + (tap * dilation - padding) * 64 + offset]))
          }
        }
        k.add(input, step * stride * 64)
        k.add(gradient, step * 64)
        if isLoop {
          k.dec(outputs)
          k.jump(.ne, next)
        }
      }
      k.add(input, lineStride - outputWidth * stride * 64)
      k.dec(lines)
      k.jump(.ne, nextLine)
      forEachSum({ code.store($1, $0) }, offset)
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}

/// What it is called with.
struct WindowGradientArguments {
  /// The first pixel of the first of the window's rows, for the first row of the result.
  var input: UnsafeRawPointer
  /// The first pixel of the first row of the result's gradient.
  var gradient: UnsafeRawPointer
  /// What is added to: for every row and column of the window 16 floats.
  var sums: UnsafeMutableRawPointer
  /// How many rows of the result, at least 1.
  var lines: Int
}
