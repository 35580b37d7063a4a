import CNNCore
import CNNRuntime

@testable import CNNKernels

/// Floats that are NaN until written, followed by 64 sentinels.
final class ConvolutionBuffer {
  let count: Int
  private let memory: Memory
  private static let sentinel = Float(bitPattern: 0x7fc0_1234)

  init(count: Int) throws {
    self.count = count
    memory = try Memory(count: count + 64, of: .float32, for: "test")
    for i in 0..<count { base[i] = .nan }
    for i in count..<count + 64 { base[i] = ConvolutionBuffer.sentinel }
  }

  convenience init(byteCount: Int) throws { try self.init(count: byteCount / 4) }

  /// Numbers in [-1, 1).
  convenience init(randomCount: Int, seed: UInt64, stream: UInt64) throws {
    try self.init(count: randomCount)
    var generator = PhiloxGenerator(seed: seed, stream: stream)
    for i in 0..<randomCount { base[i] = 2 * generator.unit() - 1 }
  }

  var base: UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }

  subscript(i: Int) -> Float { base[i] }

  var isGuardIntact: Bool {
    (count..<count + 64).allSatisfy { base[$0].bitPattern == ConvolutionBuffer.sentinel.bitPattern }
  }
}

/// One run of the three passes over random data, with guarded buffers.
struct ConvolutionRun {
  let x, weight, bias, dy, y, dx, dWeight: ConvolutionBuffer
  let isGuardIntact: Bool

  init(_ g: ConvolutionGeometry, workers: Workers, seed: UInt64, hasBias: Bool) throws {
    x = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 1)
    weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
    bias = try ConvolutionBuffer(randomCount: g.outputChannels, seed: seed, stream: 3)
    dy = try ConvolutionBuffer(randomCount: g.outputCount, seed: seed, stream: 4)
    y = try ConvolutionBuffer(count: g.outputCount)
    dx = try ConvolutionBuffer(count: g.inputCount)
    dWeight = try ConvolutionBuffer(count: g.weightCount)
    let workspaces = [
      try ConvolutionBuffer(byteCount: Convolution.forwardWorkspaceByteCount(g, workers: workers)),
      try ConvolutionBuffer(byteCount: Convolution.inputGradientWorkspaceByteCount(g, workers: workers)),
      try ConvolutionBuffer(byteCount: Convolution.weightGradientWorkspaceByteCount(g, workers: workers)),
    ]
    OpenBLAS.enterSingleThread()
    defer { OpenBLAS.leaveSingleThread() }
    Convolution.forward(
      x: x.base, weight: weight.base, bias: hasBias ? UnsafePointer(bias.base) : nil, y: y.base, geometry: g,
      workspace: workspaces[0].base, workers: workers)
    Convolution.inputGradient(
      dy: dy.base, weight: weight.base, dx: dx.base, geometry: g, workspace: workspaces[1].base, workers: workers)
    Convolution.weightGradient(
      x: x.base, dy: dy.base, dWeight: dWeight.base, geometry: g, workspace: workspaces[2].base, workers: workers)
    isGuardIntact = ([x, weight, bias, dy, y, dx, dWeight] + workspaces).allSatisfy(\.isGuardIntact)
  }
}

/// What the reference makes of the data of a `ConvolutionRun`.
struct ConvolutionExpectation {
  var y, dx, dWeight: [Double]

  init(_ g: ConvolutionGeometry, seed: UInt64, hasBias: Bool) throws {
    let x = try ConvolutionBuffer(randomCount: g.inputCount, seed: seed, stream: 1)
    let weight = try ConvolutionBuffer(randomCount: g.weightCount, seed: seed, stream: 2)
    let bias = try ConvolutionBuffer(randomCount: g.outputChannels, seed: seed, stream: 3)
    let dy = try ConvolutionBuffer(randomCount: g.outputCount, seed: seed, stream: 4)
    y = .init(repeating: .nan, count: g.outputCount)
    dx = .init(repeating: .nan, count: g.inputCount)
    dWeight = .init(repeating: .nan, count: g.weightCount)
    ConvolutionReference.forward(
      x: x.base, weight: weight.base, bias: hasBias ? UnsafePointer(bias.base) : nil, y: &y, geometry: g)
    ConvolutionReference.inputGradient(dy: dy.base, weight: weight.base, dx: &dx, geometry: g)
    ConvolutionReference.weightGradient(x: x.base, dy: dy.base, dWeight: &dWeight, geometry: g)
  }
}

/// A geometry that can be written as one line of text.
struct ConvolutionCase {
  let geometry: ConvolutionGeometry

  /// Reads `n2 h7 w5 ic3 oc4 kh3 kw3 sh1 sw1 dh1 dw1 pt1 pl1 pb1 pr1 g1`; what is left out is 1, and pads are 0.
  init(_ line: String) throws {
    var sizes: [String: Int] = [:]
    for word in line.split(separator: " ") {
      let name = String(word.prefix { $0.isLetter })
      sizes[name] = Int(word.dropFirst(name.count))
    }
    func size(_ name: String, _ absent: Int = 1) -> Int { sizes[name] ?? absent }
    geometry = try ConvolutionGeometry(
      batch: size("n"), inputHeight: size("h"), inputWidth: size("w"), inputChannels: size("ic"),
      outputChannels: size("oc"), kernelHeight: size("kh"), kernelWidth: size("kw"), strideHeight: size("sh"),
      strideWidth: size("sw"), dilationHeight: size("dh"), dilationWidth: size("dw"), padTop: size("pt", 0),
      padLeft: size("pl", 0), padBottom: size("pb", 0), padRight: size("pr", 0), groups: size("g"))
  }

  /// A small geometry with awkward sizes.
  init(random seed: UInt64) throws {
    var generator = PhiloxGenerator(seed: seed, stream: 9)
    func pick(_ choices: [Int]) -> Int { choices[Int(generator.next() % UInt64(choices.count))] }
    while true {
      let groups = pick([1, 1, 1, 1, 2, 3, 17])
      let isDepthwise = pick([0, 0, 0, 1]) == 1
      let inputs = isDepthwise ? pick([1, 2, 3, 8, 16, 17, 33, 40]) : groups * pick([1, 2, 3, 5, 16, 17])
      let outputs = isDepthwise ? inputs * pick([1, 1, 1, 2, 3]) : groups * pick([1, 2, 3, 4, 8, 17, 20])
      let isPointwise = pick([0, 0, 0, 0, 1]) == 1
      let padding = isPointwise ? [0] : [0, 0, 1, 1, 2, 3, 7]
      let attempt = try? ConvolutionGeometry(
        batch: pick([1, 1, 2, 3]), inputHeight: pick([1, 2, 3, 5, 7, 8, 14, 17]),
        inputWidth: pick([1, 2, 3, 5, 7, 8, 14, 17]), inputChannels: inputs, outputChannels: outputs,
        kernelHeight: isPointwise ? 1 : pick([1, 2, 3, 3, 4, 5, 7]),
        kernelWidth: isPointwise ? 1 : pick([1, 2, 3, 3, 4, 5, 7]),
        strideHeight: isPointwise ? 1 : pick([1, 1, 2, 3, 4]), strideWidth: isPointwise ? 1 : pick([1, 1, 2, 3, 4]),
        dilationHeight: pick([1, 1, 1, 2, 3]),
        dilationWidth: pick([1, 1, 1, 2, 3]), padTop: pick(padding), padLeft: pick(padding),
        padBottom: pick(padding), padRight: pick(padding), groups: isDepthwise ? inputs : groups)
      guard let attempt else { continue }
      geometry = attempt
      return
    }
  }

  /// A line that `init(_:)` reads, with what else is needed to repeat the run.
  func line(seed: UInt64, workers: Int) -> String {
    let g = geometry
    return "seed \(seed) workers \(workers): n\(g.batch) h\(g.inputHeight) w\(g.inputWidth) ic\(g.inputChannels) "
      + "oc\(g.outputChannels) kh\(g.kernelHeight) kw\(g.kernelWidth) sh\(g.strideHeight) sw\(g.strideWidth) "
      + "dh\(g.dilationHeight) dw\(g.dilationWidth) pt\(g.padTop) pl\(g.padLeft) pb\(g.padBottom) pr\(g.padRight) "
      + "g\(g.groups)"
  }
}

enum ConvolutionCases {
  /// One shape to a line.
  static let named = """
    n1
    n1 h1 w1 ic1 oc1 kh3 kw3 pt1 pl1 pb1 pr1
    n2 h28 w28 ic1 oc16 kh3 kw3 pt1 pl1 pb1 pr1
    n2 h28 w28 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1
    n2 h28 w28 ic16 oc32 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1
    n2 h28 w28 ic16 oc32 sh2 sw2
    n3 h14 w14 ic32 oc32 kh3 kw3 pt1 pl1 pb1 pr1
    n3 h7 w7 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1
    n1 h57 w57 ic3 oc20 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3
    n1 h9 w9 ic24 oc8
    n1 h5 w6 ic70 oc150 kh3 kw3 pt1 pl1 pb1 pr1
    n1 h6 w5 ic40 oc140 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1 g2
    n3 h5 w5 ic300 oc130
    n1 h7 w7 ic300 oc140 kh3 kw3 pt1 pl1 pb1 pr1
    n1 h70 w300 ic3 oc4 kh3 kw3 pt1 pl1 pb1 pr1
    n1 h2 w3 ic2 oc3 kh5 kw7 pt4 pl6 pb0 pr1
    n1 h3 w1 ic2 oc3 kh2 kw3 pt0 pl9 pb3 pr9
    n1 h9 w9 ic4 oc4 kh3 kw3 sh3 sw3 dh2 dw2 pt2 pl1 pb0 pr3
    n1 h9 w11 ic4 oc4 kh3 kw3 sh4 sw4 dh2 dw6 pt2 pl8 pb0 pr9
    n2 h8 w8 ic6 oc9 kh3 kw3 sh2 sw2 pt0 pl0 pb1 pr1 g3
    n2 h8 w8 ic17 oc17 kh3 kw3 sh2 sw2 pt0 pl0 pb1 pr1 g17
    n2 h8 w8 ic40 oc40 kh5 kw5 pt2 pl2 pb2 pr2 g40
    n2 h8 w8 ic5 oc15 kh3 kw3 pt2 pl1 pb0 pr2 g5
    n1 h5 w5 ic8 oc4 g2
    """.split(separator: "\n").map(String.init)
}
