import CNNCore
import CNNGraph

/// How the tensors of a file were told to belong to parameters.
public enum WeightsMatching: String, Sendable {
  /// By their names.
  case name
  /// By their order, each of the same role and shape, where a file has no names that say more.
  case order
}

/// What a file of weights had for a network, and what not.
public struct WeightsReport: Sendable, Equatable {
  /// The file.
  public let path: String
  /// By whose conventions it names its tensors.
  public internal(set) var naming: WeightNaming
  /// How its tensors were told to belong to parameters.
  public internal(set) var matchedBy = WeightsMatching.name
  /// Where in a checkpoint the tensors lie, as `state_dict_ema` or `ema/module`; empty where they are all there is.
  public internal(set) var source = ""
  /// What stands in the file before the names of all that was taken, as `module.`.
  public internal(set) var prefix = ""
  /// How many parameters took their values from the file.
  public internal(set) var loaded = 0
  /// Parameters, by the file's names for them, that it does not have.
  public internal(set) var missing: [String] = []
  /// Tensors of the file that the network has no place for.
  public internal(set) var leftOver: [String] = []
  /// Parameters that have another shape in the file, as `fc.weight [1000, 512] instead of [10, 512]`.
  public internal(set) var misshapen: [String] = []
  /// How many classes the file's classifier has, where that is another number than the network's: its classifier then kept
  /// the values it had.
  public internal(set) var otherClasses: Int?

  /// Tensors beside those with the prefix, which are of something else, as a loss's weights or `n_averaged`.
  public internal(set) var passedOver: [String] = []
  /// First convolutions that were made for another number of channels, as `conv1.weight [64, 3, 7, 7] as [64, 1, 7, 7]`.
  public internal(set) var converted: [String] = []

  /// Whether every parameter but those of a classifier for other classes was found, and nothing else.
  public var isComplete: Bool { missing.isEmpty && leftOver.isEmpty && misshapen.isEmpty }

  /// What does not fit, in a sentence; empty where everything does.
  public var faults: String {
    let groups = [("missing", missing), ("left over", leftOver), ("misshapen", misshapen)].filter { !$0.1.isEmpty }
    return groups.map { what, names in
      "\(names.count) \(what): \(names.prefix(20).joined(separator: ", "))\(names.count > 20 ? ", ..." : "")"
    }.joined(separator: "; ")
  }

  /// The report as JSON with the keys `path`, `naming`, `loaded`, `missing`, `left_over`, `misshapen`, `other_classes`,
  /// `matched_by`, `source`, `prefix`, `passed_over`, `converted`.
  package var json: JSON {
    var object = JSONObject()
    object["path"] = .string(path)
    object["naming"] = .string(naming.rawValue)
    object["loaded"] = .integer(Int64(loaded))
    object["matched_by"] = .string(matchedBy.rawValue)
    object["source"] = .string(source)
    object["prefix"] = .string(prefix)
    for (key, names) in [
      ("missing", missing), ("left_over", leftOver), ("misshapen", misshapen), ("passed_over", passedOver),
      ("converted", converted),
    ] {
      object[key] = .array(names.map { .string($0) })
    }
    object["other_classes"] = otherClasses.map { .integer(Int64($0)) } ?? .null
    return .object(object)
  }
}
