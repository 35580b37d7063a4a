/// What a part of a training step is there for.
public enum TrainingRole: String, Sendable, CaseIterable {
  /// The prediction and its loss.
  case forward
  /// What was not kept from the forward pass and is computed again.
  case recomputation
  /// The gradient of what a layer reads of other layers. Where one pass gives those of the layer's weights too, as in batch
  /// normalisation, it is here.
  case inputGradient = "input_gradient"
  /// The gradient of a layer's weights.
  case weightGradient = "weight_gradient"
  /// What changes weights and statistics.
  case update
}
