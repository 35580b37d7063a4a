import CNNCore
import Glibc
import Testing

@testable import CNNPictures

/// Reads mutated files: each is refused with `.malformedFile`, or is a picture, in less than a second and in memory that is
/// in proportion to the file. `SWIFTCNN_FUZZ_COUNT` sets the number for a long run (`make fuzz`).
@Suite struct PictureFuzzTests {
  @Test(arguments: [UInt64(1), 2]) func mutatedFilesAreReadOrRefused(_ stream: UInt64) throws {
    let wanted = getenv("SWIFTCNN_FUZZ_COUNT").flatMap { Int(String(cString: $0)) }
    let count = wanted ?? 10_000
    let seeds = try GoldenPictures.files().map(\.contents).filter { $0.count < 3000 }
    var mutator = Mutator(seeds: seeds, generator: PhiloxGenerator(seed: 2026, stream: stream))
    var accepted = 0, longest = 0.0, worst: [UInt8] = []
    for _ in 0..<count / 2 {
      let contents = mutator.next(), color = PictureColor.allCases[mutator.number(below: 4)]
      let start = seconds()
      do throws(CNNError) {
        let picture = try Picture(contents, as: color)
        accepted += 1
        if accepted % 16 == 0 {
          _ = try picture.resized(
            height: 5, width: 7, filter: ResamplingFilter.allCases[accepted / 16 % 6], workers: workers)
        }
      } catch {
        #expect(error.code == .malformedFile, "\(error.message): \(contents)")
      }
      let duration = seconds() - start
      if duration > longest { (longest, worst) = (duration, contents) }
    }
    #expect(longest < 1, "reading took \(longest) s: \(worst)")
    #expect(accepted > count / 20, "mutations that are all refused test little")
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    print(
      "\(count / 2) mutated pictures: \(accepted) read, the longest in \(longest) s, \(usage.ru_maxrss / 1024) MB at most"
    )
    // Only a long run has the process for itself; in the suite, tests that train take more.
    if wanted != nil { #expect(usage.ru_maxrss < 1 << 20, "\(usage.ru_maxrss) KB") }
  }

  private func seconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
  }
}

/// Makes damaged files of sound ones.
private struct Mutator {
  let seeds: [[UInt8]]
  var generator: PhiloxGenerator

  mutating func number(below limit: Int) -> Int { Int.random(in: 0..<max(limit, 1), using: &generator) }

  mutating func next() -> [UInt8] {
    var bytes = seeds[number(below: seeds.count)]
    for _ in 0...number(below: 4) where !bytes.isEmpty { mutate(&bytes) }
    // Most wrong check sums would hide the rest of a PNG file.
    if bytes.starts(with: PNGStructure.signature), number(below: 8) > 0 { repairCheckSums(&bytes) }
    return bytes
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    let place = number(below: bytes.count)
    switch number(below: 9) {
    case 0, 1: bytes[place] ^= 1 << UInt8(number(below: 8))
    case 2: bytes[place] = UInt8(number(below: 256))
    case 3: bytes.removeSubrange(place..<min(bytes.count, place + 1 + number(below: 8)))
    case 4: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + number(below: 40))], at: place)
    case 5:
      let extremes: [[UInt8]] = [
        [0, 0], [0xFF, 0xFF], [0x7F, 0xFF], [0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0],
      ]
      let value = extremes[number(below: extremes.count)], end = min(bytes.count, place + value.count)
      bytes.replaceSubrange(place..<end, with: value.prefix(end - place))
    case 6:
      // The size of a picture, its kind, the tables: what comes early says most.
      let early = number(below: min(bytes.count, 200))
      bytes[early] = UInt8(number(below: 256))
    case 7:
      let other = seeds[number(below: seeds.count)], start = number(below: other.count)
      bytes.insert(contentsOf: other[start..<min(other.count, start + number(below: 300))], at: place)
    default: if number(below: 4) == 0 { bytes.removeSubrange(place...) }
    }
  }

  private func repairCheckSums(_ bytes: inout [UInt8]) {
    var position = 8
    while position + 12 <= bytes.count {
      let length = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= bytes.count - position - 12 else { return }
      let end = position + 8 + length, sum = checkSum(bytes[position + 4..<end])
      for index in 0..<4 { bytes[end + index] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * UInt32(index))) }
      position = end + 4
    }
  }
}

/// The check sum of a PNG chunk's type and data.
func checkSum(_ bytes: some Sequence<UInt8>) -> UInt32 {
  ~bytes.reduce(UInt32.max) { sum, byte in checkSumTable[Int((sum ^ UInt32(byte)) & 0xFF)] ^ sum >> 8 }
}

private let checkSumTable: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
}
