import CNNCompiler
import CNNCore
import CNNGraph

/// What one layer of a prediction is computed in, or a step between layers, as a copy into another layout.
public struct LayerPrecision: Sendable, Equatable {
  /// The layer's name.
  public let layer: String
  /// The type of its numbers; `int8` for the levels of a quantised model.
  public let element: ElementType
  /// The instructions that it is computed with, as `avx512`; `portable` where no code is generated for it.
  public let instruction: String
  /// Why it is not the model's precision; empty where it is.
  public let reason: String

  /// The layer as JSON.
  package var json: JSON {
    [
      "layer": .string(layer), "dtype": .string(element.rawValue), "instruction": .string(instruction),
      "reason": .string(reason),
    ]
  }
}

extension Model {
  /// What predictions and evaluations compute in: float32, or bfloat16 in those layers where there is an implementation
  /// that is no slower on this processor, as `layerPrecisions()` lists them. Inputs, outputs and parameters are float32,
  /// and so is training: what a training step computes does not depend on it.
  public var precision: Precision { lock.reading { chosenPrecision } }

  /// Sets what predictions and evaluations compute in. It goes with the model into copies and files.
  public func setPrecision(_ precision: Precision) { lock.writing { chosenPrecision = precision } }

  /// What each layer of a prediction is computed in, in the order in which they run, for one sample of the size that the
  /// network was built with. A layer that only gives another shape to its input is not computed.
  /// - Throws: `.outOfMemory`.
  public func layerPrecisions() throws(CNNError) -> [LayerPrecision] {
    try lock.reading { () throws(CNNError) in
      let plan = try planForOne()
      return zip(try Compiler.layers(of: plan, network: network), plan.stepCosts).flatMap { names, step in
        let cost = step.cost
        return names.map { name in
          LayerPrecision(
            layer: name, element: cost.element, instruction: cost.instruction,
            reason: cost.isOfIntegers ? "it is quantised" : cost.reason)
        }
      }
    }
  }

  /// The plan of a prediction of one sample of the size that the network was built with. The caller has the model.
  func planForOne() throws(CNNError) -> Plan {
    var types: [TensorType] = []
    for input in network.inputs {
      types.append(try TensorType(.float32, [1] + network.type(of: input.value).shape.dropFirst()))
    }
    return try Compiler.inferencePlan(
      network, inputs: types, normalization: pixelNormalization, threads: Threads.count, precision: chosenPrecision)
  }
}
