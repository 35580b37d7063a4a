import CNNCore
import struct CNNRuntime.Workers
import CNNPictures

/// What is done to a picture before a model sees it, beside the normalisation of its pixels: it is resized, then its
/// middle is cut out. It travels in the model file.
public struct Preprocessing: Sendable, Equatable {
  /// The size that a picture is given first.
  public enum Resizing: Sendable, Equatable {
    /// The shorter side has this length, the longer one follows, rounded down.
    case shorterSide(Int)
    /// Exactly this size, whatever becomes of the picture's proportions.
    case exact(height: Int, width: Int)
  }

  /// The size of what is cut out.
  public struct Crop: Sendable, Equatable {
    /// Its height and width in pixels.
    public var height, width: Int

    /// A size.
    public init(height: Int, width: Int) { (self.height, self.width) = (height, width) }
  }

  /// How it is resized; nil leaves it as it is.
  public var resizing: Resizing?
  /// The middle that is cut out, with black borders where the picture is smaller; nil keeps all of it.
  public var crop: Crop?
  /// How the resized pixels are made of the old ones.
  public var interpolation: ResamplingFilter

  /// A description.
  public init(resizing: Resizing?, crop: Crop?, interpolation: ResamplingFilter = .bilinear) {
    (self.resizing, self.crop, self.interpolation) = (resizing, crop, interpolation)
  }

  /// Sides of pictures that are accepted here.
  private static let sides = 1...1 << 16

  /// The description for a network that reads `[height, width]`, nil being any size, published with the shorter side
  /// resized to `published.side` before `published.crop` pixels are cut out: the same ratio at other sizes.
  ///
  /// Where a network reads rectangles, the shorter side becomes as long as their longer one would have to be, so that a
  /// picture is never distorted and always fills the rectangle.
  init(height: Int?, width: Int?, published: (side: Int, crop: Int)?, interpolation: ResamplingFilter) {
    let (side, whole) = published ?? (1, 1)
    guard let height = height ?? width ?? published?.crop else {
      self.init(resizing: nil, crop: nil, interpolation: interpolation)
      return
    }
    let width = width ?? height
    let longer = max(height, width)
    let (scaled, overflow) = longer.multipliedReportingOverflow(by: side)
    self.init(
      resizing: .shorterSide(overflow ? longer : scaled / whole), crop: Crop(height: height, width: width),
      interpolation: interpolation)
  }

  /// The description for a network that reads `[height, width, ...]`, as the variant was published, where it is one.
  init(of variant: (any ModelFamily)?, _ shape: [Int?]) {
    self.init(
      height: shape[0], width: shape[1], published: variant.map { ($0.pictures.shorterSide, $0.resolution) },
      interpolation: variant?.pictures.interpolation ?? .bilinear)
    if variant?.pictures.isSquashed == true, let crop {
      (resizing, self.crop) = (.exact(height: crop.height, width: crop.width), nil)
    }
  }

  /// The picture as the model sees it.
  /// - Throws: `.invalidArgument` where the result would have too many pixels, `.outOfMemory`.
  func applied(to picture: Picture, threads: Int) throws(CNNError) -> Picture {
    let size = resizedSize(of: picture)
    let region = crop.map { PictureRegion(centeredIn: size, height: $0.height, width: $0.width) }
    return try picture.resized(
      height: size.height, width: size.width, region: region, filter: interpolation,
      workers: Workers(count: threads))
  }

  private func resizedSize(of picture: Picture) -> (height: Int, width: Int) {
    neededSize(height: picture.height, width: picture.width)
  }

  /// The size that a picture of this size has before its middle is cut out.
  func neededSize(height: Int, width: Int) -> (height: Int, width: Int) {
    switch resizing {
    case nil: return (height, width)
    case .exact(let height, let width): return (height, width)
    case .shorterSide(let side):
      let shorter = min(height, width), longer = max(height, width)
      let length = Int(Double(side * longer) / Double(shorter))
      return height <= width ? (side, length) : (length, side)
    }
  }
}

extension Picture {
  /// The picture resized and cut out.
  public func preprocessed(by preprocessing: Preprocessing) throws(CNNError) -> Picture {
    try preprocessing.applied(to: self, threads: Threads.count)
  }
}

// MARK: - As JSON

extension Preprocessing: Configurable {
  /// Reads an object with "resize", "crop" and "interpolation", as `include/swiftcnn.h` lists them.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init(resizing: nil, crop: nil)
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) { try visit(&options, among: Self.keys) }

  /// Visits those of the options that have these keys.
  mutating func visit(_ options: inout OptionReader, among keys: [String]) throws(CNNError) {
    let usual = json
    let documentation = [
      "resize": "The length that the shorter side is resized to before the middle is cut out, or [height, width]; "
        + "null: not at all, or in a folder so that the picture just fills the size.",
      "crop": "The size of the middle that is cut out; null: all is kept.",
      "interpolation": "How resized pixels are made of the old ones.",
    ]
    var given = JSONObject()
    for key in keys {
      let isWord = key == "interpolation"
      given[key] = options.raw(
        key, isWord ? "choice" : "size", default: usual[key] ?? .null,
        among: isWord ? ResamplingFilter.allCases.map(\.rawValue) : [],
        in: isWord ? .any : .within(Double(Self.sides.lowerBound)...Double(Self.sides.upperBound)),
        documentation[key] ?? "")
    }
    self = try replacing(given)
  }

  /// The keys of its members.
  static let keys = ["resize", "crop", "interpolation"]

  /// The description with the members that `json` has in place of its own.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  func replacing(_ json: JSONObject) throws(CNNError) -> Preprocessing {
    var result = self
    if let value = json["resize"] {
      if let side = value.integerValue {
        result.resizing = .shorterSide(try Self.checked(side, "resize"))
      } else {
        result.resizing = try Self.size(value, "resize").map { .exact(height: $0.height, width: $0.width) }
      }
    }
    if let value = json["crop"] {
      if let side = value.integerValue {
        result.crop = Crop(height: try Self.checked(side, "crop"), width: side)
      } else {
        result.crop = try Self.size(value, "crop")
      }
    }
    if let value = json["interpolation"], value != .null {
      let names = ResamplingFilter.allCases.map(\.rawValue)
      guard let name = value.stringValue else {
        throw CNNError(.invalidArgument, "'interpolation': expected one of \(names.joined(separator: ", "))")
      }
      guard let filter = ResamplingFilter(rawValue: name) else {
        throw unknownName("interpolation", name, among: names)
      }
      result.interpolation = filter
    }
    return result
  }

  private static func size(_ value: JSON, _ key: String) throws(CNNError) -> Crop? {
    if value == .null { return nil }
    guard let numbers = value.integersValue, numbers.count == 2 else {
      throw CNNError(.invalidArgument, "'\(key)': expected a number of pixels, [height, width] or null")
    }
    return Crop(height: try checked(numbers[0], key), width: try checked(numbers[1], key))
  }

  private static func checked(_ side: Int, _ key: String) throws(CNNError) -> Int {
    guard sides.contains(side) else {
      throw CNNError(
        .invalidArgument, "'\(key)' is \(side); expected \(sides.lowerBound) to \(sides.upperBound) pixels")
    }
    return side
  }

  /// What `replacing` reads.
  var json: JSONObject {
    var result = JSONObject()
    result["resize"] =
      switch resizing {
      case nil: .null
      case .shorterSide(let side): .integer(Int64(side))
      case .exact(let height, let width): .integers([height, width])
      }
    result["crop"] = crop.map { .integers([$0.height, $0.width]) } ?? .null
    result["interpolation"] = .string(interpolation.rawValue)
    return result
  }
}
