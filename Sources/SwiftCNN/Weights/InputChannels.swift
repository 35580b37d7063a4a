/// A first convolution for another number of channels than its weights were made for, by timm's rule (`in_chans`).
enum InputChannels {
  /// More channels than any camera has.
  private static let maximum = 256

  /// Whether two shapes, [outputs, channels, height, width], differ in the channels alone.
  static func areAllThatDiffers(_ stored: [Int], _ wanted: [Int]) -> Bool {
    stored.count == 4 && wanted.count == 4 && stored[0] == wanted[0] && stored[2...] == wanted[2...]
      && (1...maximum).contains(stored[1])
  }

  /// Fills the weight of so many `channels` from one of `sourceChannels`: for one channel the sum of all, otherwise the
  /// channels again and again, and scaled so that the sum stays what it was for an input that is the same in all.
  static func convert(
    _ source: UnsafeBufferPointer<Float>, channels sourceChannels: Int,
    into destination: UnsafeMutableBufferPointer<Float>,
    shape: [Int]
  ) {
    let channels = shape[1], window = shape[2] * shape[3]
    let scale = Float(Double(sourceChannels) / Double(channels))
    for output in 0..<shape[0] {
      let filter = source[(output * sourceChannels * window)...]
      for channel in 0..<channels {
        for tap in 0..<window {
          let place = (output * channels + channel) * window + tap
          if channels == 1 {
            destination[place] = (0..<sourceChannels).reduce(0) { $0 + filter[filter.startIndex + $1 * window + tap] }
          } else {
            destination[place] = filter[filter.startIndex + channel % sourceChannels * window + tap] * scale
          }
        }
      }
    }
  }
}
