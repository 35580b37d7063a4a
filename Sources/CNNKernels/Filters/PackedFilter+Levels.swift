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
        place.initializeMemory(as: UInt8.self, repeating: 0, count: lanes * wordsPerLane * 4)
        for lane in 0..<min(lanes, outputChannels - first) {
          pack(
            weight + (first + lane) * inputChannels * taps, scale: levels.scale(firstOutput + first + lane), levels,
            into: place + lane * 4 + (hasTerms ? lanes * 4 : 0), lanes)
        }
        if hasTerms { packTerms(place, lanes: lanes) }
      }
    }
  }

  /// Packs a weight as levels that Winograd's F(2 x 2, 3 x 3) has transformed, G g G^T times 4: numbers of 16 bits, of which
  /// each position of a panel is like a filter of one tap.
  /// - Parameters:
  ///   - weight: `[output, inputs, 3, 3]`.
  ///   - packed: `16 * 4 * count` bytes.
  func packTransformed(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    let positions = WinogradTransform.f2.positions
    workers.forEachRange(of: panels.count) { range, _ in
      for panel in range {
        let lanes = lanes(of: panel), first = firstLane(of: panel), positionByteCount = lanes * wordsPerLane * 4
        let place = UnsafeMutableRawPointer(packed) + offset(of: panel) * positions * 4
        place.initializeMemory(as: UInt8.self, repeating: 0, count: positions * positionByteCount)
        for lane in 0..<min(lanes, outputChannels - first) {
          let scale = levels.scale(first + lane)
          for input in 0..<inputChannels {
            let source = weight + ((first + lane) * inputChannels + input) * 9
            let numbers = Self.transformed((0..<9).map { Int16(levels.rounded(source[$0] / scale)) })
            let target = place + ((input / 2 + (hasTerms ? 1 : 0)) * lanes + lane) * 4 + input % 2 * 2
            for position in 0..<positions {
              target.storeBytes(of: numbers[position], toByteOffset: position * positionByteCount, as: Int16.self)
            }
          }
        }
        if hasTerms {
          for position in 0..<positions { packTerms(place + position * positionByteCount, lanes: lanes) }
        }
      }
    }
  }

  /// 2 G g (2 G)^T of a filter of 3 x 3: magnitudes up to 9 times as large.
  private static func transformed(_ g: [Int16]) -> [Int16] {
    func rows(_ g: (Int) -> Int16) -> [Int16] { [2 * g(0), g(0) + g(1) + g(2), g(0) - g(1) + g(2), 2 * g(2)] }
    let columns = (0..<3).map { column in rows { g[$0 * 3 + column] } }
    return (0..<4).flatMap { row in rows { columns[$0][row] } }
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
