import CNNCompiler
import CNNCore
import CNNGraph
import CNNPictures

extension Model {
  /// What is done to pictures before the model sees them; by default the rule that its builder was published with,
  /// carried over to the size of the model's input, and for other models as much of the middle as fills the input.
  public var preprocessing: Preprocessing { lock.reading { lockedPreprocessing } }

  var lockedPreprocessing: Preprocessing {
    if let chosenPreprocessing { return chosenPreprocessing }
    let shape = lockedInputShape, isImage = shape.count == 3
    let published = isImage && shape[2] == 3 ? ModelRegistry.publishedVariant(name) : nil
    return Preprocessing(of: published, isImage ? shape : [nil, nil])
  }

  /// Sets what is done to pictures.
  public func setPreprocessing(_ preprocessing: Preprocessing) {
    lock.writing { chosenPreprocessing = preprocessing }
  }

  /// What is done to pictures and their pixels: an object with "resize", "crop", "interpolation", "mean" and "std".
  package var preprocessingDescription: JSONObject {
    lock.reading {
      var result = lockedPreprocessing.json
      result["mean"] = .array(pixelNormalization.mean.map { .number($0) })
      result["std"] = .array(pixelNormalization.deviation.map { .number($0) })
      return result
    }
  }

  /// Replaces what is done to pictures, where the object has a member for it; the rest stays as it is.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key. The model is then unchanged.
  package func setPreprocessing(_ json: JSONObject) throws(CNNError) {
    for key in json.keys where !(Preprocessing.keys + ["mean", "std"]).contains(key) {
      throw unknownName("option", key, among: Preprocessing.keys + ["mean", "std"])
    }
    let new = try preprocessing.replacing(json)
    if json["mean"] != nil || json["std"] != nil {
      let old = normalization
      do throws(CNNError) {
        let (mean, deviation) = (try json.optionalNumbers("mean"), try json.optionalNumbers("std"))
        try setNormalization(mean: mean ?? old.mean, deviation: deviation ?? old.deviation)
      } catch { throw error.code == .malformedFile ? error.coded(.invalidArgument) : error }
    }
    setPreprocessing(new)
  }

  /// Takes what is given of the options of a new model.
  func setPictureOptions(preprocessing: JSONObject?, classNames: [String]?) throws(CNNError) {
    if let preprocessing {
      do throws(CNNError) { try setPreprocessing(preprocessing) } catch { throw error.prefixed("preprocessing") }
    }
    if let classNames { try setClassNames(classNames) }
  }

  /// The color that the model's pictures have.
  /// - Throws: `.shapeMismatch` where the model does not read pictures, `.invalidState` where it has several inputs.
  public func pictureColor() throws(CNNError) -> PictureColor {
    try requireOneInput(for: "reading pictures")
    let shape = inputShape
    guard shape.count == 3, let channels = shape[2] else {
      throw CNNError(
        .shapeMismatch, "the model reads \(describe(shape)) and no pictures; expected [height, width, channels]")
    }
    return try PictureColor(channels: channels)
  }

  /// A picture as the model reads it: in its number of channels, resized and cut out, uint8.
  /// - Throws: `.shapeMismatch` where the result is not of the size that the model reads.
  public func preprocess(_ picture: Picture) throws(CNNError) -> Picture {
    let converted = try picture.converted(to: pictureColor())
    let result = try preprocessing.applied(to: converted, threads: Threads.count)
    let shape = inputShape
    guard shape[0] ?? result.height == result.height, shape[1] ?? result.width == result.width else {
      throw CNNError(
        .shapeMismatch,
        "the preprocessing gives a picture of height \(result.height) and width \(result.width); the model reads "
          + "\(describe(Array(shape.prefix(2)))): set resize or crop")
    }
    return result
  }

  /// Reads a picture file as the model reads it.
  /// - Throws: as `Picture(contentsOf:)` and `preprocess(_:)`.
  public func preprocess(contentsOf path: String) throws(CNNError) -> Picture {
    try preprocess(Picture(contentsOf: path, as: pictureColor()))
  }
}
