import Foundation
import SwiftCNN

extension URL {
  /// The path of a file on this machine.
  /// - Throws: `.invalidArgument` for any other URL.
  fileprivate func filePath() throws(CNNError) -> String {
    guard isFileURL else { throw CNNError(.invalidArgument, "'\(absoluteString)' is no file; expected a file URL") }
    return path
  }
}

extension Model {
  /// Reads a model file.
  /// - Throws: as with a path; `.invalidArgument` for a URL of something else than a file, as everywhere here.
  public convenience init(contentsOf url: URL) throws(CNNError) { try self.init(contentsOf: url.filePath()) }

  /// Writes the model to one file, whole or not at all.
  /// - Throws: as with a path.
  public func write(to url: URL, includingTrainingState: Bool = false, precision: Precision = .float32)
    throws(CNNError)
  {
    try write(to: url.filePath(), includingTrainingState: includingTrainingState, precision: precision)
  }

  /// Replaces the parameters by those of a file.
  /// - Throws: as with a path.
  @discardableResult
  public func loadWeights(from url: URL, strict: Bool = true) throws(CNNError) -> WeightsReport {
    try loadWeights(from: url.filePath(), strict: strict)
  }

  /// Writes the parameters alone, whole or not at all.
  /// - Throws: as with a path.
  public func writeWeights(to url: URL, naming: WeightNaming = .native, precision: Precision = .float32)
    throws(CNNError)
  {
    try writeWeights(to: url.filePath(), naming: naming, precision: precision)
  }

  /// The most probable classes of a picture file, most probable first.
  /// - Throws: as with a path.
  public func classify(_ url: URL, top: Int = 5) throws(CNNError) -> [Classification] {
    try classify(url.filePath(), top: top)
  }
}

extension ImageFolder {
  /// Walks through the folder at `url`; no picture is read yet.
  /// - Throws: as with a path.
  public convenience init(_ url: URL, options: ImageFolderOptions = ImageFolderOptions()) throws(CNNError) {
    try self.init(url.filePath(), options: options)
  }
}

extension Picture {
  /// Reads a JPEG or PNG file.
  /// - Throws: as with a path.
  public init(contentsOf url: URL, as color: PictureColor = .rgb) throws(CNNError) {
    try self.init(contentsOf: url.filePath(), as: color)
  }

  /// Decodes a JPEG or PNG file in memory.
  /// - Throws: as of a file.
  public init(decoding data: Data, as color: PictureColor = .rgb) throws(CNNError) {
    let picture = data.withUnsafeBytes { bytes in
      Result { () throws(CNNError) in try Picture(decoding: bytes, as: color) }
    }
    self = try picture.get()
  }
}
