import CNNCore
import CNNGraph

/// What a teacher has said of samples, each as it was after flips, crops and other changes: a sample is known by the hash of its
/// contents, so that it is the same one in arrays, folders and batches, and of other data there is nothing. For whoever has
/// the model alone.
final class TeacherCache {
  /// The results that are kept, in the order of the teacher's, and the shapes of the samples that they are of.
  let results: [DistillationLoss.TeacherResult], sampleShapes: [[Int]]
  /// How many samples are known.
  private(set) var count = 0
  /// Whether there is more than was read or written last.
  var isChanged = false

  /// How many numbers each result has of a sample.
  let sizes: [Int]
  private var capacity = 0
  private var keys: Memory, values: [Memory]
  /// For each place of a table of hashes, of which half is empty at least, the number of a sample from 1 on.
  private var places: Memory

  /// An empty one.
  /// - Parameter capacity: how many samples there is room for; more is made as it is needed.
  /// - Throws: `.outOfMemory`.
  init(results: [DistillationLoss.TeacherResult], sampleShapes: [[Int]], capacity: Int = 0) throws(CNNError) {
    (self.results, self.sampleShapes) = (results, sampleShapes)
    var sizes: [Int] = []
    for result in results { sizes.append(try Checked.product(result.shape, "the teacher's results")) }
    self.sizes = sizes
    keys = try Memory(byteCount: 0, for: Self.role)
    places = keys
    values = sizes.map { [keys] _ in keys }
    try reserve(max(capacity, 1))
  }

  private static let role = "the teacher's cache"

  /// Copies what is known of a sample to `row` of these destinations; false, and nothing, where it is not known.
  func read(_ key: ContentHash, into destinations: [UnsafeMutableBufferPointer<Float>], row: Int) -> Bool {
    let sample = slots[place(of: key)]
    guard sample > 0 else { return false }
    for (index, size) in sizes.enumerated() where size > 0 {
      guard let mine = values[index].floats.baseAddress, let theirs = destinations[index].baseAddress else { continue }
      (theirs + row * size).update(from: mine + (Int(sample) - 1) * size, count: size)
    }
    return true
  }

  /// Keeps what `row` of these results says of a sample.
  /// - Throws: `.outOfMemory`.
  func add(_ key: ContentHash, from sources: [UnsafeMutableBufferPointer<Float>], row: Int) throws(CNNError) {
    if count == capacity { try reserve(Checked.product([capacity, 2], Self.role)) }
    let place = place(of: key)
    guard slots[place] == 0 else { return }
    for (index, size) in sizes.enumerated() where size > 0 {
      guard let mine = values[index].floats.baseAddress, let theirs = sources[index].baseAddress else { continue }
      (mine + count * size).update(from: theirs + row * size, count: size)
    }
    keyWords[2 * count] = key.words.0.littleEndian
    keyWords[2 * count + 1] = key.words.1.littleEndian
    count += 1
    slots[place] = UInt32(truncatingIfNeeded: count)
    isChanged = true
  }

  // MARK: All of it

  /// The hashes of the samples, 16 bytes each, little endian.
  var keyBytes: UnsafeMutableRawBufferPointer { .init(start: keys.base, count: count * 16) }

  /// One of the results of all samples.
  func values(of result: Int) -> UnsafeMutableRawBufferPointer {
    .init(start: values[result].base, count: count * sizes[result] * 4)
  }

  /// Takes so many samples as known, within the capacity, whose hashes and results `fill` writes.
  func take(_ count: Int, _ fill: () throws(CNNError) -> Void) throws(CNNError) {
    guard count <= capacity else { throw CNNError(.internalFault, "there is no room for \(count) samples") }
    self.count = count
    try fill()
    enterAll()
  }

  // MARK: The table

  private var keyWords: UnsafeMutablePointer<UInt64> { keys.base.assumingMemoryBound(to: UInt64.self) }
  private var slots: UnsafeMutablePointer<UInt32> { places.base.assumingMemoryBound(to: UInt32.self) }

  /// Where a hash is in the table, or would be.
  private func place(of key: ContentHash) -> Int {
    let mask = places.byteCount / 4 - 1
    var place = Int(truncatingIfNeeded: key.words.0) & mask
    while slots[place] > 0 {
      let sample = Int(slots[place]) - 1
      if keyWords[2 * sample] == key.words.0.littleEndian, keyWords[2 * sample + 1] == key.words.1.littleEndian {
        break
      }
      place = (place + 1) & mask
    }
    return place
  }

  /// Makes room for so many samples.
  private func reserve(_ new: Int) throws(CNNError) {
    guard new < Int(UInt32.max) / 4 else { throw CNNError(.outOfMemory, "\(Self.role) has \(count) samples") }
    let keys = try Memory(byteCount: Checked.product([new, 16], Self.role), for: Self.role)
    keys.base.copyMemory(from: self.keys.base, byteCount: count * 16)
    var values: [Memory] = []
    for (old, size) in zip(self.values, sizes) {
      let memory = try Memory(count: Checked.product([new, size], Self.role), of: .float32, for: Self.role)
      memory.base.copyMemory(from: old.base, byteCount: count * size * 4)
      values.append(memory)
    }
    var length = 4
    while length < 2 * new { length *= 2 }
    places = try Memory(count: length, of: .int32, for: Self.role)
    (self.keys, self.values, capacity) = (keys, values, new)
    enterAll()
  }

  private func enterAll() {
    for sample in 0..<count {
      let key = ContentHash(
        words: (UInt64(littleEndian: keyWords[2 * sample]), UInt64(littleEndian: keyWords[2 * sample + 1])))
      let place = place(of: key)
      if slots[place] == 0 { slots[place] = UInt32(truncatingIfNeeded: sample + 1) }
    }
  }
}
