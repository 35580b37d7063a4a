/// File-name patterns: `*` stands for any characters, `?` for one, `[abc]` and `[a-c]` for one of these, `[!abc]` for one
/// that is none of these. A `[` that is never closed stands for itself.
public enum Glob {
  /// What stands for one character, or for any number of them.
  private enum Element {
    case any
    case one
    case literal(UInt8)
    case choice([ClosedRange<UInt8>], negated: Bool)

    func matches(_ byte: UInt8) -> Bool {
      switch self {
      case .any: false
      case .one: true
      case .literal(let literal): literal == byte
      case .choice(let ranges, let negated): ranges.contains { $0.contains(byte) } != negated
      }
    }

    var isAny: Bool { if case .any = self { true } else { false } }
  }

  /// Whether the whole of `name` matches `pattern`. Takes time proportional to the product of the lengths at most.
  public static func matches(_ name: String, _ pattern: String) -> Bool {
    let name = Array(name.utf8), pattern = elements(Array(pattern.utf8))
    var (n, p) = (0, 0)
    var star: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p].isAny {
        star = (p, n)
        p += 1
      } else if p < pattern.count, pattern[p].matches(name[n]) {
        p += 1
        n += 1
      } else if let last = star {
        // Let the last star take one character more.
        star = (last.pattern, last.name + 1)
        p = last.pattern + 1
        n = last.name + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy(\.isAny)
  }

  private static func elements(_ pattern: [UInt8]) -> [Element] {
    var result: [Element] = []
    var position = 0
    while position < pattern.count {
      let byte = pattern[position]
      position += 1
      switch byte {
      case UInt8(ascii: "*"): result.append(.any)
      case UInt8(ascii: "?"): result.append(.one)
      case UInt8(ascii: "["):
        if let (choice, end) = choice(pattern, from: position) {
          result.append(choice)
          position = end
        } else {
          result.append(.literal(byte))
        }
      default: result.append(.literal(byte))
      }
    }
    return result
  }

  /// The choice whose first character is at `start`, and where it ends; nil where it is never closed.
  private static func choice(_ pattern: [UInt8], from start: Int) -> (choice: Element, end: Int)? {
    var position = start
    let negated = position < pattern.count && pattern[position] == UInt8(ascii: "!")
    if negated { position += 1 }
    // A bracket in the first place is one of the characters.
    guard position < pattern.count, let close = pattern[(position + 1)...].firstIndex(of: UInt8(ascii: "]")) else {
      return nil
    }
    var ranges: [ClosedRange<UInt8>] = []
    while position < close {
      if position + 2 < close, pattern[position + 1] == UInt8(ascii: "-"), pattern[position] <= pattern[position + 2] {
        ranges.append(pattern[position]...pattern[position + 2])
        position += 3
      } else {
        ranges.append(pattern[position]...pattern[position])
        position += 1
      }
    }
    return (.choice(ranges, negated: negated), close + 1)
  }
}
