import CNNCore

/// Places tensors in one arena, so that two of them share memory only when they are not needed at the same time.
struct MemoryPlanner {
  /// A tensor's size and the steps between which it must be kept.
  struct Request {
    let byteCount: Int
    let firstStep: Int
    var lastStep: Int

    fileprivate var duration: Int { lastStep - firstStep }

    fileprivate func meets(_ other: Request) -> Bool { firstStep <= other.lastStep && other.firstStep <= lastStep }
  }

  /// Where each request was placed, in bytes from the arena's start.
  private(set) var offsets: [Int]
  /// The arena's size.
  private(set) var byteCount = 0
  /// What the tensors would take without sharing.
  let totalByteCount: Int

  /// In bytes, by request.
  private let sizes: [Int]
  private var ends: [Int]

  /// Largest first, each at the lowest offset that is free for as long as it is needed (the greedy-by-size rule of
  /// Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
  /// - Parameter isTight: whether to look longer for an arena without gaps.
  init(_ requests: [Request], isTight: Bool = false) throws(CNNError) {
    var sizes: [Int] = []
    for request in requests { sizes.append(try Memory.aligned(request.byteCount)) }
    self.sizes = sizes
    totalByteCount = try Checked.sum(sizes, "arena")  // Whatever is placed in it is less.
    (offsets, ends) = (sizes.map { _ in 0 }, sizes.map { _ in 0 })
    let bySize = order(requests) { (requests[$0].byteCount, 0) }
    place(bySize, requests)
    if isTight { tighten(bySize, requests) }
  }

  /// The largest by `rank` first.
  private func order(_ requests: [Request], by rank: (Int) -> (Int, Int)) -> [Int] {
    let ranks = requests.indices.map(rank)
    return requests.indices.sorted { (ranks[$1].0, ranks[$1].1, $0) < (ranks[$0].0, ranks[$0].1, $1) }
  }

  private mutating func place(_ order: [Int], _ requests: [Request]) {
    var placed: [Int] = []  // By offset.
    byteCount = 0
    for index in order {
      let request = requests[index], size = sizes[index]
      var offset = 0
      for other in placed where requests[other].meets(request) {
        if offset <= offsets[other], size <= offsets[other] - offset { break }
        offset = max(offset, ends[other])
      }
      (offsets[index], ends[index]) = (offset, offset + size)
      byteCount = max(byteCount, ends[index])
      placed.insert(index, at: placed.firstIndex { offsets[$0] > offset } ?? placed.endIndex)
    }
  }

  // MARK: - Without gaps

  /// How many orders are tried.
  private static let trialCount = 1000

  /// Looks for an order with fewer gaps: those first that are needed longest, as what a training step keeps lies around all
  /// else, or those of the fullest steps; then from the best of these on.
  private mutating func tighten(_ bySize: [Int], _ requests: [Request]) {
    var live = Array(repeating: 0, count: (requests.map(\.lastStep).max() ?? 0) + 1)
    for (request, size) in zip(requests, sizes) {
      for step in request.firstStep...request.lastStep { live[step] += size }
    }
    let bound = live.max() ?? 0, goal = bound + bound / 128
    let fullest = requests.map { live[$0.firstStep...$0.lastStep].max() ?? 0 }
    var best = (byteCount: byteCount, order: bySize)
    let ranks: [(Int) -> (Int, Int)] = [
      { (requests[$0].duration, requests[$0].byteCount) },
      { (fullest[$0], requests[$0].duration) },
      { (fullest[$0], requests[$0].byteCount) },
    ]
    for rank in ranks where best.byteCount > goal {
      let next = order(requests, by: rank)
      place(next, requests)
      if byteCount < best.byteCount { best = (byteCount, next) }
    }
    if best.byteCount > goal {
      let order = climbing(from: best.order, bySize, below: bound / 256, to: goal, requests)
      if byteCount < best.byteCount { best = (byteCount, order) }
    }
    place(best.order, requests)
  }

  /// Moves one large tensor after the other to another place of an order, and keeps what makes the arena no larger; those
  /// below a size find room anywhere.
  private mutating func climbing(
    from order: [Int], _ bySize: [Int], below size: Int, to goal: Int, _ requests: [Request]
  ) -> [Int] {
    var large = order.filter { sizes[$0] >= size }, generator = PhiloxGenerator(seed: 0, stream: 0)
    place(large, requests)
    var lowest = byteCount
    for _ in 0..<Self.trialCount where lowest > goal {
      guard let top = large.first(where: { ends[$0] == byteCount }) else { break }
      let beside = large.filter { requests[$0].meets(requests[top]) }
      let moved = Bool.random(using: &generator) ? top : beside.randomElement(using: &generator) ?? top
      var next = large.filter { $0 != moved }
      next.insert(moved, at: Int.random(in: 0...next.count, using: &generator))
      place(next, requests)
      if byteCount <= lowest { (lowest, large) = (byteCount, next) } else { place(large, requests) }
    }
    large += bySize.filter { sizes[$0] < size }
    place(large, requests)
    return large
  }
}
