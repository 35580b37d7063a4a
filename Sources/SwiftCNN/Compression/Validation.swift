import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime
import X86Assembler

/// Samples and the classes that they are of, by which models are compared.
struct Validation {
  let x: Samples
  private let labels: [Int]

  /// Samples for a model of floats, checked. The caller has the model.
  /// - Parameter y: labels `[N]`, or numbers `[N, classes]` of which the largest counts.
  init(_ model: Model, _ x: some ModelInput, _ y: TensorView) throws(CNNError) {
    do throws(CNNError) {
      self.x = try model.served(x)
      try self.x.requireFinite(model.lockedInputNames)
    } catch {
      throw error.prefixed("validation")
    }
    let count = self.x.count
    guard count > 0 else { throw CNNError(.invalidArgument, "validation has no samples; expected one at least") }
    let shape = try model.lockedOutputShape(for: self.x)
    guard model.network.outputs.count == 1, shape.count == 2, shape[1] > 1 else {
      throw CNNError(
        .invalidState,
        "accuracy is of models that give a number for each of two classes or more; this one gives \(describe(shape))")
    }
    let classes = shape[1]
    labels = try Self.labels(y, count: count, classes: classes)
  }

  private static func labels(_ y: TensorView, count: Int, classes: Int) throws(CNNError) -> [Int] {
    let isList = y.shape == [count] || y.shape == [count, 1]
    switch y.element {
    case .int32 where isList, .uint8 where isList:
      let labels = (0..<count).map { index in
        y.element == .int32
          ? Int(y.base.assumingMemoryBound(to: Int32.self)[index])
          : Int(y.base.assumingMemoryBound(to: UInt8.self)[index])
      }
      if let index = labels.firstIndex(where: { !(0..<classes).contains($0) }) {
        throw CNNError(
          .invalidArgument, "validation: y[\(index)] is \(labels[index]); expected a class from 0 to \(classes - 1)")
      }
      return labels
    case .float32 where y.shape == [count, classes]:
      let scores = y.base.assumingMemoryBound(to: Float.self)
      return (0..<count).map { largest(UnsafeBufferPointer(start: scores + $0 * classes, count: classes)) }
    default:
      throw CNNError(
        .shapeMismatch,
        "validation: y is \(y.element.rawValue)\(describe(y.shape)); expected labels int32[\(count)] or "
          + "float32[\(count), \(classes)]")
    }
  }

  /// The index of the largest number, the first of several.
  private static func largest(_ numbers: UnsafeBufferPointer<Float>) -> Int {
    numbers.indices.reduce(0) { numbers[$1] > numbers[$0] ? $1 : $0 }
  }

  /// The share of the samples whose first class is right. The caller has the model.
  func accuracy(of model: Model) throws(CNNError) -> Double {
    Double(try areRight(model).count { $0 }) / Double(x.count)
  }

  /// Of each of the samples whether its first class is right. The caller has the model.
  func areRight(_ model: Model) throws(CNNError) -> [Bool] {
    let outputs = model.network.outputs.map(\.name), atOnce = min(x.count, try model.imagesPerPass(x))
    var interruption = Interruption(), right: [Bool] = []
    for start in stride(from: 0, to: x.count, by: atOnce) {
      try interruption.check()
      let range = start..<min(start + atOnce, x.count), batch = x[range]
      right += try model.withPredictionContext(batch, outputs) { (context) throws(CNNError) in
        try context.run(parameters: model.parameters, inputs: batch.bases)
        let scores = context.output(0), classes = scores.count / range.count
        return range.map { index in
          let row = (index - start) * classes
          return Self.largest(UnsafeBufferPointer(rebasing: scores[row..<row + classes])) == labels[index]
        }
      }
    }
    return right
  }
}

extension Rounding {
  /// How many images at least the order is found on in which layers return.
  private static let fewestImages = 32

  /// A model that is classified by as well as by `original` but for a drop: of the layers in the order of their harm, as many
  /// are left in floats as were found to be needed.
  ///
  /// How many is doubled until the accuracy holds, and then found by halving between a number with which it does and one with
  /// which it does not.
  mutating func recovered(
    _ rounded: Model, _ validation: Validation, of original: Model, maximumDrop: Double
  ) throws(CNNError) -> Model {
    let wanted = try validation.accuracy(of: original)
    var order: [String] = []
    /// The model with so many layers in floats, and whether it will do.
    func candidate(_ count: Int, _ rounding: inout Rounding) throws(CNNError) -> (model: Model, accuracy: Double) {
      let model = count == 0 ? rounded : try rounding.model(returning: Array(order.prefix(count)))
      // Floats may become those of 16 bits where these are faster.
      if count > 0, Processor.host.instructionSet.contains(.amxBF16), TilePermission.refusal == nil {
        model.chosenPrecision = .bfloat16
      }
      let accuracy = try validation.accuracy(of: model)
      if var record = model.knownQuantization {
        record.accuracy = .init(samples: validation.x.count, floats: wanted, integers: accuracy)
        model.setQuantization(record)
      }
      return (model, accuracy)
    }
    func holds(_ accuracy: Double) -> Bool { (wanted - accuracy) * 100 <= maximumDrop + 1e-9 }
    var best = try candidate(0, &self)
    if holds(best.accuracy) { return best.model }
    try measure(rounded, images: max(Self.fewestImages, options.reportSamples))
    order = try rounded.layersByHarm()
    var fails = 0, works = 1
    while true {
      guard works < order.count else {
        throw CNNError(
          .invalidArgument,
          "\(option: "max_drop", swift: "maximumDrop") is \(maximumDrop): of the validation samples \(percent(wanted)) "
            + "are classified right in floats, and \(percent(best.accuracy)) with \(fails) of \(order.count) layers in "
            + "floats; expected a drop that is reached with one layer in integers")
      }
      best = try candidate(works, &self)
      if holds(best.accuracy) { break }
      fails = works
      works = works == order.count - 1 ? order.count : min(2 * works, order.count - 1)
    }
    while works - fails > 1 {
      let middle = (fails + works) / 2, found = try candidate(middle, &self)
      if holds(found.accuracy) { (works, best) = (middle, found) } else { fails = middle }
    }
    return best.model
  }

  private func percent(_ share: Double) -> String { "\(decimal(share * 100, 2)) %" }
}

extension Model {
  /// The layers whose weights are rounded, the one with the largest share of the logits' error first; where shares are not
  /// known, in the order in which they run.
  fileprivate func layersByHarm() throws(CNNError) -> [String] {
    let noise = knownQuantization?.noise, layers = quantizedLayers
    var harms: [(layer: String, harm: Double)] = []
    for step in try outlineForOne() {
      for layer in step.layers where layers.contains(layer) { harms.append((layer, noise?.share(of: step) ?? 0)) }
    }
    return harms.sorted { $0.harm > $1.harm }.map(\.layer)
  }
}
