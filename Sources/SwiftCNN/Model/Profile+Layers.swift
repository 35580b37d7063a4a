import CNNCore

extension TrainingRole {
  /// The pass that it is in.
  public var pass: Profile.Pass {
    switch self {
    case .forward: .forward
    case .recomputation, .inputGradient, .weightGradient: .backward
    case .update: .update
    }
  }
}

extension Profile {
  /// What a layer takes of a training step.
  @dynamicMemberLookup
  public struct Layer: Sendable, Equatable {
    /// The layer; several where these were made one before gradients were taken, as `bn1` and `relu`.
    public let names: [String]
    /// What it takes in each role that it has.
    public let roles: [TrainingRole: Figures]
    /// The sum of these.
    public let figures: Figures

    /// The names in one text.
    public var name: String { names.joined(separator: " + ") }

    /// A layer has its figures' members.
    public subscript<Number>(dynamicMember path: KeyPath<Figures, Number>) -> Number { figures[keyPath: path] }
  }

  /// The layers of a training step, those that take longest first. Their sum is the step. Empty for a prediction.
  public var layers: [Layer] {
    var parts: [[String]: [Part]] = [:]
    for part in steps.lazy.flatMap(\.parts) where part.seconds > 0 { parts[part.layers, default: []].append(part) }
    let layers = parts.map { names, parts in
      Layer(names: names, roles: Self.roles(of: parts), figures: Figures(sumOf: parts.map(\.figures)))
    }
    return layers.sorted { ($1.seconds, $0.name) < ($0.seconds, $1.name) }
  }

  /// What each role takes of a training step. Their sum is the step. Empty for a prediction.
  public var roles: [TrainingRole: Figures] { Self.roles(of: steps.flatMap(\.parts).filter { $0.seconds > 0 }) }

  private static func roles(of parts: [Part]) -> [TrainingRole: Figures] {
    Dictionary(grouping: parts, by: \.role).mapValues { Figures(sumOf: $0.map(\.figures)) }
  }
}

extension Profile.Figures {
  /// What several take together.
  init(sumOf all: [Self]) {
    let predicted = all.compactMap(\.predictedSeconds)
    self.init(
      seconds: all.reduce(0) { $0 + $1.seconds },
      predictedSeconds: predicted.isEmpty ? nil : predicted.reduce(0, +),
      operations: all.reduce(0) { $0 + $1.operations }, byteCount: all.reduce(0) { $0 + $1.byteCount },
      shortestSeconds: all.reduce(0) { $0 + $1.shortestSeconds })
  }

  /// Parts with these shares, which are 1 together. Nothing is lost by rounding.
  func divided(by shares: [Double]) -> [Self] {
    var end = 0.0
    return shares.map { share in
      let begin = end
      end += share
      func part(of number: Int) -> Int {
        Int((Double(number) * end).rounded()) - Int((Double(number) * begin).rounded())
      }
      return Self(
        seconds: seconds * share, predictedSeconds: predictedSeconds.map { $0 * share },
        operations: part(of: operations),
        byteCount: part(of: byteCount), shortestSeconds: shortestSeconds * share)
    }
  }
}

extension Array where Element: Hashable {
  /// The first of those that are equal.
  var withoutRepetitions: [Element] {
    var known: Set<Element> = []
    return filter { known.insert($0).inserted }
  }
}
