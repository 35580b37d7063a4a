import CNNCore
import CNNRuntime

extension PackedFilter {
  /// Packs a weight as levels, signed numbers of 8 or 16 bits as `element` says.
  /// - Parameters:
  ///   - weight: `[output, inputs, height, width]` of the output channels of `chosen`.
  ///   - firstOutput: which of `levels`' output channels is this filter's first.
  ///   - chosen: the panels that are packed.
  ///   - packed: `4 * count` bytes.
  func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, firstOutput: Int, panels chosen: Range<Int>,
    into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    let weight = weight - firstLane(of: chosen.lowerBound) * inputChannels * taps
    workers.forEachRange(of: chosen.count) { range, _ in
      for index in range {
        let panel = chosen.lowerBound + index, lanes = lanes(of: panel), first = firstLane(of: panel)
        let place = UnsafeMutableRawPointer(packed) + offset(of: panel) * 4
        place.initializeMemory(as: UInt8.self, repeating: 0, count: lanes * depth * 4)
        for lane in 0..<min(lanes, outputChannels - first) {
          pack(
            weight + (first + lane) * inputChannels * taps, scale: levels.scale(firstOutput + first + lane), levels,
            into: place + lane * 4, lanes)
        }
      }
    }
  }

  /// Packs an output channel.
  private func pack(
    _ weight: UnsafePointer<Float>, scale: Float, _ levels: WeightLevels, into place: UnsafeMutableRawPointer,
    _ lanes: Int
  ) {
    let size = element.byteCount, perWord = 4 / size
    for first in stride(from: 0, to: inputChannels, by: blockDepth) {
      let inputs = min(blockDepth, inputChannels - first), words = element.words(inputs)
      let block = place + element.words(first) * taps * lanes * 4
      for input in 0..<inputs {
        let source = weight + (first + input) * taps
        let start = block + input / perWord * lanes * 4 + input % perWord * size
        for tap in 0..<taps {
          let level = levels.rounded(source[tap] / scale), target = start + tap * words * lanes * 4
          if size == 1 {
            target.storeBytes(of: level, as: Int8.self)
          } else {
            target.storeBytes(of: Int16(level), as: Int16.self)
          }
        }
      }
    }
  }
}
