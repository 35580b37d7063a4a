/// How a convolution walks one axis: output `o` reads source `o * stride + tap * dilation - padding` for every tap,
/// and a source outside `0..<sourceCount` is zero.
struct ConvolutionAxis {
  var sourceCount: Int
  var outputCount: Int
  var tapCount: Int
  var stride: Int
  var dilation: Int
  /// Negative if the first source pixels are never read.
  var padding: Int

  /// Distance from the first to the last tap, in source pixels; 0 if there is none.
  var reach: Int { max(tapCount - 1, 0) * dilation }

  /// The source pixel of a tap, or nil in the padding.
  @inline(__always)
  func source(output: Int, tap: Int) -> Int? {
    let position = output * stride + tap * dilation - padding
    return position >= 0 && position < sourceCount ? position : nil
  }

  /// The output pixel that meets a source pixel at a tap, or nil if none does.
  @inline(__always)
  func output(source: Int, tap: Int) -> Int? {
    let position = source + padding - tap * dilation
    if position < 0 { return nil }
    if stride == 1 { return position < outputCount ? position : nil }
    return position % stride == 0 && position / stride < outputCount ? position / stride : nil
  }

  /// The walk of the input gradient over the output gradient, for the input positions `first + t * stride` of one
  /// phase. Those positions meet every `tapStep`-th tap from `firstTap` on, and meet them as a convolution of stride 1
  /// over the output gradient with those taps in reverse order.
  struct Phase {
    var axis: ConvolutionAxis
    /// First input position of the phase.
    var first: Int
    /// First tap of the phase.
    var firstTap: Int
    /// Distance between the phase's taps.
    var tapStep: Int

    /// The tap of the original kernel that is tap `index` of the phase's own kernel.
    func originalTap(_ index: Int) -> Int { firstTap + (axis.tapCount - 1 - index) * tapStep }
  }

  /// The phase whose first input position is `first`, less than both the stride and the source's size.
  func gradientPhase(first: Int) -> Phase {
    let remainder = (first + padding) % stride
    let tapStep = stride / greatestCommonDivisor(stride, dilation)
    // tap * dilation must be congruent to the remainder; the solutions repeat every tapStep.
    let firstTap = (0..<min(tapCount, tapStep)).first { $0 * dilation % stride == remainder } ?? tapCount
    let taps = (tapCount - firstTap + tapStep - 1) / tapStep
    let phaseDilation = tapStep * dilation / stride
    let newest = (first + padding - firstTap * dilation) / stride
    return Phase(
      axis: ConvolutionAxis(
        sourceCount: outputCount, outputCount: (sourceCount - first + stride - 1) / stride, tapCount: taps, stride: 1,
        dilation: phaseDilation, padding: (taps - 1) * phaseDilation - newest),
      first: first, firstTap: firstTap, tapStep: tapStep)
  }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
