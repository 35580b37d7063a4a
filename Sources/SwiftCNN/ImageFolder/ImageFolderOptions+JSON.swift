import CNNCore
import CNNPictures

extension ImageFolderOptions: Configurable {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_image_folder_open`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.size(
      "size", swift: "height or width", &height, &width, in: .within(1...65536),
      "Height and width of the pictures in a batch, or one number for both.")
    try options.integer("channels", &channels, "3, or 1 for grey.")
    guard channels == 1 || channels == 3 else {
      throw CNNError(.invalidArgument, "channels is \(channels); expected 1 or 3")
    }
    try options.integer(
      "batch_size", &batchSize, in: .within(1...1_048_576),
      "The pictures in a batch; the last of an epoch may have fewer.")
    try options.flag("drop_last", &dropsLast, "Whether a last batch that is smaller is left out.")
    try options.flag("shuffle", &shuffles, "Whether the pictures come in another order in each epoch.")
    try options.seed(&seed, "Of all that is random.")
    var geometry = Preprocessing(resizing: resizing, crop: nil, interpolation: interpolation)
    try geometry.visit(&options, among: ["resize", "interpolation"])
    (resizing, interpolation) = (geometry.resizing, geometry.interpolation)
    try visitAugmentation(&options)
    try options.number(
      "mixup", swift: "mixing.mixup", &mixing.mixup, in: .within(0...1000),
      "The alpha of mixup (Zhang et al. 2017); 0 for none.")
    try options.number(
      "cutmix", swift: "mixing.cutmix", &mixing.cutmix, in: .within(0...1000),
      "The alpha of CutMix (Yun et al. 2019); 0 for none. With mixup too, each batch has one of the two.")
    try options.number(
      "label_smoothing", &labelSmoothing, in: .within(0...1),
      "The share of a target that is spread evenly over the classes.")
    try options.choice(
      "label_mode", &labelMode,
      "int for numbers of classes, categorical for a share of each class, or, of two classes, binary for one number, 1 "
        + "for the second; null: int, unless mixup, cutmix or label_smoothing need shares.")
    try options.texts(
      "class_names", &classNames,
      "The folders that are classes, in the order of their numbers, some of which may be empty; null: all, sorted.")
    try options.number(
      "validation_split", &validationSplit, in: .within(0..<1),
      "The share of the pictures, chosen by the seed, that is held back for validation.")
    try options.choice("subset", &subset, "Which of the two parts this is, where a share is held back.")
    try options.choice(
      "corrupt", &corruptFiles,
      "What is done about files, and folders within those of the classes, that cannot be read: they are passed over, "
        + "the places of files taken by the next of the epoch, or they are an error.")
    try options.integer(
      "threads", &threads, in: .within(0...1024),
      "How many threads read; 0: the one that asks; null: as many as compute.")
    try options.integer("prefetch", &prefetch, in: .within(1...1024), "How many batches are read ahead.")
    try options.flag(
      "reduced_decoding", &decodesReduced,
      "Whether large JPEG files are decoded at a half, quarter or eighth of their size where that is enough: faster, "
        + "with other bytes than Pillow's.")
    guard subset == .training || validationSplit > 0 else {
      throw CNNError(
        .invalidArgument, "subset is validation, but \(option: "validation_split") is 0; expected it above 0")
    }
    guard labelMode == nil || labelMode == .categorical || !needsShares else {
      throw CNNError(
        .invalidArgument,
        "\(option: "label_mode") is \(labelMode?.rawValue ?? "null"); expected categorical with mixup, cutmix or "
          + "\(option: "label_smoothing")")
    }
  }

  private mutating func visitAugmentation(_ options: inout OptionReader) throws(CNNError) {
    try options.part(
      "random_resized_crop", swift: "augmentation.crop", &augmentation.crop, usual: RandomResizedCrop(),
      "A random part in place of the middle (Szegedy et al. 2015)."
    ) { (crop, part) throws(CNNError) in
      try part.range("scale", &crop.scale, in: .within(1e-6...1), "The share of the area.")
      try part.range("ratio", &crop.ratio, in: .within(1e-3...1e3), "Width by height.")
    }
    try options.probability(
      "horizontal_flip", swift: "augmentation.mirroring", &augmentation.mirroring,
      "The probability that a picture is mirrored; true is 1/2.")
    try options.part(
      "color_jitter", swift: "augmentation.jitter", &augmentation.jitter, usual: ColorJitter(),
      "Changes of colour, in random order."
    ) { (jitter, part) throws(CNNError) in
      let changes = Domain.within(0...100)
      try part.number("brightness", &jitter.brightness, in: changes, "How far the brightness may be from 1.")
      try part.number("contrast", &jitter.contrast, in: changes, "How far the contrast may be from 1.")
      try part.number("saturation", &jitter.saturation, in: changes, "How far the saturation may be from 1.")
      try part.number("hue", &jitter.hue, in: .within(0...0.5), "How far the hue may be turned, of a whole turn.")
    }
    try options.part(
      "rand_augment", swift: "augmentation.operations", &augmentation.operations, usual: RandAugment(),
      "A few of 14 operations (Cubuk et al. 2019)."
    ) { (operations, part) throws(CNNError) in
      try part.integer(
        "num_ops", swift: "operationCount", &operations.operationCount, in: .within(1...100), "How many of them.")
      let magnitudes = Double(RandAugment.magnitudes.lowerBound)...Double(RandAugment.magnitudes.upperBound)
      try part.integer("magnitude", &operations.magnitude, in: .within(magnitudes), "Their strength.")
      try part.isBilinear(&operations.isBilinear)
    }
    try options.part(
      "random_erasing", swift: "augmentation.erasing", &augmentation.erasing, usual: RandomErasing(),
      "A rectangle painted over (Zhong et al. 2017)."
    ) { (erasing, part) throws(CNNError) in
      try part.number("probability", &erasing.probability, in: .within(0...1), "How often.")
      try part.range("scale", &erasing.scale, in: .within(1e-6...1), "The share of the area.")
      try part.range("ratio", &erasing.ratio, in: .within(1e-3...1e3), "Width by height.")
      try part.choice("fill", &erasing.fill, "What it is painted with.")
    }
  }
}

/// How moved and turned pixels are made.
private enum PixelChoice: String, CaseIterable {
  case nearest, bilinear
}

extension OptionReader {
  /// Whether "interpolation" is bilinear, and not the nearest pixel.
  mutating func isBilinear(_ value: inout Bool) throws(CNNError) {
    var choice = value ? PixelChoice.bilinear : .nearest
    try self.choice("interpolation", &choice, "How moved and turned pixels are made.")
    value = choice == .bilinear
  }
}
