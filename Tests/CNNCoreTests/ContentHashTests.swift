import CNNCore
import Testing

@Suite struct ContentHashTests {
  private func hash(_ bytes: [UInt8], seed: UInt64 = 0) -> ContentHash {
    var hash = ContentHash(seed: seed)
    bytes.withUnsafeBytes { hash.add($0) }
    return hash
  }

  /// Files have them.
  @Test func theyAreWhatTheyWere() {
    #expect(hash([]).text == "eb8bc67824c65c667beec4638f71790d")
    #expect(hash(Array(0..<100)).text == "e51e9a51b0d2c03129cc5e4fb7921318")
    #expect(hash(Array(0..<16), seed: 7).text == "2f0394727e65bc0f57e9462b2c967d0d")
    var text = ContentHash()
    text.add("T² KL")
    #expect(text == hash(Array("T² KL".utf8)))
  }

  /// One bit more or less changes about half of all bits, whichever word it is in.
  @Test func everyBitCounts() {
    let bytes = (0..<75).map { UInt8($0 * 31 % 256) }, whole = hash(bytes)
    var changed = 0
    for place in bytes.indices {
      for bit in 0..<8 {
        var other = bytes
        other[place] ^= 1 << bit
        let words = hash(other).words
        let differences = [words.0 ^ whole.words.0, words.1 ^ whole.words.1].map(\.nonzeroBitCount)
        #expect(differences.allSatisfy { (10...54).contains($0) }, "byte \(place), bit \(bit): \(differences)")
        changed += differences.reduce(0, +)
      }
    }
    #expect((62.0...66.0).contains(Double(changed) / Double(8 * bytes.count)))
  }

  @Test func lengthsAndPartsCount() {
    var seen: Set<ContentHash> = []
    for count in 0...64 {
      for seed in 0..<3 { seen.insert(hash([UInt8](repeating: 0, count: count), seed: UInt64(seed))) }
    }
    #expect(seen.count == 65 * 3)
    var parts = ContentHash()
    for part in [[1, 2], [3] as [UInt8]] { part.withUnsafeBytes { parts.add($0) } }
    #expect(parts != hash([1, 2, 3]))
  }

  @Test func setsHaveNoOrder() {
    let hashes = (0..<9).map { hash([UInt8($0)]) }
    #expect(ContentHash.ofSet(hashes) == ContentHash.ofSet(hashes.reversed()))
    #expect(ContentHash.ofSet(hashes) != ContentHash.ofSet(hashes.dropLast()))
    #expect(ContentHash.ofSet([]) != ContentHash.ofSet([ContentHash(words: (0, 0))]))
    #expect(ContentHash.ofSet([hashes[0], hashes[0]]) != ContentHash.ofSet([hashes[0]]))
  }
}
