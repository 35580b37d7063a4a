import CNNCore
import CNNGraph

extension Model {
  /// What the model takes integers from `minimum` to `maximum` for: `.uint8` where they are pixels, which it normalises;
  /// `.float32`, as they stand, where it takes pixels as they are too.
  /// - Throws: `.invalidArgument` where they can be no pixels, and the model normalises those.
  public func elementType(ofIntegersFrom minimum: Int64, to maximum: Int64) throws(CNNError) -> ElementType {
    try lock.reading { () throws(CNNError) in try lockedElementType(minimum, maximum, "x") }
  }

  private func lockedElementType(_ minimum: Int64, _ maximum: Int64, _ role: String) throws(CNNError) -> ElementType {
    if pixelNormalization.isIdentity { return .float32 }
    guard minimum >= 0, maximum <= 255 else {
      throw CNNError(
        .invalidArgument,
        "\(role) holds integers from \(minimum) to \(maximum); integers are pixels, expected from 0 to 255: divide pixels "
          + "of 16 bits by 257, and give float32 where the numbers are to be taken as they stand")
    }
    return .uint8
  }

  /// Makes pixels of integers for an input that takes those, and float32 as they stand for another. The result keeps its
  /// memory alive. The caller has the model.
  func converted(_ x: Samples) throws(CNNError) -> Samples {
    var arrays: [TensorView] = []
    for (input, array) in zip(network.inputs, x.arrays) {
      if !network.takesPixels(input, channels: pixelNormalization.mean.count) {
        arrays.append(array.element == .float32 ? array : try array.converted(to: .float32))
      } else if array.element == .int32 {
        let (minimum, maximum) = array.int32Range
        let role = inputRole(input.name)
        arrays.append(try array.converted(to: lockedElementType(Int64(minimum), Int64(maximum), role)))
      } else {
        arrays.append(array)
      }
    }
    return Samples(arrays: arrays)
  }

  /// What predictions and evaluations compute with: `x` checked, converted, and looked at.
  func served(_ x: some ModelInput) throws(CNNError) -> Samples {
    let x = try converted(samples(x))
    for (input, array) in zip(network.inputs, x.arrays) {
      if let (given, sample) = judged(array, of: input) { compare(given, sample) }
    }
    return x
  }

  /// What training computes with, of samples that are checked: as `served`. The model remembers what it was trained on,
  /// of several images what the first is. The caller has it alone.
  func learned(_ x: Samples, _ state: TrainingState) throws(CNNError) -> Samples {
    let x = try converted(x)
    for (input, array) in zip(network.inputs, x.arrays) where input.name == network.pixelInput?.name {
      guard !state.judgedElements.contains(array.element), let (given, sample) = judged(array, of: input) else { break }
      state.judgedElements.insert(array.element)
      if compare(given, sample), trainedOn != nil { break }
      trainedOn = given
      distillation?.student.trainedOn = given
    }
    return x
  }

  /// What the numbers of images are; nil where that is not known, or the input is no pixels.
  private func judged(_ x: TensorView, of input: Input) -> (InputValues, InputSample?)? {
    guard x.shape.count == 4, x.shape[1] * x.shape[2] >= 16 else { return nil }
    guard network.takesPixels(input, channels: pixelNormalization.mean.count) else { return nil }
    // What it was trained on is known of the first image.
    guard trainedOn == nil || input.name == network.pixelInput?.name else { return nil }
    guard x.element == .float32 else { return (.pixels, nil) }
    let sample = InputSample(x, pixelNormalization)
    return InputValues(sample, pixelNormalization).map { ($0, sample) }
  }

  /// Keeps a warning where the model expects other numbers. Returns whether it does not.
  @discardableResult
  private func compare(_ given: InputValues, _ sample: InputSample?) -> Bool {
    let isExpected: Bool
    if let trainedOn {
      // Where pixels are taken as they are, other numbers than whole ones are those of resized pictures.
      isExpected = trainedOn.fits(given) || pixelNormalization.isIdentity && [trainedOn, given].contains(.floats)
    } else {
      isExpected = pixelNormalization.isIdentity || given != .unit && given != .bytes
    }
    if !isExpected {
      warnings.add(
        .init(given: given, trained: trainedOn, minimum: sample?.minimum ?? 0, maximum: sample?.maximum ?? 255))
    }
    return isExpected
  }

  /// What the model has noticed that may be a mistake: that its data looks like pixels that nobody normalised, or is other
  /// than what it was trained on; that a batch to train on leaves batch normalisation one value for each channel; that the
  /// weights are missing which its name promises; or that its teacher is no better. Each is told once; what the teacher has
  /// noticed, too.
  /// - Parameter read: called with the text; where it throws, the text can be asked for again.
  package func readWarning(_ read: (String) throws(CNNError) -> Void) throws(CNNError) {
    if let missingWeights, !warnings.hasToldOfWeights {
      try read(missingWeights)
      warnings.haveToldOfWeights()
    } else if let mismatch = warnings.next {
      try read(text(of: mismatch))
      warnings.clear()
    } else if warnings.layersWithSingleValues > 0 {
      let layers = warnings.layersWithSingleValues
      try read(
        "a batch of 1 sample leaves batch normalisation a single value for each channel in \(layers) "
          + "layer\(layers == 1 ? "" : "s"): what comes out of it there does not depend on the sample, and the running variance "
          + "takes up 0, as in Keras; choose another batch size, or leave out the last sample")
      warnings.clearSingleValues()
    } else if !warnings.ofTeacher.isEmpty {
      try read(warnings.ofTeacher)
      warnings.clearTeacher()
    } else if let distillation {
      try distillation.teacher.readWarning { (text) throws(CNNError) in
        try read(text.isEmpty ? "" : "the teacher '\(distillation.teacher.name)': \(text)")
      }
    } else {
      try read("")
    }
  }

  /// The same, once; nil where there is nothing.
  public func takeWarning() throws(CNNError) -> String? {
    var warning: String?
    try readWarning { (text) throws(CNNError) in warning = text.isEmpty ? nil : text }
    return warning
  }

  private func text(of mismatch: InputWarnings.Mismatch) -> String {
    let normalization = lock.reading { pixelNormalization }
    let lower = short(mismatch.minimum), upper = short(mismatch.maximum)
    let given =
      switch mismatch.given {
      case .pixels: "x is pixels"
      case .normalized: "x is normalised pixels"
      case .unit: "x looks like pixels divided by 255: float32 from \(lower) to \(upper)"
      case .bytes: "x looks like pixels that are not normalised: float32 from \(lower) to \(upper)"
      case .floats: "x is float32 from \(lower) to \(upper)"
      }
    let rule =
      normalization.isIdentity
      ? "pixels from 0 to 255 as they are"
      : "uint8 pixels, of which it makes (pixel / 255 - mean) / std with mean \(list(normalization.mean)) and std "
        + "\(list(normalization.deviation)), or float32 that this was done to, from \(short(normalization.range.lowerBound)) "
        + "to \(short(normalization.range.upperBound))"
    let isServed = mismatch.given == .pixels || mismatch.given == .normalized
    let remedy: String
    switch mismatch.trained {
    case nil, .pixels, .normalized:
      let reason = mismatch.trained == nil ? "the model takes" : "the model was trained on pixels, and takes"
      remedy = "\(reason) \(rule); float32 is taken as it stands"
    case .unit:
      remedy =
        "the model was trained on float32 from 0 to 1"
        + (isServed
          ? "; where that was pixels divided by 255, set the mean to 0 and std to 1, which makes pixels so" : "")
    case .bytes:
      remedy =
        "the model was trained on float32 that looked like pixels that are not normalised"
        + (isServed ? "; set the mean to 0 and std to 1 / 255, which leaves pixels as they are" : "")
    case .floats:
      remedy =
        "the model was trained on float32 as it stood"
        + (isServed
          ? ", and makes (pixel / 255 - mean) / std of pixels with mean \(list(normalization.mean)) and std "
            + "\(list(normalization.deviation)): set those that it was trained with" : "")
    }
    return "\(given); \(remedy)"
  }
}

/// A number with three digits after the point.
private func short(_ value: Float) -> String { short(Double(value)) }

private func short(_ value: Double) -> String {
  guard abs(value) < 1e6 else { return "\(value)" }
  let thousandths = Int((value * 1000).rounded())
  let digits = String(1000 + abs(thousandths) % 1000)
  var text = "\(thousandths < 0 ? "-" : "")\(abs(thousandths) / 1000).\(digits.dropFirst())"
  while text.hasSuffix("0") { text.removeLast() }
  if text.hasSuffix(".") { text.removeLast() }
  return text
}

private func list(_ values: [Double]) -> String { "[" + values.map(short).joined(separator: ", ") + "]" }
