import CNNCore
import CNNGraph

/// What a model is given: a tensor, or for a model with several inputs an array of tensors in the order of
/// `Model.inputNames`, or a dictionary by these names. An array of numbers is one tensor.
///
///     try model.predict(images)
///     try model.predict([images, numbers])
///     try model.predict(["image": images, "numbers": numbers])
public protocol ModelInput {
  /// The tensors in the order of the model's inputs, which have these names.
  /// - Throws: `.invalidArgument` where there are more or fewer, `.unknownName` with the nearest name.
  func arrays(for names: [String]) throws(CNNError) -> [TensorView]
}

extension TensorView: ModelInput {
  /// The tensor alone, of a model with one input.
  public func arrays(for names: [String]) throws(CNNError) -> [TensorView] { try [self].arrays(for: names) }
}

extension Tensor: ModelInput {
  /// The tensor alone, of a model with one input.
  public func arrays(for names: [String]) throws(CNNError) -> [TensorView] { try [view].arrays(for: names) }
}

extension Array: ModelInput where Element: TensorElement {
  /// The tensors as they are, where there are as many as inputs; numbers are one.
  public func arrays(for names: [String]) throws(CNNError) -> [TensorView] {
    try Element.tensors(of: self).matched(names)
  }
}

extension [TensorView] {
  /// The tensors, where there are as many as names.
  fileprivate func matched(_ names: [String]) throws(CNNError) -> [TensorView] {
    guard count == names.count else {
      throw CNNError(.invalidArgument, "x is \(counted(count, "array")); the model has \(listed(names))")
    }
    return self
  }
}

extension Dictionary: ModelInput where Key == String, Value: TensorConvertible {
  /// The tensor of each name.
  public func arrays(for names: [String]) throws(CNNError) -> [TensorView] {
    for name in keys.sorted() where !names.contains(name) { throw unknownName("input", name, among: names) }
    var result: [TensorView] = []
    for name in names {
      guard let tensor = self[name] else {
        throw CNNError(.invalidArgument, "x has no array for the input '\(name)'; the model has \(listed(names))")
      }
      result.append(try tensor.view)
    }
    return result
  }
}

/// The inputs of these names, as a sentence has them.
func listed(_ names: [String]) -> String {
  "\(counted(names.count, "input")): " + names.map { "'\($0)'" }.joined(separator: ", ")
}

private func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }

/// An array for each input of a network, in the network's order, all with the same number of samples.
struct Samples: Sendable {
  let arrays: [TensorView]

  /// The number of samples.
  var count: Int { arrays.first?.sampleCount ?? 0 }

  /// The samples in `range`.
  subscript(range: Range<Int>) -> Samples { Samples(arrays: arrays.map { $0.samples(range) }) }

  /// Where each array begins.
  var bases: [UnsafeRawPointer] { arrays.map(\.base) }

  /// The types, with sizes checked.
  func types() throws(CNNError) -> [TensorType] {
    var types: [TensorType] = []
    for array in arrays { types.append(try array.validated("x")) }
    return types
  }

  /// Throws where each input has but one number, again and again: ranges that are found of such samples are no others'.
  /// - Throws: `.invalidArgument` naming the argument that they were.
  func requireVariety(_ argument: String) throws(CNNError) {
    let only = arrays.compactMap(\.onlyNumber)
    guard let number = only.first, only.count == arrays.count else { return }
    throw CNNError(
      .invalidArgument,
      "\(argument) is constant: every number is \(number); expected images like those that will come")
  }

  /// Throws where a number is infinite or none: what is measured on such samples says nothing.
  /// - Throws: `.invalidArgument` naming the input.
  func requireFinite(_ names: [String]) throws(CNNError) {
    for (array, name) in zip(arrays, names) where array.element == .float32 {
      let numbers = UnsafeBufferPointer(
        start: array.base.assumingMemoryBound(to: Float.self), count: array.shape.reduce(1, *))
      guard numbers.allSatisfy(\.isFinite) else {
        throw CNNError(.invalidArgument, "'\(name)' has infinite numbers, or none; expected finite numbers")
      }
    }
  }
}

extension Samples: ModelInput {
  /// The arrays as they are.
  func arrays(for names: [String]) throws(CNNError) -> [TensorView] { try arrays.matched(names) }
}

extension Model {
  /// The names of the model's inputs, in their order.
  public var inputNames: [String] { lock.reading { lockedInputNames } }

  var lockedInputNames: [String] { network.inputs.map(\.name) }

  /// The shapes of the model's inputs without the batch, as `[height, width, channels]`; nil where any size will do.
  public var inputShapes: [[Int?]] { lock.reading { lockedInputShapes } }

  /// Whether each of the inputs may be given as uint8 pixels, which are normalised: images `[N, H, W, C]` with as many
  /// channels as mean and deviation have numbers; where there is one input, that one.
  public var pixelInputs: [Bool] {
    lock.reading { network.inputs.map { network.takesPixels($0, channels: pixelNormalization.mean.count) } }
  }

  var lockedInputShapes: [[Int?]] { network.inputs.map { Array(network.shape(of: $0.value).dropFirst()) } }

  /// What the model is given as its network reads it, checked.
  /// - Throws: `.shapeMismatch` or `.invalidArgument` naming what does not fit.
  func samples(_ x: some ModelInput) throws(CNNError) -> Samples {
    let names = lockedInputNames, shapes = lockedInputShapes
    let arrays = try x.arrays(for: names)
    for (index, array) in arrays.enumerated() {
      try check(array, of: index, shapes[index], inputRole(names[index]))
    }
    for (array, name) in zip(arrays, names) where array.sampleCount != arrays[0].sampleCount {
      throw CNNError(
        .shapeMismatch,
        "the input '\(names[0])' has \(arrays[0].sampleCount) samples and '\(name)' \(array.sampleCount); expected as "
          + "many of each")
    }
    return Samples(arrays: arrays)
  }

  /// What an input is called where it does not fit.
  func inputRole(_ name: String) -> String { network.inputs.count == 1 ? "x" : "the input '\(name)'" }

  private func check(_ array: TensorView, of index: Int, _ expected: [Int?], _ role: String) throws(CNNError) {
    func fits(_ shape: [Int]) -> Bool {
      shape.count == expected.count && zip(shape, expected).allSatisfy { $1 == nil || $0 == $1 }
    }
    guard !array.shape.isEmpty, fits(array.sampleShape) else {
      let hint = fits(array.shape) ? "; add the batch axis" : ""
      let wanted = (["N"] + expected.map { $0.map(String.init) ?? "any" }).joined(separator: ", ")
      throw CNNError(.shapeMismatch, "\(role) has shape \(describe(array.shape)); expected [\(wanted)]\(hint)")
    }
    _ = try array.validated(role)
    let input = network.inputs[index], channels = pixelNormalization.mean.count
    guard array.element == .float32 || array.shape.count != 4 || network.takesPixels(input, channels: channels) else {
      throw CNNError(
        .shapeMismatch,
        "\(role) has element type \(array.element); expected float32: pixels are images of \(channels) channels, as mean "
          + "and \(option: "std", swift: "deviation") are")
    }
  }

  /// Throws where the model has several inputs, for what is of pictures alone.
  func requireOneInput(for what: String) throws(CNNError) {
    let names = inputNames
    guard names.count == 1 else {
      throw CNNError(.invalidState, "\(what) needs a model with one input; the model has \(listed(names))")
    }
  }
}
