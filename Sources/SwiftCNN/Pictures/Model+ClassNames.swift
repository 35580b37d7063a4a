import CNNCore
import CNNGraph

/// Where a model's class names come from.
enum ClassNames: Sendable, Equatable {
  /// ImageNet's, of a model that is built by name and has as many classes; else there are none.
  case byDefault
  /// There are none.
  case unknown
  /// These, one for each class.
  case chosen([String])
}

extension Model {
  /// The names of the classes in the order of the output; nil where the model has none.
  public var classNames: [String]? { lock.reading { lockedClassNames } }

  var lockedClassNames: [String]? {
    switch knownClasses {
    case .unknown: nil
    case .chosen(let names): names
    case .byDefault:
      lockedClassCount == ImageNet.classNames.count && ModelRegistry.publishedVariant(name) != nil
        ? ImageNet.classNames : nil
    }
  }

  /// The number of classes: the length of the first output where it is one row for each sample.
  var lockedClassCount: Int? {
    let shape = network.shape(of: network.outputs[0].value)
    return shape.count == 2 ? shape[1] : nil
  }

  /// Names the classes; nil takes the names away.
  /// - Throws: `.invalidArgument` unless there is one for each class and none is empty or has a line break.
  public func setClassNames(_ names: [String]?) throws(CNNError) {
    try lock.writing { () throws(CNNError) in
      guard let names else {
        knownClasses = .unknown
        return
      }
      guard names.count == lockedClassCount else {
        let classes = lockedClassCount.map { "the model has \($0) classes" } ?? "the output is no row of classes"
        throw CNNError(.invalidArgument, "there are \(names.count) class names; \(classes)")
      }
      for (index, name) in names.enumerated() {
        // Texts of several names have one a line, and C's end with a NUL.
        guard !name.isEmpty, !name.utf8.contains(where: { $0 == 0 || $0 == 10 || $0 == 13 }) else {
          throw CNNError(
            .invalidArgument, "the name of class \(index) is empty or has a line break; expected one line of text")
        }
      }
      knownClasses = .chosen(names)
    }
  }
}
