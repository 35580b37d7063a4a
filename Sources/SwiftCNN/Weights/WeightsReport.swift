import CNNCore
import CNNGraph

/// What a file of weights had for a network, and what not.
public struct WeightsReport: Sendable, Equatable {
  /// The file.
  public let path: String
  /// By whose conventions it names its tensors.
  public let naming: WeightNaming
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

  /// Whether every parameter but those of a classifier for other classes was found, and nothing else.
  public var isComplete: Bool { missing.isEmpty && leftOver.isEmpty && misshapen.isEmpty }

  /// What does not fit, in a sentence; empty where everything does.
  public var faults: String {
    let groups = [("missing", missing), ("left over", leftOver), ("misshapen", misshapen)].filter { !$0.1.isEmpty }
    return groups.map { what, names in
      "\(names.count) \(what): \(names.prefix(20).joined(separator: ", "))\(names.count > 20 ? ", ..." : "")"
    }.joined(separator: "; ")
  }

  /// The report as JSON with the keys `path`, `naming`, `loaded`, `missing`, `left_over`, `misshapen`, `other_classes`.
  public var json: JSON {
    var object = JSONObject()
    object["path"] = .string(path)
    object["naming"] = .string(naming.rawValue)
    object["loaded"] = .integer(Int64(loaded))
    for (key, names) in [("missing", missing), ("left_over", leftOver), ("misshapen", misshapen)] {
      object[key] = .array(names.map { .string($0) })
    }
    object["other_classes"] = otherClasses.map { .integer(Int64($0)) } ?? .null
    return .object(object)
  }
}
