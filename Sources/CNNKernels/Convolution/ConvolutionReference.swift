/// The definition of convolution and its gradients: plain loops that accumulate in double precision.
///
/// Every fast algorithm is tested against this one. Shapes are those of `ConvolutionGeometry`.
public enum ConvolutionReference {
  /// `y = convolution(x, weight) + bias`; `y` holds `geometry.outputCount` numbers and is overwritten.
  public static func forward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Double>, geometry: ConvolutionGeometry
  ) {
    for i in 0..<geometry.outputCount { y[i] = Double(bias?[i % geometry.outputChannels] ?? 0) }
    forEachProduct(geometry) { input, kernel, output in y[output] += Double(x[input]) * Double(weight[kernel]) }
  }

  /// The gradient with respect to `x` given `dy`; `dx` holds `geometry.inputCount` numbers and is overwritten.
  public static func inputGradient(
    dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Double>,
    geometry: ConvolutionGeometry
  ) {
    for i in 0..<geometry.inputCount { dx[i] = 0 }
    forEachProduct(geometry) { input, kernel, output in dx[input] += Double(dy[output]) * Double(weight[kernel]) }
  }

  /// The gradient with respect to `weight` given `dy`; `dWeight` holds `geometry.weightCount` numbers and is overwritten.
  public static func weightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Double>,
    geometry: ConvolutionGeometry
  ) {
    for i in 0..<geometry.weightCount { dWeight[i] = 0 }
    forEachProduct(geometry) { input, kernel, output in dWeight[kernel] += Double(x[input]) * Double(dy[output]) }
  }

  /// Calls `body` with the flat indices of input, kernel and output for every product that the convolution sums.
  @inline(__always)
  private static func forEachProduct(_ g: ConvolutionGeometry, _ body: (Int, Int, Int) -> Void) {
    let rows = g.rowAxis, columns = g.columnAxis
    for image in 0..<g.batch {
      for row in 0..<g.outputHeight {
        for column in 0..<g.outputWidth {
          for tapRow in 0..<g.kernelHeight {
            guard let inputRow = rows.source(output: row, tap: tapRow) else { continue }
            for tapColumn in 0..<g.kernelWidth {
              guard let inputColumn = columns.source(output: column, tap: tapColumn) else { continue }
              let inputPixel = (image * g.inputHeight + inputRow) * g.inputWidth + inputColumn
              let outputPixel = (image * g.outputHeight + row) * g.outputWidth + column
              let tap = tapRow * g.kernelWidth + tapColumn
              for filter in 0..<g.outputChannels {
                let firstChannel = filter / g.groupOutputChannels * g.groupInputChannels
                for channel in 0..<g.groupInputChannels {
                  body(
                    inputPixel * g.inputChannels + firstChannel + channel,
                    (tap * g.groupInputChannels + channel) * g.outputChannels + filter,
                    outputPixel * g.outputChannels + filter)
                }
              }
            }
          }
        }
      }
    }
  }
}
