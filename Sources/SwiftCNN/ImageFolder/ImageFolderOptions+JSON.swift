import CNNCore
import CNNPictures

extension ImageFolderOptions {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_image_folder_open`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json) { (options) throws(CNNError) in
      if let size = try options.size("size") { (height, width) = size }
      channels = try options.integer("channels", channels)
      batchSize = try options.integer("batch_size", batchSize)
      dropsLast = try options.flag("drop_last", false)
      shuffles = try options.flag("shuffle", true)
      seed = try options.seed("seed")
      let geometry = try Preprocessing(
        json: options.members(named: ["resize", "interpolation"]))
      (resizing, interpolation) = (geometry.resizing, geometry.interpolation)
      try readAugmentation(&options)
      mixing = BatchMixing(mixup: try options.number("mixup", 0), cutmix: try options.number("cutmix", 0))
      labelSmoothing = try options.number("label_smoothing", 0)
      labelMode = try options.choice("label_mode", of: LabelMode.self)
      classNames = try options.take("class_names", JSONObject.optionalStrings)
      validationSplit = try options.number("validation_split", 0)
      subset = try options.choice("subset", of: Subset.self) ?? .training
      corruptFiles = try options.choice("corrupt", of: CorruptFiles.self) ?? .skip
      threads = try options.take("threads", JSONObject.optionalInteger)
      prefetch = try options.integer("prefetch", prefetch)
      decodesReduced = try options.flag("reduced_decoding", false)
    }
    try validate()
  }

  private mutating func readAugmentation(_ options: inout OptionReader) throws(CNNError) {
    try options.part("random_resized_crop") { (part) throws(CNNError) in
      let usual = RandomResizedCrop()
      augmentation.crop = RandomResizedCrop(
        scale: try part.range("scale", usual.scale, of: "random_resized_crop"),
        ratio: try part.range("ratio", usual.ratio, of: "random_resized_crop"))
    }
    augmentation.mirroring = try options.probability("horizontal_flip")
    try options.part("color_jitter") { (part) throws(CNNError) in
      augmentation.jitter = ColorJitter(
        brightness: try part.number("brightness", 0), contrast: try part.number("contrast", 0),
        saturation: try part.number("saturation", 0), hue: try part.number("hue", 0))
    }
    try options.part("rand_augment") { (part) throws(CNNError) in
      let usual = RandAugment()
      augmentation.operations = RandAugment(
        operationCount: try part.integer("num_ops", usual.operationCount),
        magnitude: try part.integer("magnitude", usual.magnitude),
        isBilinear: try part.isBilinear())
    }
    try options.part("random_erasing") { (part) throws(CNNError) in
      let usual = RandomErasing()
      augmentation.erasing = RandomErasing(
        probability: try part.number("probability", usual.probability),
        scale: try part.range("scale", usual.scale, of: "random_erasing"),
        ratio: try part.range("ratio", usual.ratio, of: "random_erasing"),
        fill: try part.choice("fill", of: RandomErasing.Fill.self) ?? usual.fill)
    }
  }
}

/// How moved and turned pixels are made.
private enum PixelChoice: String, CaseIterable {
  case nearest, bilinear
}

extension OptionReader {
  /// Whether "interpolation" is bilinear, and not the nearest pixel.
  mutating func isBilinear() throws(CNNError) -> Bool {
    try choice("interpolation", of: PixelChoice.self) == .bilinear
  }

  /// The members of these names, to be read by somebody else.
  mutating func members(named names: [String]) throws(CNNError) -> JSONObject {
    var result = JSONObject()
    for name in names { result[name] = try take(name) { object in { key in object[key] } } }
    return result
  }

  /// A number of pixels or [height, width]; nil where the key is missing or null.
  mutating func size(_ key: String) throws(CNNError) -> (height: Int, width: Int)? {
    guard let value = try members(named: [key])[key], value != .null else { return nil }
    if let side = value.integerValue { return (side, side) }
    guard let sides = value.integersValue, sides.count == 2 else {
      throw CNNError(.invalidArgument, "'\(key)': expected a number of pixels or [height, width]")
    }
    return (sides[0], sides[1])
  }

  /// A probability, true for 1/2, or false, the default, for 0.
  mutating func probability(_ key: String) throws(CNNError) -> Double {
    let value = try members(named: [key])[key]
    if let flag = value?.boolValue { return flag ? 0.5 : 0 }
    return try number(key, 0)
  }

  /// Two numbers, the first not above the second.
  mutating func range(_ key: String, _ fallback: ClosedRange<Double>, of part: String) throws(CNNError)
    -> ClosedRange<Double>
  {
    guard let numbers = try take(key, JSONObject.optionalNumbers) else { return fallback }
    guard numbers.count == 2, numbers[0] <= numbers[1] else {
      throw CNNError(
        .invalidArgument, "'\(part): \(key)' is \(numbers); expected two numbers, the smaller one first")
    }
    return numbers[0]...numbers[1]
  }

  /// Reads an object of options with `body`; true stands for an empty one, and nothing is read where the key is missing,
  /// null or false.
  mutating func part(_ key: String, _ body: (inout OptionReader) throws(CNNError) -> Void) throws(CNNError) {
    guard let value = try members(named: [key])[key], value != .null, value.boolValue != false else { return }
    guard let object = value.boolValue == true ? JSONObject() : value.objectValue else {
      throw CNNError(.invalidArgument, "'\(key)': expected true, false or an object of options")
    }
    do throws(CNNError) { try Self.read(object, body) } catch { throw error.prefixed("'\(key)'") }
  }
}
