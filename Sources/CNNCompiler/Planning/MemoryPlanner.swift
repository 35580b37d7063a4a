import CNNCore

/// Places tensors in one arena, so that two of them share memory only when they are not needed at the same time.
struct MemoryPlanner {
  /// A tensor's size and the steps between which it must be kept.
  struct Request {
    let byteCount: Int
    let firstStep: Int
    var lastStep: Int
  }

  /// Where each request was placed, in bytes from the arena's start.
  let offsets: [Int]
  /// The arena's size.
  let byteCount: Int
  /// What the tensors would take without sharing.
  let totalByteCount: Int

  /// Largest first, each at the lowest offset that is free for as long as it is needed (the greedy-by-size rule of
  /// Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
  init(_ requests: [Request]) throws(CNNError) {
    var offsets = Array(repeating: 0, count: requests.count), ends = offsets
    var placed: [Int] = []  // By offset.
    var end = 0, total = 0
    let order = requests.indices.sorted {
      (requests[$1].byteCount, $0) < (requests[$0].byteCount, $1)
    }
    for index in order {
      let request = requests[index]
      let size = try Memory.aligned(request.byteCount)
      var offset = 0
      for other in placed
      where requests[other].firstStep <= request.lastStep && request.firstStep <= requests[other].lastStep {
        if offset <= offsets[other], size <= offsets[other] - offset { break }
        offset = max(offset, ends[other])
      }
      offsets[index] = offset
      ends[index] = try Checked.sum([offset, size], "arena")
      end = max(end, ends[index])
      total = try Checked.sum([total, size], "arena")
      let position = placed.firstIndex { offsets[$0] > offset } ?? placed.endIndex
      placed.insert(index, at: position)
    }
    (self.offsets, byteCount, totalByteCount) = (offsets, end, total)
  }
}
