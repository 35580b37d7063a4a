/// The `.unknownName` error for `name`, with the nearest of `candidates` as a suggestion where one is near.
public func unknownName(_ kind: String, _ name: String, among candidates: [String]) -> CNNError {
  let shown = name.utf8.count > 100 ? String(name.prefix(100)) + "..." : name
  var message = "unknown \(kind) '\(shown)'"
  let limit = max(2, name.utf8.count / 3)
  // Edit distance costs the product of the lengths: a hostile name must not make the error itself slow.
  if name.utf8.count <= 100,
    let best = candidates.map({ (editDistance($0, name), $0) }).min(by: { $0.0 < $1.0 }), best.0 <= limit
  {
    message += "; did you mean '\(best.1)'?"
  } else if candidates.count <= 20 {
    message += "; expected one of: \(candidates.sorted().joined(separator: ", "))"
  }
  return CNNError(.unknownName, message)
}

/// The Levenshtein distance between two names, in UTF-8 bytes and ignoring case.
func editDistance(_ a: String, _ b: String) -> Int {
  let a = Array(a.lowercased().utf8), b = Array(b.lowercased().utf8)
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let substitution = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substitution, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
