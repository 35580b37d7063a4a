import CNNCore
import struct CNNRuntime.Workers
import CNNPictures

extension Picture {
  /// The picture changed by an operation.
  /// - Parameters:
  ///   - operation: what is done.
  ///   - amount: as the operation says; some have none.
  ///   - isBilinear: whether moved and turned pixels are interpolated, not the nearest.
  /// - Throws: `.invalidArgument` for an amount that the operation does not take, or a picture with alpha.
  public func adjusted(by operation: PictureOperation, amount: Double = 0, isBilinear: Bool = false) throws(CNNError)
    -> Picture
  {
    try operation.applied(to: self, amount: amount, isBilinear: isBilinear, workers: Workers(count: Threads.count))
  }

  /// The picture changed by the operation of this name, with the options that `include/swiftcnn.h` lists for
  /// `scnn_picture_adjust`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the operation or the key.
  package func adjusted(by name: String, options: JSONObject) throws(CNNError) -> Picture {
    guard let operation = PictureOperation(rawValue: name) else {
      throw unknownName("operation", name, among: PictureOperation.allCases.map(\.rawValue))
    }
    var amount = 0.0, isBilinear = false
    try OptionReader.read(options) { (options) throws(CNNError) in
      try options.number("amount", &amount, "How much, as the operation says.")
      try options.isBilinear(&isBilinear)
    }
    return try adjusted(by: operation, amount: amount, isBilinear: isBilinear)
  }
}
