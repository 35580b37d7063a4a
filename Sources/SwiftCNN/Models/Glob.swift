/// File-name patterns: `*` stands for any characters, `?` for one, `[abc]` and `[a-c]` for one of these, `[!abc]` for one
/// that is none of these. A `[` that is never closed stands for itself.
public enum Glob {
  /// What stands for one character, or for any number of them.
  private enum Element {
    case any
    case one
    case literal(Unicode.Scalar)
    case choice([ClosedRange<Unicode.Scalar>], negated: Bool)

    func matches(_ character: Unicode.Scalar) -> Bool {
      switch self {
      case .any: false
      case .one: true
      case .literal(let literal): literal == character
      case .choice(let ranges, let negated): ranges.contains { $0.contains(character) } != negated
      }
    }

    var isAny: Bool { if case .any = self { true } else { false } }
  }

  /// Whether the whole of `name` matches `pattern`. Takes time proportional to the product of the lengths at most.
  public static func matches(_ name: String, _ pattern: String) -> Bool {
    let name = Array(name.unicodeScalars), pattern = elements(Array(pattern.unicodeScalars))
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

  private static func elements(_ pattern: [Unicode.Scalar]) -> [Element] {
    var result: [Element] = []
    var position = 0
    while position < pattern.count {
      let character = pattern[position]
      position += 1
      switch character {
      case "*": result.append(.any)
      case "?": result.append(.one)
      case "[":
        if let (choice, end) = choice(pattern, from: position) {
          result.append(choice)
          position = end
        } else {
          result.append(.literal(character))
        }
      default: result.append(.literal(character))
      }
    }
    return result
  }

  /// The choice whose first character is at `start`, and where it ends; nil where it is never closed.
  private static func choice(_ pattern: [Unicode.Scalar], from start: Int) -> (choice: Element, end: Int)? {
    var position = start
    let negated = position < pattern.count && pattern[position] == "!"
    if negated { position += 1 }
    // A bracket in the first place is one of the characters.
    guard position < pattern.count, let close = pattern[(position + 1)...].firstIndex(of: "]") else {
      return nil
    }
    var ranges: [ClosedRange<Unicode.Scalar>] = []
    while position < close {
      if position + 2 < close, pattern[position + 1] == "-", pattern[position] <= pattern[position + 2] {
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
