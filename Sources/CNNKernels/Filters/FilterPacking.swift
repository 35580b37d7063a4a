import CNNCore
import CNNRuntime

/// How a filter is packed: divided among the threads, by generated code wherever there is some for its order and type.
public struct FilterPacking: Sendable {
  let filter: PackedFilter
  private let order: FilterOrder
  private let tapFactors: [Float]?
  private let panels: [Panel]
  private let columns: [Column]
  private let kernels: [GeneratedKernel]
  /// Words for each lane, and for each of its input channels or those that share a word.
  private let depth, channelDepth: Int
  /// How many input channels one round of the kernels takes.
  private let channelsPerRound: Int

  // Both without references, which threads would count one after the other.
  private struct Panel: Sendable {
    let firstLane, lanes: Int
    /// Which of all columns are its own.
    let columns: Range<Int>
  }

  /// Up to 16 neighbouring lanes of a panel.
  private struct Column: Equatable, Sendable {
    let lane, count, used: Int
    /// Which kernels pack whole blocks of input channels and the last one; nil where the portable code does.
    let kernel, lastKernel: Int?
  }

  /// The number of words.
  var count: Int { filter.laneCount * depth }

  /// Plans how to pack a filter.
  /// - Parameters:
  ///   - order: how the weight lies; nil for `[outputChannels, inputChannels, height, width]`.
  ///   - transform: where the filter is stored transformed, each position like a filter of one tap.
  ///   - tapFactors: what each tap is multiplied by, otherwise.
  init(
    _ filter: PackedFilter, order: FilterOrder?, transform: WinogradTransform? = nil, tapFactors: [Float]? = nil,
    library: KernelLibrary
  ) {
    let taps = transform.map { $0.taps * $0.taps } ?? filter.taps
    let order = order ?? .forward(inputs: filter.inputChannels, taps: taps)
    (self.filter, self.order, self.tapFactors) = (filter, order, tapFactors)
    depth = filter.wordsPerLane * (transform?.positions ?? 1)
    channelDepth = transform == nil ? filter.taps : 1
    // Four neighbours in memory are taps, or where there is only one of them input channels.
    let takesChannels = order.depthStride == 1
    // Two channels of bfloat16 share a word.
    let isRounded = filter.element == .bfloat16, perWord = isRounded ? 2 : 1
    let hasCode = filter.element == .float32 || isRounded && BFloat16Reorder.isPossible(on: library.target)
    let channelsPerRound = takesChannels ? 4 : perWord
    self.channelsPerRound = channelsPerRound
    let isStreamed =
      depth * filter.laneCount * 4 > library.target.lastCacheByteCount / 4
      && filter.panels.indices.allSatisfy { filter.lanes(of: $0) % 16 == 0 }

    var kernels: [GeneratedKernel] = []
    func kernel(_ inputs: Int, lanes: Int, used: Int, panelLanes: Int) -> Int? {
      let span = takesChannels ? 16 : order.run * 4
      guard inputs >= channelsPerRound, hasCode,
        FilterPackingKernel.isPossible(lanes: lanes, usedLanes: used, laneStride: order.laneStride * 4, span: span)
      else { return nil }
      let vectorsApart = takesChannels ? filter.wordStride(panelLanes) : filter.tapStride(inputs, panelLanes)
      let vectors = takesChannels ? Array(stride(from: 0, to: 4, by: perWord)) : order.tapOffsets
      let kernel = FilterPackingKernel(
        target: library.target, lanes: lanes, usedLanes: used, laneStride: order.laneStride * 4, span: span,
        columns: vectors.indices.map {
          .init(
            source: vectors[$0] * 4, place: transform == nil ? $0 * vectorsApart * 4 : 0,
            factor: tapFactors?[takesChannels ? 0 : $0] ?? 1)
        },
        halfStride: isRounded ? order.depthStride * 4 : nil,
        sourceStep: channelsPerRound * order.depthStride * 4,
        placeStep: channelsPerRound / perWord * filter.wordStride(panelLanes) * 4,
        transform: transform.map { .init(transform: $0, positionStride: filter.inputChannels * panelLanes * 4) },
        isStreamed: isStreamed)
      let known = library.kernel(kernel, name: kernel.name) { kernel.code() }
      if let index = kernels.firstIndex(where: { $0 === known }) { return index }
      kernels.append(known)
      return kernels.count - 1
    }
    let lastInputs = (filter.inputChannels - 1) % filter.blockDepth + 1
    var panels: [Panel] = [], columns: [Column] = []
    for panel in filter.panels.indices {
      let firstLane = filter.firstLane(of: panel), lanes = filter.lanes(of: panel)
      let own = stride(from: 0, to: lanes, by: 16).map { lane in
        let count = min(16, lanes - lane), used = max(0, min(count, filter.outputChannels - firstLane - lane))
        return Column(
          lane: lane, count: count, used: used,
          kernel: kernel(filter.blockDepth, lanes: count, used: used, panelLanes: lanes),
          lastKernel: kernel(lastInputs, lanes: count, used: used, panelLanes: lanes))
      }
      // Neighbouring panels mostly have equal ones.
      if columns.suffix(own.count) != own[...] { columns += own }
      panels.append(Panel(firstLane: firstLane, lanes: lanes, columns: columns.count - own.count..<columns.count))
    }
    (self.panels, self.columns, self.kernels) = (panels, columns, kernels)
  }

  /// Packs a weight, each output channel times its `scale`, rounded to the filter's type.
  /// - Parameters:
  ///   - chosen: only these panels, and the weight of their output channels.
  ///   - packed: `count` words.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, panels chosen: Range<Int>? = nil,
    into packed: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let chosen = chosen ?? 0..<panels.count, count = chosen.count, blocks = blocks
    let weight = weight - panels[chosen.lowerBound].firstLane * order.laneStride
    // In the order in which the weight lies.
    let isByBlock = order.depthStride > order.laneStride
    workers.forEachRange(of: count * blocks) { range, _ in
      for unit in range {
        let (panel, block) = isByBlock ? (unit % count, unit / count) : (unit / blocks, unit % blocks)
        pack(weight, panel: chosen.lowerBound + panel, block: block, scale: scale, into: packed)
      }
    }
  }

  /// The blocks of input channels.
  var blocks: Int { (filter.inputChannels + filter.blockDepth - 1) / filter.blockDepth }

  /// Packs a block of input channels for all lanes, or for those of a panel.
  func pack(
    _ weight: UnsafePointer<Float>, panel: Int? = nil, block: Int, scale: UnsafePointer<Float>? = nil,
    into packed: UnsafeMutablePointer<Float>
  ) {
    let first = block * filter.blockDepth
    let inputs = first..<min(first + filter.blockDepth, filter.inputChannels)
    for index in panel.map({ $0..<$0 + 1 }) ?? panels.indices {
      let panel = panels[index]
      let place = packed + panel.firstLane * depth + filter.words(first) * panel.lanes * channelDepth
      for index in panel.columns {
        let column = columns[index]
        pack(
          weight + (panel.firstLane + column.lane) * order.laneStride, column, inputs,
          scale: scale.map { $0 + panel.firstLane + column.lane },
          into: place + column.lane * filter.laneStride(inputs.count), panel.lanes)
      }
    }
  }

  /// Packs some input channels of some lanes.
  private func pack(
    _ weight: UnsafePointer<Float>, _ column: Column, _ inputs: Range<Int>, scale: UnsafePointer<Float>?,
    into place: UnsafeMutablePointer<Float>, _ panelLanes: Int
  ) {
    var factors = SIMD16<Float>(repeating: 1)
    if let scale {
      for lane in 0..<column.used { factors[lane] = scale[lane] }
    }
    var first = 0
    if let kernel = inputs.count == filter.blockDepth ? column.kernel : column.lastKernel {
      let rounds = inputs.count / channelsPerRound
      first = rounds * channelsPerRound
      var arguments = FilterPackingArguments(
        scale: factors, source: weight + inputs.lowerBound * order.depthStride, place: place, rounds: rounds)
      kernels[kernel](&arguments)
    }
    // What is left, number by number.
    if filter.element == .bfloat16 {
      return packRounded(weight, column, inputs, from: first, factors, into: place, panelLanes)
    }
    for input in first..<inputs.count {
      for (tap, offset) in order.tapOffsets.enumerated() {
        let source = weight + (inputs.lowerBound + input) * order.depthStride + offset
        let target = place + tap * filter.tapStride(inputs.count, panelLanes) + input * panelLanes
        for lane in 0..<column.count {
          let factor = (tapFactors?[tap] ?? 1) * factors[lane]
          target[lane] = lane < column.used ? source[lane * order.laneStride] * factor : 0
        }
      }
    }
  }

  /// Packs some input channels of some lanes, two to a word, from an even one on.
  private func packRounded(
    _ weight: UnsafePointer<Float>, _ column: Column, _ inputs: Range<Int>, from first: Int, _ factors: SIMD16<Float>,
    into place: UnsafeMutablePointer<Float>, _ panelLanes: Int
  ) {
    let tapStride = filter.tapStride(inputs.count, panelLanes), wordStride = filter.wordStride(panelLanes)
    for (tap, offset) in order.tapOffsets.enumerated() {
      for word in first / 2..<filter.words(inputs.count) {
        let target = UnsafeMutableRawPointer(place + tap * tapStride + word * wordStride).assumingMemoryBound(
          to: BFloat16.self)
        for half in 0..<2 {
          let input = 2 * word + half
          let source = weight + (inputs.lowerBound + input) * order.depthStride + offset
          for lane in 0..<column.count {
            let isThere = lane < column.used && input < inputs.count
            let factor = (tapFactors?[tap] ?? 1) * factors[lane]
            target[2 * lane + half] = BFloat16(isThere ? source[lane * order.laneStride] * factor : 0)
          }
        }
      }
    }
  }
}
