import CNNCore
import CNNRuntime

/// An operation on blocked tensors of one size that goes over them in passes, each a `StreamProgram`. It is said in data, so
/// that steps which follow each other can be made in common passes; see `followed`.
///
/// What it works on has numbers: ports. A step of a plan has its operands first and its results after them. What goes by
/// pixel by pixel may be stored as float32 or bfloat16, which the step does not say; arithmetic is in float32, and whatever
/// else it reads and writes is that.
public struct StreamStep: Sendable {
  /// The sizes of the tensors that passes go over, as of float32.
  public let tensor: BlockedTensor
  /// Bytes that the work between passes takes, without sums.
  let workByteCount: Int
  /// The same in whole vectors: where what follows it begins.
  var alignedWorkByteCount: Int { (workByteCount + 63) / 64 * 64 }
  let passes: [Pass]
  /// Of what the tensors of the ports are, which goes by pixel by pixel; float32 where none is named.
  private(set) var elements: [ElementType] = []

  /// The most ports that a step can have.
  static let portLimit = 16

  /// One pass over all pixels.
  struct Pass: Sendable {
    var program: StreamProgram
    /// The port of each of the program's streams.
    var streams: [Int]
    /// What each of its constants is.
    var constants: [Constant] = []
    /// Whether it sums each image by itself, or has constants for each.
    var isPerImage = false
    /// Done before the pass, and after it with its sums, for some blocks of 16 channels by one thread.
    var before: [Work] = [], after: [Work] = []
  }

  /// 16 numbers of float32 for each block.
  enum Constant: Hashable, Sendable {
    /// `blocks * 16` floats, so many bytes into the working memory.
    case channels(byteOffset: Int)
    /// 16 floats for each image, the same for all blocks, so many bytes into the working memory.
    case ofImages(byteOffset: Int)
    /// Those of a tensor's first pixel.
    case firstPixel(port: Int)
    /// Those of a tensor of one pixel for each image.
    case images(port: Int)
    /// One number.
    case number(Float)

    /// The tensor that has them.
    var port: Int? {
      switch self {
      case .firstPixel(let port), .images(let port): port
      case .channels, .ofImages, .number: nil
      }
    }
  }

  /// What is done between passes, for some blocks of 16 channels.
  typealias Work = @Sendable (_ blocks: Range<Int>, _ environment: Environment) -> Void

  /// What work between passes sees.
  struct Environment {
    fileprivate var ports: InlineArray<16, UnsafeMutableRawPointer>
    /// Which of the ports are of bfloat16.
    fileprivate var isRounded: InlineArray<16, Bool>
    fileprivate let tensor: BlockedTensor
    /// As many bytes as the step asked for.
    fileprivate(set) var workspace: UnsafeMutableRawPointer
    /// Of the step that now runs, or in which this one was taken in.
    fileprivate let pass: StreamPass
    fileprivate let sums: UnsafeMutableRawPointer
    fileprivate var firstSum = 0
    let workers: Workers
    let randomness: Randomness

    /// A small tensor.
    func floats(_ port: Int) -> UnsafeMutablePointer<Float> { ports[port].assumingMemoryBound(to: Float.self) }

    /// The first pixel of a tensor, of a block of 16 channels.
    func firstPixel(_ port: Int, block: Int) -> SIMD16<Float> {
      guard isRounded[port] else {
        return .load(UnsafePointer(floats(port) + block * tensor.blockByteCount / 4))
      }
      let (whole, part) = block.quotientAndRemainder(dividingBy: 2)
      let place = ports[port] + whole * tensor.with(element: .bfloat16).blockByteCount + part * 32
      return .widening(UnsafeRawPointer(place))
    }

    /// A sum of the pass for the channels of a block of 16, over all pixels.
    func total(_ index: Int, block: Int) -> SIMD16<Double> { pass.total(firstSum + index, block: block, sums) }

    /// The same over the pixels of one image.
    func total(_ index: Int, block: Int, image: Int) -> SIMD16<Double> {
      pass.total(firstSum + index, block: block, run: image, sums)
    }
  }

  /// A step of these passes.
  init(_ tensor: BlockedTensor, workByteCount: Int = 0, _ passes: [Pass]) {
    (self.workByteCount, self.passes) = (workByteCount, passes)
    self.tensor = tensor.with(element: .float32)
  }

  /// The same whose ports are of these elements, float32 or bfloat16; of float32 where none is named.
  public func with(elements: [ElementType]) -> StreamStep {
    // All passes go over the same blocks, those of bfloat16 where anything is that.
    let isRounded = passes.contains {
      $0.streams.contains { elements.indices.contains($0) && elements[$0] == .bfloat16 }
    }
    let elements = isRounded ? elements : []
    var result = StreamStep(tensor, workByteCount: workByteCount, passes.map { $0.with(elements: elements) })
    result.elements = elements
    return result
  }

  /// The tensors that it is run with, by their ports.
  public struct Ports {
    fileprivate var pointers: InlineArray<16, UnsafeMutableRawPointer>

    /// All ports with this tensor.
    public init(_ first: UnsafeRawPointer) {
      pointers = InlineArray(repeating: UnsafeMutableRawPointer(mutating: first))
    }

    /// The tensor of a port.
    public subscript(port: Int) -> UnsafeRawPointer {
      get { UnsafeRawPointer(pointers[port]) }
      set { pointers[port] = UnsafeMutableRawPointer(mutating: newValue) }
    }
  }
}

/// A `StreamStep` with its code.
public struct StreamStepKernels: Sendable {
  private let step: StreamStep
  private let passes: [StreamPass]
  /// Which ports are of bfloat16.
  private let isRounded: InlineArray<16, Bool>
  /// Where numbers that are constants lie in the working memory, how many bytes one takes, and the sums behind them.
  private let numbersOffset, numberByteCount, sumsOffset: Int
  /// How many tensors the passes read and write pixel by pixel.
  private let streamCount: Int

  /// The bytes that it works in.
  public let workspaceByteCount: Int

  /// Generates what the library does not have yet.
  public init(_ step: StreamStep, library: KernelLibrary) {
    self.step = step
    var isRounded = InlineArray<16, Bool>(repeating: false)
    for (port, element) in step.elements.prefix(StreamStep.portLimit).enumerated() {
      isRounded[port] = element == .bfloat16
    }
    self.isRounded = isRounded
    let lastCacheByteCount = library.target.lastCacheByteCount
    passes = step.passes.indices.map { index in
      let program = step.passes[index].program.bypassingCaches(
        step.streamsPastCaches(ofPass: index, lastCacheByteCount))
      return StreamPass(program, step.tensor, perImage: step.passes[index].isPerImage, library: library)
    }
    streamCount = Set(step.passes.flatMap(\.streams)).count
    let numbers = step.passes.map { $0.constants.count }.max() ?? 0
    numbersOffset = step.alignedWorkByteCount
    // Of a first pixel of bfloat16 all blocks are widened.
    numberByteCount = BlockedTensor.pixelByteCount * (step.elements.contains(.bfloat16) ? step.tensor.blocks : 1)
    sumsOffset = numbersOffset + numbers * numberByteCount
    workspaceByteCount = sumsOffset + (passes.map(\.sumByteCount).max() ?? 0)
  }

  /// Runs all passes, over as many blocks at once as stay in the last cache from one to the next.
  public func run(
    _ ports: StreamStep.Ports, workspace: UnsafeMutableRawPointer, randomness: Randomness = .none, workers: Workers
  ) {
    guard passes.count > 1 else { return run(0, passes[0].allBlocks, ports, workspace, randomness, workers) }
    passes[0].forEachGroup(streams: streamCount) { blocks in
      for index in passes.indices { run(index, blocks, ports, workspace, randomness, workers) }
    }
  }

  private func run(
    _ index: Int, _ blocks: Range<Int>, _ ports: StreamStep.Ports, _ workspace: UnsafeMutableRawPointer,
    _ randomness: Randomness, _ workers: Workers
  ) {
    let pass = passes[index], sums = workspace + sumsOffset
    let environment = StreamStep.Environment(
      ports: ports.pointers, isRounded: isRounded, tensor: step.tensor, workspace: workspace, pass: pass, sums: sums,
      workers: workers, randomness: randomness)
    let vectors = pass.vectors(of: blocks)
    for work in step.passes[index].before { work(vectors, environment) }
    var operands = StreamPass.Operands(ports[0]).sums(sums)
    for (stream, port) in step.passes[index].streams.enumerated() { operands = operands.stream(stream, ports[port]) }
    for (position, constant) in step.passes[index].constants.enumerated() {
      operands = operands.constant(position, self.constant(constant, position, vectors, ports, environment))
    }
    pass.run(operands, blocks: blocks, workers: workers)
    for work in step.passes[index].after { work(vectors, environment) }
  }

  private func constant(
    _ constant: StreamStep.Constant, _ position: Int, _ blocks: Range<Int>, _ ports: StreamStep.Ports,
    _ environment: StreamStep.Environment
  ) -> StreamPass.Constant {
    func floats(_ base: UnsafeRawPointer) -> UnsafePointer<Float> { base.assumingMemoryBound(to: Float.self) }
    let place = (environment.workspace + numbersOffset + position * numberByteCount)
      .assumingMemoryBound(to: Float.self)
    switch constant {
    case .channels(let offset): return .init(floats(environment.workspace + offset))
    case .ofImages(let offset): return .init(ofImages: floats(environment.workspace + offset))
    case .firstPixel(let port):
      guard isRounded[port] else { return .init(floats(ports[port]), ofFirstPixel: step.tensor) }
      for block in blocks { environment.firstPixel(port, block: block).store(place + block * 16) }
      return .init(place)
    case .images(let port): return .init(floats(ports[port]), step.tensor.onePixel)
    case .number(let number):
      SIMD16<Float>(repeating: number).store(place)
      return .init(repeating: place)
    }
  }
}

extension StreamStep {
  /// The streams of a pass that it writes past the caches: those that nothing reads again before so much has passed by that
  /// they have gone from there. Writing them otherwise would read what is overwritten first.
  func streamsPastCaches(ofPass index: Int, _ lastCacheByteCount: Int) -> Set<Int> {
    let pass = passes[index], read = Set(passes[index...].flatMap(\.loadedPorts))
    return Set(
      pass.streams.indices.filter {
        pass.stores(pass.streams[$0]) && !read.contains(pass.streams[$0])
          && tensor.with(element: pass.program.element(ofStream: $0)).byteCount > lastCacheByteCount / 2
      })
  }

  /// Those of its operands in whose memory a result may lie, the one that is read last first: it is in a cache.
  public func overwritable(by result: Int, of operands: Range<Int>) -> [Int] {
    func lastRead(_ operand: Int) -> Int {
      var position = 0, last = -1
      for pass in passes {
        for instruction in pass.program.instructions {
          position += 1
          if case .load(let stream) = instruction, pass.streams[stream] == operand { last = position }
        }
      }
      return last
    }
    return operands.filter { mayOverwrite($0, with: result) }.sorted { lastRead($0) > lastRead($1) }
  }

  /// Whether a result may lie in the memory of an operand: where all that is read of the operand has been read before the
  /// same place of the result is written.
  public func mayOverwrite(_ operand: Int, with result: Int) -> Bool {
    var read: ElementType?, written: ElementType?
    for pass in passes {
      if written != nil, pass.constants.contains(where: { $0.port == operand }) { return false }
      for instruction in pass.program.instructions {
        switch instruction {
        case .load(let stream) where pass.streams[stream] == operand:
          if written != nil { return false }
          read = pass.program.element(ofStream: stream)
        case .store(_, let stream) where pass.streams[stream] == result:
          written = pass.program.element(ofStream: stream)
        default: continue
        }
      }
      // The first of its stretches would write what the others read of the first pixel.
      if written != nil, pass.constants.contains(where: { $0.port == operand }) { return false }
    }
    return read != nil && read == written
  }

  /// Whether the last pass, and no other, writes a tensor pixel by pixel.
  private func makesLast(_ port: Int) -> Bool {
    passes.dropLast().allSatisfy { !$0.streams.contains(port) } && (passes.last.map { $0.stores(port) } ?? false)
  }
}

extension StreamStep.Pass {
  /// The same where the ports are of these elements.
  fileprivate func with(elements: [ElementType]) -> StreamStep.Pass {
    var result = self
    let own = streams.map { elements.indices.contains($0) ? elements[$0] : .float32 }
    result.program = program.with(elements: elements.isEmpty ? [] : own)
    return result
  }

  /// The tensors that it reads pixel by pixel.
  var loadedPorts: [Int] {
    program.instructions.compactMap { if case .load(let stream) = $0 { streams[stream] } else { nil } }
  }

  func stores(_ port: Int) -> Bool {
    program.instructions.contains {
      if case .store(_, let stream) = $0 { streams[stream] == port } else { false }
    }
  }
}

// MARK: - Common passes

extension StreamStep {
  /// How two steps become one.
  public struct Joint: Sendable {
    /// For each port of the first step, and of the second, which port of the common step it is; nil for what the first gives
    /// to the second and nobody else reads, which is then in no memory.
    public var first, second: [Int?]
    /// Pairs of ports, of the first step and the second, that are one tensor.
    public var shared: [(made: Int, read: Int)]

    /// A joint of these ports.
    public init(first: [Int?], second: [Int?], shared: [(made: Int, read: Int)]) {
      (self.first, self.second, self.shared) = (first, second, shared)
    }

    /// How many ports the common step has.
    var count: Int { ((first + second).compactMap { $0 }.max() ?? -1) + 1 }
  }

  /// Whether what the second step reads of the first can be handed over pixel by pixel, in the last pass of the one and the
  /// first of the other.
  public func canBeFollowed(by next: StreamStep, shared: [(made: Int, read: Int)]) -> Bool {
    guard let first = next.passes.first, next.tensor == tensor else { return false }
    return shared.allSatisfy { made, read in
      makesLast(made) && first.streams.contains(read) && !first.constants.contains { $0.port == read }
    }
  }

  /// Whether the last pass of this step and the first of another one read a tensor pixel by pixel, which has these ports.
  public func reads(_ port: Int, with next: StreamStep, _ other: Int) -> Bool {
    (passes.last?.loadedPorts.contains(port) ?? false) && (next.passes.first?.loadedPorts.contains(other) ?? false)
  }

  /// Whether the step reads a tensor in its first pass alone, pixel by pixel.
  public func readsOnce(_ port: Int) -> Bool {
    passes.dropFirst().allSatisfy { !$0.streams.contains(port) }
      && passes.allSatisfy { pass in !pass.constants.contains { $0.port == port } }
  }

  /// This step and another one behind it, of which the last pass and the first are one; nil where a pass then has more
  /// streams, constants, sums or vectors than registers.
  /// - Parameter elements: of the ports of the common step.
  public func followed(
    by next: StreamStep, _ joint: Joint, _ elements: [ElementType], _ target: CodeTarget
  ) -> StreamStep? {
    guard joint.count <= Self.portLimit, let last = passes.last, let first = next.passes.first else { return nil }
    let offset = alignedWorkByteCount
    let own = Part(ports: joint.first, workOffset: 0), other = Part(ports: joint.second, workOffset: offset)
    var fuser = StreamPassFuser()
    let made = joint.shared.map { ($0.made, $0.made) }, read = joint.shared.map { ($0.read, $0.made) }
    fuser.append(last, own, shared: Dictionary(made, uniquingKeysWith: { first, _ in first }))
    fuser.append(first, other, shared: Dictionary(read, uniquingKeysWith: { first, _ in first }))
    let before = passes.dropLast().map(own.moved), after = next.passes.dropFirst().map(other.moved)
    let step = StreamStep(tensor, workByteCount: offset + next.workByteCount, before + [fuser.pass] + after)
    // Beside bfloat16 a stream of float32 has two addresses, in all passes.
    guard step.with(elements: elements).passes.allSatisfy({ StreamKernel.fits($0.program, target) }) else { return nil }
    return step
  }

  /// Where a step's ports and working memory are in a common step.
  fileprivate struct Part: Sendable {
    let ports: [Int?]
    let workOffset: Int

    /// A pass of the step alone.
    func moved(_ pass: Pass) -> Pass {
      var result = pass
      // What is in no memory is in no pass but the common one.
      result.streams = pass.streams.map { ports[$0] ?? 0 }
      result.constants = pass.constants.map(moved)
      result.before = pass.before.map { moved($0, firstSum: 0) }
      result.after = pass.after.map { moved($0, firstSum: 0) }
      return result
    }

    func moved(_ constant: Constant) -> Constant {
      switch constant {
      case .channels(let offset): .channels(byteOffset: workOffset + offset)
      case .ofImages(let offset): .ofImages(byteOffset: workOffset + offset)
      case .firstPixel(let port): .firstPixel(port: ports[port] ?? 0)
      case .images(let port): .images(port: ports[port] ?? 0)
      case .number: constant
      }
    }

    func moved(_ work: @escaping Work, firstSum: Int) -> Work {
      { blocks, environment in
        var own = environment
        for (index, port) in ports.enumerated() {
          own.ports[index] = environment.ports[port ?? 0]
          own.isRounded[index] = environment.isRounded[port ?? 0]
        }
        own.workspace = environment.workspace + workOffset
        own.firstSum = environment.firstSum + firstSum
        work(blocks, own)
      }
    }
  }

  /// Writes the program of a common pass.
  private struct StreamPassFuser {
    var pass = Pass(program: StreamProgram(""), streams: [])
    /// What has been made of each shared tensor, and of each port of the common step.
    private var shared: [Int: StreamProgram.Vector] = [:]
    private var known: [Int: StreamProgram.Vector] = [:]

    /// - Parameter shared: for ports that are handed over, under which number.
    mutating func append(_ other: Pass, _ part: Part, shared numbers: [Int: Int]) {
      let firstConstant = pass.constants.count, firstSum = pass.program.sumCount
      let names = [pass.program.name, other.program.name].filter { !$0.isEmpty }
      var program = pass.program.renamed(names.joined(separator: "+"))
      pass.constants += other.constants.map(part.moved)
      pass.isPerImage = pass.isPerImage || other.isPerImage
      pass.before += other.before.map { part.moved($0, firstSum: 0) }
      pass.after += other.after.map { part.moved($0, firstSum: firstSum) }
      var vectors: [StreamProgram.Vector] = []
      for instruction in other.program.instructions {
        func vector(_ old: StreamProgram.Vector) -> StreamProgram.Vector { vectors[old.index] }
        switch instruction {
        case .load(let stream):
          let own = other.streams[stream]
          if let number = numbers[own], let made = shared[number] {
            vectors.append(made)
          } else if let port = part.ports[own], let read = known[port] {
            vectors.append(read)
          } else {
            let port = part.ports[own] ?? 0, read = program.load(self.stream(port))
            known[port] = read
            vectors.append(read)
          }
        case .store(let old, let stream):
          let own = other.streams[stream], made = vector(old)
          if let number = numbers[own] { shared[number] = made }
          if let port = part.ports[own] {
            program.store(made, self.stream(port))
            known[port] = made
          }
          vectors.append(made)
        default:
          vectors.append(program.append(instruction, vector, firstConstant: firstConstant, firstSum: firstSum))
        }
      }
      pass.program = program
    }

    /// The number of a port's stream.
    private mutating func stream(_ port: Int) -> Int {
      if let known = pass.streams.firstIndex(of: port) { return known }
      pass.streams.append(port)
      return pass.streams.count - 1
    }
  }
}
