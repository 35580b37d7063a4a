import CNNGraph

/// Where in a file a network's tensors lie: in which dictionary of a checkpoint, behind which prefix, named by which
/// convention.
struct WeightsPlace: Hashable {
  /// The position of the convention.
  let spelling: Int
  /// The path of the dictionary, as `ema/module`; empty for the outermost.
  let source: String
  /// What stands before the parameters' names, as `module.`.
  let prefix: String

  /// What a tensor is, seen from a place.
  enum Relation: Equatable {
    /// Behind the prefix, with this name.
    case inside(String)
    /// In the same dictionary, without the prefix.
    case beside
    /// In another dictionary.
    case elsewhere
  }

  /// What compiled and sharded networks put between a name's parts, wherever a part is wrapped.
  private static let wrappers: Set<Substring> = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"]
  /// Under which names training scripts keep what is to be used, the likeliest first.
  private static let usual = [
    "", "state_dict", "model_state_dict", "model", "model_state", "network", "net", "weights", "params", "module",
    "student",
  ]
  /// Words by which averaged weights, or the network that follows another one slowly, are told.
  private static let averaged: Set<Substring> = ["ema", "swa", "averaged", "avg", "teacher"]

  /// The relation of the file's tensor of that name to this place.
  func name(of tensor: String) -> Relation {
    let (source, inner) = Self.parts(of: tensor)
    guard source == self.source else { return .elsewhere }
    guard inner.utf8.starts(with: prefix.utf8) else { return .beside }
    let name = inner[inner.utf8.index(inner.startIndex, offsetBy: prefix.utf8.count)...]
    return .inside(Self.unwrapped(name.split(separator: ".", omittingEmptySubsequences: false)[...]))
  }

  /// The place in which most parameters have a tensor of their name. Of several alike: the one where most have the shape
  /// too, which alone says nothing, and the one with the fewest other tensors, then averaged weights, the usual names, the first convention and the first place in the file.
  static func best(
    for spellings: [[String]], _ parameters: [Parameter], in file: any TensorFile, _ tensors: [String]
  ) -> WeightsPlace? {
    var positions: [String: [(spelling: Int, position: Int)]] = [:]
    for (spelling, names) in spellings.enumerated() {
      for (position, name) in names.enumerated() { positions[name, default: []].append((spelling, position)) }
    }
    var tallies: [WeightsPlace: Tally] = [:]
    for tensor in tensors {
      let (source, inner) = parts(of: tensor), shape = file.shape(of: tensor)
      let components = inner.split(separator: ".", omittingEmptySubsequences: false)
      // No network is wrapped more often.
      for start in components.indices.prefix(16) where !wrappers.contains(components[start]) {
        for (spelling, position) in positions[unwrapped(components[start...])] ?? [] {
          let prefix = String(inner[..<components[start].startIndex])
          let place = WeightsPlace(spelling: spelling, source: source, prefix: prefix)
          var tally = tallies[place] ?? Tally(first: tallies.count)
          tally.names += 1
          if shape == parameters[position].shape { tally.fitting += 1 }
          tallies[place] = tally
        }
      }
    }
    let most = tallies.values.map { [$0.names, $0.fitting] }.max { $0.lexicographicallyPrecedes($1) }
    // A larger network may have all of a smaller one's names. (A file of many such is hostile.)
    let alike = tallies.filter { [$0.value.names, $0.value.fitting] == most }.sorted { $0.value.first < $1.value.first }
    let ranks = alike.prefix(32).map { place, tally in
      let others = tensors.count { if case .inside = place.name(of: $0) { true } else { false } } - tally.names
      return (place: place, rank: [-others] + place.preference + [-tally.first])
    }
    return ranks.max { $0.rank.lexicographicallyPrecedes($1.rank) }?.place
  }

  /// How many tensors a place has for the network.
  private struct Tally {
    var names = 0, fitting = 0
    /// Its number in the order of the file.
    let first: Int

    init(first: Int) { self.first = first }
  }

  /// The larger, the sooner it is taken before others that have as much.
  private var preference: [Int] {
    let last = source.split(separator: "/").last.map(String.init) ?? ""
    return [isAveraged ? 1 : 0, -(Self.usual.firstIndex(of: last) ?? Self.usual.count), -spelling]
  }

  private var isAveraged: Bool {
    "\(source).\(prefix)".lowercased().split { "/._".contains($0) }.contains { Self.averaged.contains($0) }
  }

  /// The dictionary of a tensor's name, and the name in it.
  private static func parts(of tensor: String) -> (source: String, inner: Substring) {
    guard let slash = tensor.lastIndex(of: "/") else { return ("", tensor[...]) }
    return (String(tensor[..<slash]), tensor[tensor.index(after: slash)...])
  }

  private static func unwrapped(_ components: ArraySlice<Substring>) -> String {
    components.contains(where: wrappers.contains)
      ? components.filter { !wrappers.contains($0) }.joined(separator: ".") : components.joined(separator: ".")
  }
}
