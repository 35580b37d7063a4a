import CNNCore
import CNNGraph

/// One of the feature maps `[N, height, width, channels]` that a model gives.
public struct FeatureMap: Sendable, Equatable {
  /// The output's name.
  public let name: String
  /// The number of channels.
  public let channels: Int
  /// How many pixels of the image's height and width one of its own stands for, as 32.
  public let reduction: Int
}

extension Model {
  /// The outputs that are feature maps, in their order: of a model with `featuresOnly` all of them.
  public var featureMaps: [FeatureMap] {
    let network = lock.reading { self.network }
    guard let input = network.inputs.first, network.shape(of: input.value).count == 4 else { return [] }
    // At a size at which every division leaves no rest, where the network takes such.
    let own = network.type(of: input.value)
    let large = try? TensorType(own.element, [1, 1 << 10, 1 << 10, own.shape[3]])
    let graph = large.flatMap { try? network.rebound([input.name: $0]) } ?? network
    let height = graph.type(of: graph.inputs[0].value).shape[1]
    return graph.outputs.compactMap { output in
      let shape = graph.type(of: output.value).shape
      guard shape.count == 4, shape[1] > 0 else { return nil }
      return FeatureMap(name: output.name, channels: shape[3], reduction: max(1, (height + shape[1] / 2) / shape[1]))
    }
  }

  /// The feature maps as a list of objects with `name`, `channels` and `reduction`.
  package var featureMapsDescription: JSON {
    .array(
      featureMaps.map { map in
        var object = JSONObject()
        object["name"] = .string(map.name)
        object["channels"] = .integer(Int64(map.channels))
        object["reduction"] = .integer(Int64(map.reduction))
        return .object(object)
      })
  }
}
