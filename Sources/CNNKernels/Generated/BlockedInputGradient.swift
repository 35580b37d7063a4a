import CNNCore

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

  private struct Phase: Sendable {
    let rows, columns: InputGradientPhase
    /// nil where no output reads these pixels: their gradient is zero.
    let convolution: BlockedConvolution?
    /// Where its filter begins, in floats, and its results in the workspace, in bytes; nil where they are the result.
    var filterOffset = 0
    var place: Int?
    let tensor: BlockedTensor
    let filterOrder: FilterOrder
    var isWritten: Bool { convolution != nil }
  }

  /// Whether another gradient can be added where this one is written: by the epilogue of the one convolution it is.
  public static func canAdd(_ g: ConvolutionGeometry) -> Bool {
    g.groups == 1 && g.strideHeight == 1 && g.strideWidth == 1
      && max(g.padTop, g.padBottom) <= (g.kernelHeight - 1) * g.dilationHeight
      && max(g.padLeft, g.padRight) <= (g.kernelWidth - 1) * g.dilationWidth
  }

  /// Plans the gradient; nil where there are no kernels for it.
  /// - Parameter addsResidual: whether another gradient is added, where that `canAdd`.
  public init?(
    _ g: ConvolutionGeometry, addsResidual: Bool = false, workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    geometry = g
    self.addsResidual = addsResidual
    gradient = BlockedTensor(
      images: g.batch, height: g.outputHeight, width: g.outputWidth, channels: g.outputChannels)
    result = BlockedTensor(images: g.batch, height: g.inputHeight, width: g.inputWidth, channels: g.inputChannels)
    guard
      let rows = InputGradientPhase.all(
        input: g.inputHeight, output: g.outputHeight, kernel: g.kernelHeight, stride: g.strideHeight,
        dilation: g.dilationHeight, padding: g.padTop),
      let columns = InputGradientPhase.all(
        input: g.inputWidth, output: g.outputWidth, kernel: g.kernelWidth, stride: g.strideWidth,
        dilation: g.dilationWidth, padding: g.padLeft), rows.count * columns.count <= 16
    else { return nil }
    let isWhole = rows.count == 1 && columns.count == 1
    var phases: [Phase] = []
    var filterEnd = 0, end = 0
    for row in rows {
      for column in columns {
        let tensor = BlockedTensor(images: g.batch, height: row.count, width: column.count, channels: g.inputChannels)
        let order = FilterOrder.exchanged(
          inputs: g.groupInputChannels, taps: g.kernelHeight * g.kernelWidth,
          chosen: row.taps.flatMap { row in column.taps.map { row * g.kernelWidth + $0 } })
        guard !row.taps.isEmpty, !column.taps.isEmpty else {
          phases.append(
            Phase(rows: row, columns: column, convolution: nil, tensor: tensor, filterOrder: order))
          continue
        }
        let geometry = try ConvolutionGeometry(
          batch: g.batch, inputHeight: g.outputHeight, inputWidth: g.outputWidth, inputChannels: g.outputChannels,
          outputChannels: g.inputChannels, kernelHeight: row.taps.count, kernelWidth: column.taps.count,
          dilationHeight: row.dilation, dilationWidth: column.dilation, padTop: row.paddingBefore,
          padLeft: column.paddingBefore, padBottom: row.paddingAfter, padRight: column.paddingAfter, groups: g.groups)
        guard BlockedConvolution.isPossible(geometry) else { return nil }
        let convolution = try BlockedConvolution(
          geometry, epilogue: Epilogue(addsResidual: addsResidual), workers: workers, library: library)
        phases.append(
          Phase(
            rows: row, columns: column, convolution: convolution, filterOffset: filterEnd, place: isWhole ? nil : end,
            tensor: tensor, filterOrder: order))
        // Filters begin at whole cache lines, as kernels expect.
        filterEnd += (convolution.filterCount + 15) / 16 * 16
        if !isWhole { end += tensor.byteCount }
      }
    }
    self.phases = phases
    filterCount = filterEnd
    phaseByteCount = end
  }

  /// The number of floats of the packed filter.
  public let filterCount: Int
  private let phaseByteCount: Int

  /// The bytes that packing works in.
  public var packingByteCount: Int { isGrouped ? geometry.weightCount * 4 : 0 }
  private var isGrouped: Bool { geometry.groups > 1 && !BlockedConvolution.isDepthwise(geometry) }
  /// The bytes that the gradient works in.
  public var workspaceByteCount: Int {
    phaseByteCount + (phases.compactMap { $0.convolution?.workspaceByteCount }.max() ?? 0)
  }

  /// Multiplications and additions in the products.
  public var operations: Int { phases.reduce(0) { $0 + ($1.convolution?.operations ?? 0) } }

  /// How it is computed, as profiles say it.
  public var algorithm: BlockedConvolution.Algorithm? {
    phases.compactMap { $0.convolution?.algorithm }.first
  }

  /// Packs `weight` `[output, input / groups, height, width]` of the forward convolution.
  public func pack(
    _ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    let exchanged = workspace.assumingMemoryBound(to: Float.self)
    for phase in phases {
      guard let convolution = phase.convolution else { continue }
      let target = packed + phase.filterOffset
      if isGrouped {
        exchange(weight, phase, into: exchanged, workers)
        convolution.pack(exchanged, scale: nil, into: target, workers: workers)
      } else {
        convolution.pack(weight, order: phase.filterOrder, scale: nil, into: target, workers: workers)
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
    for phase in phases {
      phase.convolution?.run(
        dy, filter: filter + phase.filterOffset, bias: nil, residual: residual,
        into: phase.place.map { workspace + $0 } ?? dx, workspace: workspace + phaseByteCount, workers: workers)
    }
    if phases.count == 1, phases[0].isWritten { return }
    result.forEachImage(workers) { image, block in
      for phase in phases { interleave(phase, image, block, workspace, dx) }
    }
  }

  /// Writes one phase's pixels of one block of an image to their places.
  private func interleave(
    _ phase: Phase, _ image: Int, _ block: Int, _ workspace: UnsafeMutableRawPointer, _ dx: UnsafeMutableRawPointer
  ) {
    let step = geometry.strideWidth * BlockedTensor.blockChannels
    for row in 0..<phase.rows.count {
      let offset =
        block * result.blockByteCount + image * result.imageByteCount
        + (phase.rows.phase + row * geometry.strideHeight) * result.rowByteCount
        + phase.columns.phase * BlockedTensor.pixelByteCount
      var target = (dx + offset).assumingMemoryBound(to: Float.self)
      guard phase.isWritten, let place = phase.place else {
        for _ in 0..<phase.columns.count {
          SIMD16<Float>().store(target)
          target += step
        }
        continue
      }
      let tensor = phase.tensor
      var source =
        (workspace + place + block * tensor.blockByteCount + image * tensor.imageByteCount
        + row * tensor.rowByteCount).assumingMemoryBound(to: Float.self)
      for _ in 0..<phase.columns.count {
        SIMD16<Float>.load(source).store(target)
        source += 16
        target += step
      }
    }
  }
}
