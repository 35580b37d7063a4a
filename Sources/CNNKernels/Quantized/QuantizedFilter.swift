import CNNCore
import CNNRuntime

/// A weight as signed bytes, one scale for each output channel, and what goes with it.
///
/// The sum of a convolution is `Σ (x - zeroPoint) * w + bias`, all integers; what of it does not depend on `x` is one number
/// for each output channel, `sums`.
public enum QuantizedFilter {
  /// How many products of a byte and a signed byte a sum of 32 bits holds, with as much again for the bias.
  public static let largestDepth = Int(Int32.max) / (255 * 128) / 2

  /// The largest magnitude of a bias in steps of the sum.
  static let largestBias: Float = 0x1p30

  /// What each output channel's sum begins with: the bias in steps of the sum, less the zero point times the weights.
  /// - Parameters:
  ///   - weight: `[outputs, depth]`.
  ///   - levels: the weight's.
  ///   - inputScale: of the levels that are multiplied by the weights.
  ///   - zeroPoints: of these, one, or one for each input channel of all groups, which has `taps` weights.
  ///   - lanes: how many numbers there are; 0 behind the last channel.
  public static func sums(
    _ weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?, _ levels: WeightLevels, inputScale: Float,
    zeroPoints: [UInt8], taps: Int, outputs: Int, depth: Int, into sums: UnsafeMutablePointer<Int32>, lanes: Int,
    workers: Workers
  ) {
    let channels = depth / taps, groups = max(1, zeroPoints.count / channels)
    workers.forEachRange(of: outputs) { range, _ in
      for output in range {
        let scale = levels.scale(output), first = output * groups / outputs * channels
        var sum: Int32 = 0
        for index in 0..<depth {
          let zeroPoint = zeroPoints[zeroPoints.count == 1 ? 0 : first + index / taps]
          sum &+= Int32(zeroPoint) &* Int32(levels.rounded(weight[output * depth + index] / scale))
        }
        sums[output] = steps(bias?[output] ?? 0, inputScale * scale) &- sum
      }
    }
    for lane in outputs..<max(outputs, lanes) { sums[lane] = 0 }
  }

  private static func steps(_ bias: Float, _ step: Float) -> Int32 {
    let steps = (bias / step).rounded(.toNearestOrEven)
    return steps.isNaN ? 0 : Int32(min(max(steps, -largestBias), largestBias))
  }
}
