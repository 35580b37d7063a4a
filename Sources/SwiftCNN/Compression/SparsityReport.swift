import CNNCore

/// How many weights of a model's layers are 0.
public struct SparsityReport: Sendable, Equatable, CustomStringConvertible {
  /// A convolution or dense layer.
  public struct Layer: Sendable, Equatable {
    /// Its name.
    public let name: String
    /// The shape of its weight, as OIHW or `[out, in]`.
    public let shape: [Int]
    /// How many weights it has, and how many of them are 0.
    public let count, zeroCount: Int
    /// How many blocks of 16 output channels of an input channel it has, and of how many all are 0.
    public let blockCount, zeroBlockCount: Int
    /// How many its mask leaves out; nil where it has none.
    public let maskedCount: Int?
    /// Why it stays as it is where nothing is said: `depthwise`, `first layer` or `last layer`; nil where it does not.
    public let usuallyLeftAlone: String?

    /// The share of its weights that are 0.
    public var sparsity: Double { count == 0 ? 0 : Double(zeroCount) / Double(count) }
    /// The share of its blocks that are 0.
    public var blockSparsity: Double { blockCount == 0 ? 0 : Double(zeroBlockCount) / Double(blockCount) }
  }

  /// The model's name.
  public let model: String
  /// Its convolutions and dense layers, in their order.
  public let layers: [Layer]

  /// How many weights all of them have, and how many of these are 0.
  public var count: Int { layers.reduce(0) { $0 + $1.count } }
  /// How many of their weights are 0.
  public var zeroCount: Int { layers.reduce(0) { $0 + $1.zeroCount } }
  /// The share of their weights that are 0.
  public var sparsity: Double { count == 0 ? 0 : Double(zeroCount) / Double(count) }

  /// The table.
  public var description: String { text }

  /// A table with a row for each layer.
  public var text: String {
    func percent(_ share: Double) -> String { "\(decimal(share * 100, 1)) %" }
    let head = ["weights", "zeros", "zero", "zero blocks", "mask", "shape", "layer"]
    let rows = layers.map { layer in
      [
        "\(layer.count)", "\(layer.zeroCount)", percent(layer.sparsity), percent(layer.blockSparsity),
        layer.maskedCount.map { "\($0)" } ?? "", describe(layer.shape),
        layer.name + (layer.usuallyLeftAlone.map { " (\($0))" } ?? ""),
      ]
    }
    let all = ["\(count)", "\(zeroCount)", percent(sparsity), "", "", "", "all"]
    return (["\(model): \(percent(sparsity)) of the weights are 0"] + aligned([head] + rows + [all], firstText: 5))
      .joined(separator: "\n")
  }

  /// The numbers as JSON.
  public var json: String {
    let rows = layers.map { layer in
      JSON.object(
        JSONObject([
          ("layer", .string(layer.name)), ("shape", .integers(layer.shape)), ("weights", .integer(Int64(layer.count))),
          ("zeros", .integer(Int64(layer.zeroCount))), ("sparsity", .number(layer.sparsity)),
          ("block_sparsity", .number(layer.blockSparsity)),
          ("masked", layer.maskedCount.map { .integer(Int64($0)) } ?? .null),
          ("left_alone", layer.usuallyLeftAlone.map { .string($0) } ?? .null),
        ]))
    }
    let object = JSONObject([
      ("model", .string(model)), ("weights", .integer(Int64(count))), ("zeros", .integer(Int64(zeroCount))),
      ("sparsity", .number(sparsity)), ("layers", .array(rows)),
    ])
    return (try? JSON.object(object).serialized()) ?? "{}"
  }

  /// One of the two: `text` or `json`.
  /// - Throws: `.unknownName` for another format.
  package func formatted(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return text
    case "json": return json
    default: throw unknownName("format", format, among: ["text", "json"])
    }
  }
}
