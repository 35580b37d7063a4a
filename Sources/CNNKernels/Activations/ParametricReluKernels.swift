import CNNRuntime

/// PReLU (He et al. 2015). Tensors are `[rows, channels]` float32, slopes `[channels]`; where every element of a sample has
/// a slope of its own, they are the channels.
public enum ParametricReluKernels {
  /// `y = x` above 0, `slope * x` at and below it. `y` may be `x`.
  public static func forward(
    x: UnsafePointer<Float>, slope: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, rows: Int, channels: Int,
    workers: Workers
  ) {
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, _ in
      for row in range {
        forEachBlock(of: 0..<channels, Forward(x: x + row * channels, slope: slope, y: y + row * channels))
      }
    }
  }

  /// `dx = dy` where `x` is above 0, `slope * dy` elsewhere. `dx` may be `dy`.
  public static func backward(
    x: UnsafePointer<Float>, slope: UnsafePointer<Float>, dy: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    rows: Int, channels: Int, workers: Workers
  ) {
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, _ in
      for row in range {
        let offset = row * channels
        forEachBlock(of: 0..<channels, Backward(x: x + offset, slope: slope, dy: dy + offset, dx: dx + offset))
      }
    }
  }

  private struct Forward: BlockKernel {
    let x, slope: UnsafePointer<Float>
    let y: UnsafeMutablePointer<Float>

    @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
      let x = V.load(x + i)
      (x.rectified - V.load(slope + i) * (V.zero - x).rectified).store(y + i)
    }
  }

  private struct Backward: BlockKernel {
    let x, slope, dy: UnsafePointer<Float>
    let dx: UnsafeMutablePointer<Float>

    @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
      let dy = V.load(dy + i)
      let passed = dy.kept(wherePositive: V.load(x + i))
      (passed + V.load(slope + i) * (dy - passed)).store(dx + i)
    }
  }
}
