import CNNCore

/// For each place along an axis of a resized picture, which places of the original it is made of, and by what weights:
/// fixed-point numbers of 22 bits behind the point, the numbers that Pillow computes.
struct ResamplingWeights {
  /// The places of the resized axis that there are weights for.
  let places: Range<Int>
  /// The number of weights that each place has room for.
  private let capacity: Int
  private let memory: Memory

  /// The bits behind the point.
  static let precision: Int32 = 22
  /// A weight is two integers of 16 bits, `upper * 2^11 + lower`, since that is what processors multiply fast.
  static let lowerBits: Int32 = 11

  /// The first of the original's places, and how many.
  struct Window { var first, count: Int32 }
  /// One weight.
  struct Weight { var upper, lower: Int16 }

  /// The weights for a part of the resized axis.
  init(_ filter: ResamplingFilter, from size: Int, to newSize: Int, places: Range<Int>) throws(CNNError) {
    let ratio = Double(size) / Double(newSize), stretch = max(1, ratio), support = filter.support * stretch
    let largest = min(size, Int(support.rounded(.up)) * 2 + 1)
    // Whole groups of four, so that grey rows can be read by four pixels at a time.
    capacity = (largest + 3) / 4 * 4
    self.places = places
    let bytes = MemoryLayout<Window>.stride + capacity * MemoryLayout<Weight>.stride
    memory = try Memory(byteCount: Checked.product([places.count, bytes], "resizing"), for: "resizing")
    let exact = try Memory(byteCount: largest * MemoryLayout<Double>.stride, for: "resizing")
    let sharp = exact.base.assumingMemoryBound(to: Double.self)
    for place in places {
      let middle = (Double(place) + 0.5) * ratio
      let first = max(0, Int(middle - support + 0.5)), count = min(size, Int(middle + support + 0.5)) - first
      var sum = 0.0
      for index in 0..<count {
        sharp[index] = filter.weight((Double(index + first) - middle + 0.5) * (1 / stretch))
        sum += sharp[index]
      }
      windows[place - places.lowerBound] = Window(first: Int32(first), count: Int32(count))
      let weights = weights(place)
      for index in 0..<count {
        let share = (sum == 0 ? sharp[index] : sharp[index] / sum) * Double(1 << Self.precision)
        let rounded = Int32(share < 0 ? share - 0.5 : share + 0.5)
        weights[index] = Weight(
          upper: Int16(truncatingIfNeeded: rounded >> Self.lowerBits),
          lower: Int16(truncatingIfNeeded: rounded & (1 << Self.lowerBits - 1)))
      }
    }
  }

  private var windows: UnsafeMutablePointer<Window> { memory.base.assumingMemoryBound(to: Window.self) }

  /// What the place is made of.
  func window(_ place: Int) -> (first: Int, count: Int) {
    let window = windows[place - places.lowerBound]
    return (Int(window.first), Int(window.count))
  }

  /// The weights of a place, followed by zeros up to a multiple of four.
  func weights(_ place: Int) -> UnsafeMutablePointer<Weight> {
    (memory.base + places.count * MemoryLayout<Window>.stride).assumingMemoryBound(to: Weight.self)
      + (place - places.lowerBound) * capacity
  }

  /// The places of the original that are needed.
  var needed: Range<Int> {
    guard let lastPlace = places.last else { return 0..<0 }
    let last = window(lastPlace)
    return window(places.lowerBound).first..<last.first + last.count
  }
}
