import CNNCore

/// Changes that replace each byte by what a table has for it, as Pillow's ImageOps does them.
extension Picture {
  /// Keeps the upper bits of each byte.
  func posterized(bits: Int) throws(CNNError) -> Picture {
    let mask = ~UInt8(truncatingIfNeeded: (1 << (8 - min(max(bits, 0), 8))) - 1)
    return try replaced { _ in { $0 & mask } }
  }

  /// Inverts what is not below a threshold.
  func solarized(threshold: Double) throws(CNNError) -> Picture {
    try replaced { _ in { Double($0) < threshold ? $0 : 255 - $0 } }
  }

  /// Stretches each channel so that its darkest byte becomes 0 and its lightest 255.
  func withAutomaticContrast() throws(CNNError) -> Picture {
    try replaced { counts in
      guard let low = counts.firstIndex(where: { $0 > 0 }), let high = counts.lastIndex(where: { $0 > 0 }), high > low
      else { return { $0 } }
      let scale = 255 / Double(high - low), offset = -Double(low) * scale
      return { UInt8(truncatingIfNeeded: Int(min(max(Double($0) * scale + offset, 0), 255))) }
    }
  }

  /// Spreads the bytes of each channel so that all are about as frequent.
  func equalized() throws(CNNError) -> Picture {
    try replaced { counts in
      guard let last = counts.last(where: { $0 > 0 }) else { return { $0 } }
      // A channel of one byte has a step of 0.
      let step = (counts.reduce(0, +) - last) / 255
      if step == 0 { return { $0 } }
      var sum = step / 2
      var table: [UInt8] = []
      for count in counts {
        table.append(UInt8(clamping: sum / step))
        sum += count
      }
      return { table[Int($0)] }
    }
  }

  /// Replaces the bytes of each channel by a rule that is made of how often each byte is in it.
  private func replaced(_ rule: (_ counts: [Int]) -> (UInt8) -> UInt8) throws(CNNError) -> Picture {
    let result = try Picture(height: height, width: width, channels: channels)
    withExtendedLifetime(self) {
      for channel in 0..<channels {
        var counts = [Int](repeating: 0, count: 256)
        for place in stride(from: channel, to: byteCount, by: channels) { counts[Int(base[place])] &+= 1 }
        let table = (0...255).map(rule(counts))
        for place in stride(from: channel, to: byteCount, by: channels) {
          result.base[place] = table[Int(base[place])]
        }
      }
    }
    return result
  }
}
