extension Graph {
  /// The input whose channels the mean and deviation of pixels are of: the first that is an image `[N, H, W, C]`, or
  /// where there is none the first.
  public var pixelInput: Input? { inputs.first { type(of: $0.value).rank == 4 } ?? inputs.first }

  /// Whether an input may be uint8 pixels, normalised by `channels` numbers: the only one, or an image with as many
  /// channels.
  public func takesPixels(_ input: Input, channels: Int) -> Bool {
    inputs.count == 1 || type(of: input.value).rank == 4 && shape(of: input.value).last == channels
  }
}
