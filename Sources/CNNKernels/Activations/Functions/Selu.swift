/// `elu` with the two constants that keep mean 0 and variance 1 from layer to layer (Klambauer et al. 2017)
struct Selu: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 2e-7)
  static let gradientBound = ActivationBound(relative: 2e-7)

  private static let scale: Float = 1.050_700_987_355_480_5
  private static let elu = Elu(alpha: 1.673_263_242_354_377_3)

  @inline(__always) func value(_ x: Vector) -> Vector { Self.elu.value(x) * Self.scale }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { Self.elu.gradient(x, dy) * Self.scale }
}
