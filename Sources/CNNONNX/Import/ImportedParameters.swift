import CNNGraph

/// The parameters that the constants of a file have become.
struct ImportedParameters {
  /// Values in one memory, in one layout.
  struct Key: Hashable {
    let floats: ObjectIdentifier
    let shape: [Int]
    let layout: String
  }

  var made: [Key: Value] = [:]
  var values: [String: ONNXFloats] = [:]
  /// What is computed of constants is not trained.
  var frozen: Set<String> = []
  /// Keeps the memory behind the keys, so that no other takes its place.
  var kept: [ObjectIdentifier: ONNXFloats] = [:]
}
