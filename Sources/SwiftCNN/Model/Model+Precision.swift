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
  /// What predictions and evaluations compute in, and what training does: float32, or bfloat16 in those layers where there is
  /// an implementation that is no slower on this processor, as `layerPrecisions()` lists them. Inputs, outputs and parameters
  /// are float32, and what training keeps from step to step.
  public var precision: PrecisionPolicy { lock.reading { chosenPrecision } }

  /// Sets what predictions, evaluations and training compute in from now on. It goes with the model into copies and files; a
  /// run that is resumed in the same precision ends in the same bits as one that was not stopped.
  public func setPrecision(_ precision: PrecisionPolicy) { lock.writing { chosenPrecision = precision } }

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
      networkWithFlags, inputs: types, normalization: pixelNormalization, threads: Threads.count,
      precision: chosenPrecision.prediction)
  }
}
