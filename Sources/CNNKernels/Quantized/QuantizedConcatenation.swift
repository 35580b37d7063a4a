import CNNCore
import CNNRuntime
import Glibc

/// Levels of one tensor behind those of another along an axis, each as the result's: what its tensor's level stands for,
/// rounded.
public struct QuantizedConcatenation: Sendable {
  /// For each operand the result's level of each of its own; nil where they are the same.
  private let tables: [[UInt8]?]

  /// Of operands of these levels, as `result`.
  public init(_ operands: [ByteLevels], _ result: ByteLevels) {
    tables = operands.map { $0 == result ? nil : QuantizedElementwise.table($0, result) { $0 } }
  }

  /// Writes an operand into its place in the result: the definition.
  /// - Parameters:
  ///   - index: the operand's.
  ///   - x: `[rows, count]`.
  ///   - y: `[rows, length]`; the operand's numbers begin at `offset`.
  public func write(
    _ index: Int, _ x: UnsafePointer<UInt8>, count: Int, into y: UnsafeMutablePointer<UInt8>, length: Int, offset: Int,
    rows: Int, workers: Workers
  ) {
    workers.forEachRange(of: rows) { range, _ in
      for row in range { write(index, x + row * count, into: y + (row * length + offset), count: count) }
    }
  }

  /// Writes an operand in blocks of 64 channels behind the first `offset` channels of the result.
  public func write(
    _ index: Int, _ x: UnsafeRawPointer, _ source: BlockedTensor, into y: UnsafeMutableRawPointer,
    _ result: BlockedTensor, offset: Int, workers: Workers
  ) {
    let size = source.channelsPerBlock
    workers.forEachRange(of: source.images * source.height * source.width, grain: 16) { range, _ in
      var channel = 0
      // Channels that lie side by side in both.
      while channel < source.channels {
        let target = offset + channel
        let count = min(size - channel % size, size - target % size, source.channels - channel)
        let from = x + (channel / size * source.blockByteCount + channel % size)
        let to = y + (target / size * result.blockByteCount + target % size)
        for pixel in range {
          let place = pixel * BlockedTensor.pixelByteCount
          write(
            index, (from + place).assumingMemoryBound(to: UInt8.self),
            into: (to + place).assumingMemoryBound(to: UInt8.self), count: count)
        }
        channel += count
      }
    }
  }

  @inline(__always)
  private func write(
    _ index: Int, _ x: UnsafePointer<UInt8>, into y: UnsafeMutablePointer<UInt8>, count: Int
  ) {
    guard let table = tables[index] else {
      memcpy(y, x, count)
      return
    }
    table.withUnsafeBufferPointer { table in
      for place in 0..<count { y[place] = table[Int(x[place])] }
    }
  }
}
