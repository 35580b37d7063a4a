import CNNCore

extension ImageFolder {
  /// What a model reads a folder for.
  public enum Purpose: String, Sendable, CaseIterable {
    /// As the folder's options say.
    case training
    /// Each picture once, in the order of the files and without random changes.
    case evaluation
    /// As for evaluation, whatever targets the loss takes: the model need not be compiled.
    case classification
    /// As for evaluation, whatever the classes are.
    case prediction
  }

  /// The same pictures, each once, in the order of the files and without random changes.
  var inOrder: ImageFolder {
    var options = options
    if options.givesShares { options.labelMode = .categorical }
    (options.shuffles, options.dropsLast) = (false, false)
    (options.augmentation, options.mixing) = (.init(), .init())
    return ImageFolder(self, options: options)
  }

  /// The same pictures with these classes, which the folder's names are looked up among.
  /// - Parameter mayLack: whether the folder may have some of them only.
  /// - Throws: `.invalidArgument` with the names that differ.
  func arranged(as names: [String], mayLack: Bool) throws(CNNError) -> ImageFolder {
    if names == classNames { return self }
    var places: [String: Int] = [:]
    for (place, name) in names.enumerated() where places[name] == nil { places[name] = place }
    let unknown = classNames.filter { places[$0] == nil }, own = Set(classNames)
    let lacking = mayLack ? [] : names.filter { !own.contains($0) }
    guard unknown.isEmpty, lacking.isEmpty else {
      var faults: [String] = []
      if !unknown.isEmpty { faults.append("the folder has \(quoted(unknown)), which the model does not have") }
      if !lacking.isEmpty { faults.append("the model has \(quoted(lacking)), which the folder does not have") }
      throw CNNError(.invalidArgument, "the classes differ: " + faults.joined(separator: "; "))
    }
    let labels = classNames.map { Int32(truncatingIfNeeded: places[$0] ?? 0) }
    return ImageFolder(self, listing: listing.renumbered(labels, names))
  }

  /// Whether there is a folder for each class of ImageNet in its order: called by the numbers that WordNet has for them.
  fileprivate var isImageNet: Bool {
    classNames.count == ImageNet.classNames.count && classNames == classNames.sorted()
      && classNames.allSatisfy { name in
        name.utf8.count == 9 && name.utf8.first == UInt8(ascii: "n")
          && name.utf8.dropFirst().allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      }
  }
}

private func quoted(_ names: [String]) -> String {
  names.prefix(5).map { "'\($0)'" }.joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
}

extension Model {
  /// A folder as this model reads it: names decide which class a picture is of, not the order of the folders.
  ///
  /// A model without class names takes those of a folder that it is trained on, where it has as many classes; so does one
  /// with those of ImageNet that is trained on pictures of other classes.
  /// - Parameters:
  ///   - folder: the folder.
  ///   - purpose: for training the folder has all of the model's classes; for evaluation and classification it may lack
  ///     some.
  ///   - training: whose classes are meant where the model has no names.
  /// - Throws: `.invalidArgument` where the folder has other classes, or for training and evaluation the loss takes other
  ///   targets; `.invalidState` before `compile` for these two.
  public func folder(_ folder: ImageFolder, for purpose: ImageFolder.Purpose, like training: ImageFolder? = nil)
    throws(CNNError) -> ImageFolder
  {
    if purpose == .prediction { return folder.inOrder }
    if purpose != .classification { try checkTargets(of: folder) }
    if purpose == .training { takeClassNames(of: folder) }
    guard let names = classNames ?? training?.classNames else {
      return purpose == .training ? try taught(folder) : folder.inOrder
    }
    let isArranged = names == ImageNet.classNames && folder.isImageNet
    let arranged = isArranged ? folder : try folder.arranged(as: names, mayLack: purpose != .training)
    return purpose == .training ? try taught(arranged) : arranged.inOrder
  }

  /// A folder with the random changes that a teacher is asked of.
  private func taught(_ folder: ImageFolder) throws(CNNError) -> ImageFolder {
    guard let options = distillation?.options else { return folder }
    guard !options.keepsResults || !folder.options.mixing.isOn else {
      throw CNNError(
        .invalidArgument,
        "mixup and cutmix make new pictures in each batch, of which a teacher's cache has none; expected a folder without "
          + "them, or a distillation without a cache")
    }
    return ImageFolder(folder, augmentations: options.augmentations)
  }

  /// Names the classes as a folder does, where the model has as many classes and no names of its own for them.
  private func takeClassNames(of folder: ImageFolder) {
    lock.writing {
      guard lockedClassCount == folder.classNames.count else { return }
      let names = lockedClassNames ?? []
      let isOfOthers =
        names == ImageNet.classNames && !folder.isImageNet && Set(names).isDisjoint(with: folder.classNames)
      if names.isEmpty || isOfOthers { knownClasses = .chosen(folder.classNames) }
    }
  }

  /// Throws where the folder's targets are not what the loss takes.
  private func checkTargets(of folder: ImageFolder) throws(CNNError) {
    guard let settings = trainingSettings else {
      throw CNNError(.invalidState, "the model is not compiled; call compile first")
    }
    if folder.options.givesShares {
      guard settings.hasLabelTargets else { return }
      throw CNNError(
        .invalidArgument,
        "the folder gives a share for each class (\(option: "label_mode") categorical, mixup, cutmix or \(option: "label_smoothing")), and "
          + "sparse_categorical_crossentropy takes numbers of classes; expected categorical_crossentropy")
    }
    let isBinary = folder.options.labelMode == .binary
    guard settings.hasLabelTargets == isBinary else { return }
    if isBinary {
      throw CNNError(
        .invalidArgument,
        "the folder gives yes or no (label_mode binary), and sparse_categorical_crossentropy takes numbers of classes; "
          + "expected binary_crossentropy")
    }
    throw CNNError(
      .invalidArgument,
      "the folder gives numbers of classes, and \(settings.customLoss?.title ?? settings.loss.rawValue) takes a share "
        + "for each class; expected sparse_categorical_crossentropy, or a folder with label_mode categorical")
  }
}
