/// The distances, in elements, of neighbours along each axis of a tensor.
public enum Strides {
  /// Those of a tensor of this shape whose last axis is contiguous and which has no gaps.
  public static func dense(_ shape: [Int]) -> [Int] {
    var strides = Array(repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    return strides
  }
}
