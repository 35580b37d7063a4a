import CNNRuntime

/// Arithmetic with constants, channel by channel.
public enum RescalingKernels {
  /// The constants of a rescaling, repeated to rows that are long enough for vectors.
  public struct Constants: Sendable {
    /// As long as each other; a multiple of the channels.
    let scale, offset: [Float]

    /// - Parameters:
    ///   - scale: one number or one per channel.
    ///   - offset: one number or one per channel.
    public init(scale: [Float], offset: [Float], channels: Int) {
      let isUniform = scale.count == 1 && offset.count == 1
      let period = isUniform ? 1 : channels
      // 64 repetitions of a short period are a whole number of the widest vectors.
      let length = period < 16 ? period * 64 : period
      func repeated(_ values: [Float]) -> [Float] { (0..<length).map { values[values.count == 1 ? 0 : $0 % period] } }
      (self.scale, self.offset) = (repeated(scale), repeated(offset))
    }
  }

  /// `y = x * scale + offset` for `count` floats with the channels last. `y` may be `x`.
  public static func apply(
    _ constants: Constants, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    constants.scale.withUnsafeBufferPointer { scale in
      constants.offset.withUnsafeBufferPointer { offset in
        guard let scaleBase = scale.baseAddress, let offsetBase = offset.baseAddress else { return }
        let length = scale.count
        let rows = (count + length - 1) / length
        workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: length)) { range, _ in
          for row in range {
            let start = row * length
            forEachBlock(
              of: 0..<min(length, count - start), Row(x: x + start, scale: scaleBase, offset: offsetBase, y: y + start))
          }
        }
      }
    }
  }

  private struct Row: BlockKernel {
    let x, scale, offset: UnsafePointer<Float>
    let y: UnsafeMutablePointer<Float>

    @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
      (V.load(x + i) * V.load(scale + i) + V.load(offset + i)).store(y + i)
    }
  }
}
