/// The `.unknownName` error for `name`, with the nearest of `candidates` as a suggestion where one is near.
public func unknownName(_ kind: String, _ name: String, among candidates: [String]) -> CNNError {
  let shown = name.utf8.count > 100 ? String(name.prefix(100)) + "..." : name
  var message = "unknown \(kind) '\(shown)'"
  if let meant = otherNames[name.lowercased()], candidates.contains(meant) {
    return CNNError(.unknownName, message + "; did you mean '\(meant)'?")
  }
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

/// What is called otherwise elsewhere, too far from its name here to be taken for a slip.
private let otherNames: [String: String] = [
  "lr": "learning_rate", "wd": "weight_decay", "eps": "epsilon", "max_norm": "clip_norm",
  "mse": "mean_squared_error", "l2": "mean_squared_error", "mae": "mean_absolute_error",
  "l1": "mean_absolute_error", "bce": "binary_crossentropy",
  "ce": "sparse_categorical_crossentropy", "cross_entropy": "sparse_categorical_crossentropy",
  "nll_loss": "sparse_categorical_crossentropy", "acc": "accuracy", "swish": "silu", "num_classes": "classes",
  "criterion": "loss", "num_workers": "threads", "workers": "threads", "batch": "batch_size",
  "fc": "dense", "linear": "dense", "bn": "batch_norm",
]

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
