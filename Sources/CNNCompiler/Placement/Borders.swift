import CNNCore
import CNNGraph

/// With which border of zeros values lie between steps: the border that a convolution by tiles needs is written by what makes
/// its image, which takes less time than a copy of the image.
extension Placement {
  /// The border with which what makes a value writes it, if it can, as convolutions by tiles and poolings do: as wide as any
  /// with which it is read, if all that read it take one.
  func storedBorder(of value: Value) -> BlockedTensor.Border { storedBorders[value.index] }

  /// Finds out for every value. A sum lies like the residual in it, so the values along a residual stream have one border.
  mutating func findStoredBorders() {
    guard storedElements.contains(.bfloat16) else { return }
    /// For each value the one with which its stream begins.
    var stream = Array(storedBorders.indices)
    for position in source.nodes.indices {
      guard let residual = fusions.byLastNode[position]?.residual else { continue }
      stream[source.nodes[position].results[0].index] = stream[residual.index]
    }
    var borders = [BlockedTensor.Border?](repeating: BlockedTensor.Border.none, count: stream.count)
    for (index, first) in stream.enumerated() {
      guard let border = borders[first], let own = readBorder(of: Value(index: index)) else {
        borders[first] = nil
        continue
      }
      borders[first] = border.union(own)
    }
    for (index, first) in stream.enumerated() { storedBorders[index] = borders[first] ?? BlockedTensor.Border.none }
  }

  /// As wide as any with which a value is read; nil where something reads it that takes none.
  private func readBorder(of value: Value) -> BlockedTensor.Border? {
    guard storedElement(of: value) == .bfloat16, !source.isKept(value) else { return nil }
    var widest = BlockedTensor.Border.none
    for node in readers(of: value) {
      let (reader, implementations) = reader(node)
      let borders = implementations.lazy.compactMap { $0.border(reading: value, of: reader, in: self) }
      guard let border = borders.first else { return nil }
      widest = widest.union(border)
    }
    return widest
  }

  /// The border with which a convolution by tiles reads a value: with which it lies in blocks of bfloat16, or is written so
  /// from those of float32. The way from rows into blocks gives none.
  func tileBorder(of value: Value) -> BlockedTensor.Border {
    let types = imageTypes(of: value).filter { $0.layout.border != nil }
    let rounded = types.first { $0.element == .bfloat16 }
    return rounded?.layout.border ?? (types.isEmpty ? .none : storedBorder(of: value))
  }
}
