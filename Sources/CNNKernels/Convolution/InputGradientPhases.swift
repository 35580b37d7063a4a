import CNNCore

/// The gradient of a convolution's input along one axis: the taps that reach each pixel.
///
/// Pixel `h` of the input is read by output `(h + padding - k dilation) / stride` under tap `k`, where that is whole. So the
/// pixels of one phase, `h = phase + t stride`, all meet the same taps, and their gradient is a convolution of stride 1
/// over the gradient of the output with those taps in reverse (Dumoulin and Visin, "A guide to convolution arithmetic for
/// deep learning", 2016, section 4).
struct InputGradientPhase: Hashable, Sendable {
  /// Which pixels: `phase`, `phase + stride`...
  let phase, stride: Int
  /// How many there are.
  let count: Int
  /// The taps of the filter in the order of the convolution; none where no output reads these pixels.
  let taps: [Int]
  /// The distance of neighbouring taps, and the zeros before and behind the output's gradient.
  let dilation, paddingBefore, paddingAfter: Int

  /// The phases along an axis; nil where one would need less than no padding.
  static func all(
    input: Int, output: Int, kernel: Int, stride: Int, dilation: Int, padding: Int
  ) -> [InputGradientPhase]? {
    var result: [InputGradientPhase] = []
    for phase in 0..<min(stride, input) {
      let count = (input - phase + stride - 1) / stride
      let taps = (0..<kernel).filter { (phase + padding - $0 * dilation) % stride == 0 }
      guard let first = taps.first else {
        result.append(
          InputGradientPhase(
            phase: phase, stride: stride, count: count, taps: [], dilation: 1, paddingBefore: 0, paddingAfter: 0))
        continue
      }
      let step = taps.count > 1 ? (taps[1] - first) * dilation / stride : 1
      let reach = (taps.count - 1) * step
      let before = reach - (phase + padding - first * dilation) / stride
      let after = count + reach - output - before
      guard before >= 0, after >= 0 else { return nil }
      result.append(
        InputGradientPhase(
          phase: phase, stride: stride, count: count, taps: taps.reversed(), dilation: step, paddingBefore: before,
          paddingAfter: after))
    }
    return result
  }
}
