import CNNCore
import CNNRuntime

/// The gradient of a convolution's input by generated kernels: for each phase of the strides a convolution of stride 1 over
/// the gradient of the result, with input and output channels exchanged.
public struct BlockedInputGradient: Sendable {
  /// The sizes of the convolution that was run forward.
  public let geometry: ConvolutionGeometry
  /// The gradient of the result, and that of the input.
  public let gradient, result: BlockedTensor
  /// Whether another gradient is added.
  public let addsResidual: Bool
  private let phases: [Phase]
  /// The gradient of the result with the border of zeros that the phases read; nil where they read it as it is.
  private let padded: BlockedTensor?

  private struct Phase: Sendable {
    let places: PixelGrid
    /// nil where no output reads these pixels: their gradient is zero.
    let convolution: (any BlockedConvolution)?
    /// Where its filter begins, in words of 32 bits.
    var filterOffset = 0
    let filterOrder: FilterOrder
  }

  /// What the gradients of the result and of the input are of, and by what they are computed.
  public struct Options: Hashable, Sendable {
    /// Of the gradient of the result, and of that of the input.
    public var gradient = ElementType.float32, result = ElementType.float32
    /// By what.
    public var arithmetic = Arithmetic.float32

    /// What is multiplied, and by what.
    public enum Arithmetic: Hashable, Sendable {
      /// float32, of which gradients that are stored as bfloat16 are made where an algorithm can do that.
      case float32
      /// bfloat16, by products on vectors or by tiles: the gradient of the result is that.
      case bfloat16, tiles
    }

    /// All of float32, unless told otherwise.
    public init(
      gradient: ElementType = .float32, result: ElementType = .float32, arithmetic: Arithmetic = .float32
    ) {
      (self.gradient, self.result, self.arithmetic) = (gradient, result, arithmetic)
    }

    /// The cheapest algorithm of a convolution that the gradient is.
    fileprivate func best(_ request: ConvolutionRequest, _ target: CodeTarget) -> (any ConvolutionAlgorithm)? {
      switch arithmetic {
      case .float32: ConvolutionAlgorithms.best(request, target)
      case .bfloat16: ConvolutionAlgorithms.product.accepting(request, target)
      case .tiles: TileAlgorithm().accepting(request, target)
      }
    }
  }

  /// Whether another gradient can be added where this one is written, by the epilogues of the convolutions.
  public static func canAdd(_ g: ConvolutionGeometry) -> Bool { g.groups == 1 && phases(of: g) != nil }

  private static func phases(
    of g: ConvolutionGeometry
  ) -> (rows: [InputGradientPhase], columns: [InputGradientPhase])? {
    guard
      let rows = InputGradientPhase.all(
        input: g.inputHeight, output: g.outputHeight, kernel: g.kernelHeight, stride: g.strideHeight,
        dilation: g.dilationHeight, padding: g.padTop),
      let columns = InputGradientPhase.all(
        input: g.inputWidth, output: g.outputWidth, kernel: g.kernelWidth, stride: g.strideWidth,
        dilation: g.dilationWidth, padding: g.padLeft), rows.count * columns.count <= 16
    else { return nil }
    return (rows, columns)
  }

  /// The convolution over the gradient of the result that a phase is.
  private static func geometry(
    of g: ConvolutionGeometry, _ row: InputGradientPhase, _ column: InputGradientPhase
  ) throws(CNNError) -> ConvolutionGeometry {
    try ConvolutionGeometry(
      batch: g.batch, inputHeight: g.outputHeight, inputWidth: g.outputWidth, inputChannels: g.outputChannels,
      outputChannels: g.inputChannels, kernelHeight: row.taps.count, kernelWidth: column.taps.count,
      dilationHeight: row.dilation, dilationWidth: column.dilation, padTop: row.paddingBefore,
      padLeft: column.paddingBefore, padBottom: row.paddingAfter, padRight: column.paddingAfter, groups: g.groups)
  }

  /// How many cycles the gradient takes each of the workers; nil where there are no kernels for it.
  /// - Parameter options: what the gradients are of, and by what they are computed.
  public static func cycles(
    _ g: ConvolutionGeometry, _ options: Options = Options(), workers: Workers, _ target: CodeTarget
  ) throws(CNNError) -> Double? {
    guard let (rows, columns) = phases(of: g) else { return nil }
    var cycles = 0.0
    for row in rows where !row.taps.isEmpty {
      for column in columns where !column.taps.isEmpty {
        var request = ConvolutionRequest(try geometry(of: g, row, column), workers: workers)
        (request.inputElement, request.outputElement) = (options.gradient, options.result)
        guard let algorithm = options.best(request, target) else { return nil }
        cycles += algorithm.cycles(request, target)
      }
    }
    return cycles
  }

  /// Plans the gradient; nil where there are no kernels for it.
  /// - Parameters:
  ///   - options: what the gradients are of, and by what they are computed.
  ///   - addsResidual: whether another gradient, which lies like the result, is added, where that `canAdd`.
  public init?(
    _ g: ConvolutionGeometry, _ options: Options = Options(), addsResidual: Bool = false, workers: Workers,
    library: KernelLibrary
  ) throws(CNNError) {
    geometry = g
    self.addsResidual = addsResidual
    gradient = g.blockedOutput.with(element: options.gradient)
    result = g.blockedInput.with(element: options.result)
    guard let (rows, columns) = Self.phases(of: g) else { return nil }
    let isDepthwise = g.isChannelwise, isWhole = rows.count == 1 && columns.count == 1
    // All phases read one copy. Windows do without, and so may what computes all pixels at once.
    let border = BlockedTensor.Border(
      top: rows.map(\.paddingBefore).max() ?? 0, left: columns.map(\.paddingBefore).max() ?? 0,
      bottom: rows.map(\.paddingAfter).max() ?? 0, right: columns.map(\.paddingAfter).max() ?? 0)
    padded = isDepthwise || isWhole || border == .none ? nil : gradient.with(border: border)
    let isGrouped = g.groups > 1 && !isDepthwise
    var phases: [Phase] = []
    var filterEnd = 0, cycles = 0.0
    for row in rows {
      for column in columns {
        let places = PixelGrid(result, rows: row, columns: column)
        let order = FilterOrder.exchanged(
          inputs: g.groupInputChannels, taps: g.kernelHeight * g.kernelWidth,
          chosen: row.taps.flatMap { row in column.taps.map { row * g.kernelWidth + $0 } })
        guard !row.taps.isEmpty, !column.taps.isEmpty else {
          phases.append(Phase(places: places, convolution: nil, filterOrder: order))
          continue
        }
        let geometry = try Self.geometry(of: g, row, column)
        var request = ConvolutionRequest(
          geometry, input: isDepthwise || isWhole ? .blocked : .padded(border),
          epilogue: Epilogue(addsResidual: addsResidual), filterOrder: isGrouped ? nil : order, places: places,
          workers: workers)
        (request.inputElement, request.outputElement) = (options.gradient, options.result)
        guard let algorithm = options.best(request, library.target) else { return nil }
        let convolution = try algorithm.plan(request, library: library)
        cycles += algorithm.cycles(request, library.target)
        phases.append(
          Phase(places: places, convolution: convolution, filterOffset: filterEnd, filterOrder: order))
        // Filters begin at whole cache lines, as kernels expect.
        filterEnd += (convolution.filterCount + 15) / 16 * 16
      }
    }
    self.phases = phases
    self.isGrouped = isGrouped
    (filterCount, self.cycles) = (filterEnd, cycles)
  }

  /// The number of words of 32 bits of the packed filter.
  public let filterCount: Int

  /// The bytes that packing works in.
  public var packingByteCount: Int { isGrouped ? geometry.weightCount * 4 : 0 }
  private let isGrouped: Bool
  /// The bytes that the gradient works in.
  public var workspaceByteCount: Int {
    (padded?.byteCount ?? 0) + (phases.compactMap { $0.convolution?.workspaceByteCount }.max() ?? 0)
  }

  /// Multiplications and additions in the products.
  public var operations: Int { phases.reduce(0) { $0 + ($1.convolution?.operations ?? 0) } }

  /// How it is computed, as profiles say it.
  public var algorithm: String? { phases.compactMap { $0.convolution?.algorithm }.first }

  /// How many cycles its convolutions will take each of the workers, as their algorithms say.
  public let cycles: Double

  /// Packs `weight` `[output, input / groups, height, width]` of the forward convolution.
  public func pack(
    _ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    // All phases together, so that the weight is read once.
    let packings = phases.compactMap { $0.convolution?.packing }
    if phases.count > 1, !isGrouped, packings.count == phases.count(where: { $0.convolution != nil }),
      let blocks = packings.first?.blocks
    {
      return workers.forEachRange(of: blocks) { range, _ in
        for block in range {
          for phase in phases {
            phase.convolution?.packing?.pack(weight, block: block, into: packed + phase.filterOffset)
          }
        }
      }
    }
    let exchanged = workspace.assumingMemoryBound(to: Float.self)
    for phase in phases {
      guard let convolution = phase.convolution else { continue }
      let target = packed + phase.filterOffset
      if isGrouped {
        exchange(weight, phase, into: exchanged, workers)
        convolution.pack(exchanged, scale: nil, into: target, workers: workers)
      } else {
        convolution.pack(weight, scale: nil, into: target, workers: workers)
      }
    }
  }

  /// The filter of a phase of a convolution in groups, `[input, output / groups, taps, taps]`.
  private func exchange(
    _ weight: UnsafePointer<Float>, _ phase: Phase, into result: UnsafeMutablePointer<Float>, _ workers: Workers
  ) {
    let g = geometry, inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    let size = g.kernelHeight * g.kernelWidth, taps = phase.filterOrder.tapOffsets.count
    // Some input channels at a time, whose weights of one output channel follow each other.
    let width = 8, parts = (inputs + width - 1) / width
    workers.forEachRange(of: g.groups * parts) { range, _ in
      for unit in range {
        let group = unit / parts, first = unit % parts * width, end = min(first + width, inputs)
        for output in 0..<outputs {
          for input in first..<end {
            let source = weight + ((group * outputs + output) * inputs + input) * size
            var target = result + ((group * inputs + input) * outputs + output) * taps
            for tap in phase.filterOrder.tapOffsets {
              target.pointee = source[tap]
              target += 1
            }
          }
        }
      }
    }
  }

  /// Computes the gradient of the input.
  /// - Parameter residual: the gradient that is added; may be `dx`.
  public func run(
    _ dy: UnsafeRawPointer, filter: UnsafePointer<Float>, residual: UnsafeRawPointer? = nil,
    into dx: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    var dy = dy, workspace = workspace
    if let padded {
      BlockedCopies.copy(dy, gradient, into: workspace, padded, workers: workers)
      dy = UnsafeRawPointer(workspace)
      workspace += padded.byteCount
    }
    for phase in phases {
      phase.convolution?.run(
        dy, filter: filter + phase.filterOffset, bias: nil, residual: residual, into: dx, mean: nil,
        workspace: workspace, workers: workers)
    }
    if phases.allSatisfy({ $0.convolution != nil }) || residual == UnsafeRawPointer(dx) { return }
    result.forEachImage(workers) { image, block in
      let offset = result.byteOffset(image: image, block: block)
      for phase in phases where phase.convolution == nil {
        fill(phase.places, dx + offset, from: residual.map { $0 + offset })
      }
    }
  }

  /// Copies pixels of one block of an image, or writes zeros.
  private func fill(_ places: PixelGrid, _ image: UnsafeMutableRawPointer, from source: UnsafeRawPointer?) {
    for row in 0..<places.height {
      var offset = places.originByteOffset + row * places.rowByteCount
      for _ in 0..<places.width {
        let pixel = source.map { SIMD16<Float>.load(($0 + offset).assumingMemoryBound(to: Float.self)) }
        (pixel ?? SIMD16()).store((image + offset).assumingMemoryBound(to: Float.self))
        offset += places.pixelByteCount
      }
    }
  }
}
