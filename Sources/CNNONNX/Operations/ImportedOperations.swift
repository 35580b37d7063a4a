import CNNCore
import CNNGraph

/// Adds what a node of the file computes, and returns its results in their order.
typealias ImportedOperation = @Sendable (inout GraphImporter, inout ImportedNode) throws(CNNError) -> [Known]

/// The operations that are read, by the names that ONNX has for them.
public enum ImportedOperations {
  /// The names, sorted.
  public static var names: [String] { table.keys.sorted() }

  static let table: [String: ImportedOperation] = {
    var table: [String: ImportedOperation] = [:]
    let tables = [
      layers, transposed, pools, resizing, activations, arithmetic, masks, normalizations, reductions, shapes, parts,
      padding, constants, quantization,
    ]
    for part in tables { table.merge(part) { first, _ in first } }
    return table
  }()
}
