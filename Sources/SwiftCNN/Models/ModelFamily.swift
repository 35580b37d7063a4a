import CNNCore
import CNNGraph

/// A variant of a family of classifiers: a row in the family's table.
protocol ModelFamily: Sendable {
  /// The name it is asked for by.
  var name: String { get }
  /// The height and width of the images it was published for.
  var resolution: Int { get }
  /// Builds everything up to the last feature map `[N, H, W, C]`.
  func features(_ x: Value, _ builder: inout GraphBuilder, options: ModelOptions) throws(CNNError) -> Value
}

/// All models by name.
public enum ModelRegistry {
  static let variants: [any ModelFamily] = ResNet.variants

  /// The names that can be built, sorted.
  public static let names: [String] = variants.map(\.name).sorted()

  /// The names that match a pattern with `*` and `?`.
  public static func names(matching pattern: String) -> [String] { names.filter { Glob.matches($0, pattern) } }

  static func variant(_ name: String) throws(CNNError) -> any ModelFamily {
    guard let variant = variants.first(where: { $0.name == name }) else {
      throw unknownName("model", name, among: names)
    }
    return variant
  }

  /// Builds the network of that name.
  /// - Throws: `.unknownName` with the nearest name, or what does not fit in the options.
  static func graph(_ name: String, _ options: ModelOptions) throws(CNNError) -> Graph {
    let variant = try variant(name)
    try options.validate()
    var builder = GraphBuilder()
    let input = try builder.input(shape: options.inputShape ?? [variant.resolution, variant.resolution, 3])
    var x = try variant.features(input, &builder, options: options)
    guard options.includesTop else {
      if let pooling = options.pooling {
        x = try builder.apply(GlobalPooling2D(pooling == .average ? .average : .max), x, name: "avgpool")
      }
      try builder.graph.addOutput("features", x)
      return builder.graph
    }
    x = try builder.apply(GlobalPooling2D(.average), x, name: "avgpool")
    if let rate = options.dropout, rate > 0 {
      // Streams below this number belong to the blocks' stochastic depth.
      x = try builder.apply(Dropout(rate: rate, stream: 1 << 16), x, name: "dropout")
    }
    x = try builder.dense(x, "fc", units: options.classes)
    if let activation = options.classifierActivation {
      let operation: any Operation = activation == .softmax ? Softmax() : Activation(.sigmoid)
      x = try builder.apply(operation, x, name: "probabilities")
    }
    try builder.graph.addOutput(options.classifierActivation == nil ? "logits" : "probabilities", x)
    return builder.graph
  }
}

/// File-name patterns: `*` stands for any characters, `?` for one.
public enum Glob {
  /// Whether the whole of `name` matches `pattern`. Takes time proportional to the product of the lengths at most.
  public static func matches(_ name: String, _ pattern: String) -> Bool {
    let name = Array(name.utf8), pattern = Array(pattern.utf8)
    var (n, p) = (0, 0)
    var star: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        star = (p, n)
        p += 1
      } else if p < pattern.count, pattern[p] == UInt8(ascii: "?") || pattern[p] == name[n] {
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
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}
