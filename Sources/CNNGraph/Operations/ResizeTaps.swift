import CNNCore

/// Which elements make each element of a resized axis, and with which weights.
public struct ResizeTaps: Sendable {
  /// The taps of element `i` are those from `offsets[i]` up to `offsets[i + 1]`.
  public private(set) var offsets = [0]
  /// Elements of the operand.
  public private(set) var indices: [Int] = []
  /// What each is multiplied by.
  public private(set) var weights: [Float] = []

  private mutating func append(_ taps: some Sequence<(index: Int, weight: Float)>) {
    for tap in taps where tap.weight != 0 {
      indices.append(tap.index)
      weights.append(tap.weight)
    }
    offsets.append(indices.count)
  }

  /// The same weights read the other way, for a gradient: which elements of the result each of `count` is a part of.
  public func transposed(count: Int) -> ResizeTaps {
    var result = ResizeTaps()
    result.offsets = Array(repeating: 0, count: count + 1)
    for index in indices { result.offsets[index + 1] += 1 }
    for element in 0..<count { result.offsets[element + 1] += result.offsets[element] }
    var next = result.offsets
    result.indices = Array(repeating: 0, count: indices.count)
    result.weights = Array(repeating: 0, count: indices.count)
    for element in 0..<offsets.count - 1 {
      for tap in offsets[element]..<offsets[element + 1] {
        let place = next[indices[tap]]
        next[indices[tap]] += 1
        (result.indices[place], result.weights[place]) = (element, weights[tap])
      }
    }
    return result
  }
}

extension ResizeTaps {
  /// The taps of `resize` for an axis of `length` elements. All is computed in float32, as it is where such networks are
  /// trained: of two elements that are as near the rounding decides.
  public init(_ resize: Resize, length: Int) throws(CNNError) {
    let size = try resize.size(of: length)
    let scale: Float
    switch resize.extent {
    case .size: scale = Float(size) / Float(length)
    case .scale(let given): scale = Float(given)
    }
    for index in 0..<size {
      append(resize.taps(at: resize.coordinate(of: index, among: size, length: length, scale: scale), length, scale))
    }
  }
}

extension Resize {
  fileprivate func coordinate(of index: Int, among size: Int, length: Int, scale: Float) -> Float {
    if scale == 1 { return Float(index) }
    let halfPixel = (Float(index) + 0.5) / scale - 0.5
    switch coordinates {
    case .halfPixel: return halfPixel
    case .pytorchHalfPixel: return size > 1 ? halfPixel : 0
    case .halfPixelSymmetric:
      return Float(length) / 2 * (1 - Float(size) / (scale * Float(length))) + halfPixel
    case .asymmetric: return Float(index) / scale
    case .alignCorners: return size > 1 ? Float(index) * Float(length - 1) / Float(size - 1) : 0
    case .halfPixelForNearest: return (Float(index) + 0.5) / scale
    }
  }

  /// What lies at `x` among `length` elements.
  fileprivate func taps(at x: Float, _ length: Int, _ scale: Float) -> [(index: Int, weight: Float)] {
    let last = length - 1
    switch interpolation {
    case .nearest: return [(min(max(nearest(to: x), 0), last), 1)]
    case .linear where antialiases && scale < 1:
      return spread(x, length, reach: 1, scale) { max(0, 1 - $0.magnitude) }
    case .cubic where antialiases && scale < 1:
      return spread(x, length, reach: 2, scale, weight: cubic)
    case .linear:
      let held = min(max(x, 0), Float(last)), first = Int(held), second = min(first + 1, last)
      if first == second { return [(first, 1)] }
      return [(first, Float(second) - held), (second, held - Float(first))]
    case .cubic: return spread(x, length, reach: 2, 1, weight: cubic)
    }
  }

  private func nearest(to x: Float) -> Int {
    let floor = x.rounded(.down)
    switch nearest {
    case .floor: return Int(floor)
    case .ceil: return Int(x.rounded(.up))
    case .roundPreferFloor: return Int(x - floor > 0.5 ? floor + 1 : floor)
    case .roundPreferCeil: return Int(x - floor >= 0.5 ? floor + 1 : floor)
    }
  }

  /// The neighbours nearer than `reach`, in units of an element of the result where that is the larger one.
  private func spread(_ x: Float, _ length: Int, reach: Float, _ scale: Float, weight: (Float) -> Float)
    -> [(index: Int, weight: Float)]
  {
    let first = Int((x - reach / scale).rounded(.down)) + 1, end = Int((x + reach / scale).rounded(.up))
    var taps: [(index: Int, weight: Float)] = [], sum: Float = 0
    for index in first..<max(end, first + 1) {
      let isInside = (0..<length).contains(index)
      if excludesOutside && !isInside { continue }
      let weight = weight((Float(index) - x) * scale)
      sum += weight
      // Outside the border goes on.
      taps.append((min(max(index, 0), length - 1), weight))
    }
    // Without a scale the weights of all neighbours add up to 1 by themselves.
    if scale == 1 && !excludesOutside || sum == 0 { return taps }
    return taps.map { ($0.index, $0.weight / sum) }
  }

  private func cubic(_ distance: Float) -> Float {
    let d = distance.magnitude, a = Float(cubicCoefficient)
    if d >= 2 { return 0 }
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  }
}
