import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Images of other sizes.
  static let resizing: [String: ImportedOperation] = [
    "Resize": { importer, node throws(CNNError) in try importer.resize(&node) },
    "Upsample": { importer, node throws(CNNError) in try importer.resize(&node, isUpsample: true) },
  ]
}

extension GraphImporter {
  fileprivate mutating func resize(_ node: inout ImportedNode, isUpsample: Bool = false) throws(CNNError) -> [Known] {
    let x = try node.tensor(0)
    // Before operator set 11 there are no rules to choose from.
    let isOld = isUpsample || version < 11
    let positions = try node.integers("axes").map { (given) throws(CNNError) in try axes(given, of: rank(x)) }
    let places = positions ?? Array(0..<rank(x))
    let template = try resizing(&node, isOld: isOld)
    let policy = try node.text("keep_aspect_ratio_policy", default: "stretch")
    let attribute = try node.numbers("scales")
    var scales = try node.optionalConstant(isOld ? 1 : 2, "the scales").map { (constant) throws(CNNError) in
      Array(try constant.numbers("the scales"))
    }
    if let attribute { scales = attribute }
    if scales?.isEmpty == true { scales = nil }
    var sizes: [Size]?
    if !isOld, let constant = try node.optionalConstant(3, "the sizes") {
      sizes = constant.count == 0 ? nil : try constant.sizes("the sizes")
    }
    var extents: [Resize.Extent?]
    switch (scales, sizes) {
    case (let scales?, nil):
      extents = scales.map { $0 == 1 ? nil : .scale(Double($0)) }
      guard policy == "stretch" || policy.isEmpty else {
        throw CNNError(.invalidArgument, "keep_aspect_ratio_policy is '\(policy)' beside scales")
      }
    case (nil, let sizes?): extents = try self.extents(of: x, places, sizes, policy: policy)
    default: throw CNNError(.malformedFile, "expected either scales or sizes")
    }
    guard extents.count == places.count else {
      throw CNNError(.malformedFile, "there are \(extents.count) scales or sizes for \(places.count) axes")
    }
    // What makes an axis smaller comes first: less is left to do.
    func growth(_ index: Int) -> Double {
      switch extents[index] {
      case .scale(let scale): scale
      case .size(let size): Double(size) / Double(self.sizes(x)[places[index]].known ?? 1)
      case nil: 1
      }
    }
    var y = x
    for index in extents.indices.sorted(by: { growth($0) < growth($1) }) {
      guard let extent = extents[index] else { continue }
      guard x.order[places[index]] != 0 else { throw mixesBatch("another size of the batch") }
      var resize = template.along(x.order[places[index]], to: extent)
      // What ONNX Runtime does where operator set 10 says no more than nearest.
      if version == 10 && !isUpsample && growth(index) < 1 { resize.nearest = .ceil }
      y = try applying(resize, y)
    }
    return [.tensor(y)]
  }

  /// The rules that a node asks for, of any axis.
  private func resizing(_ node: inout ImportedNode, isOld: Bool) throws(CNNError) -> Resize {
    var resize = Resize(axis: -1, to: .size(1))
    let mode = try node.text("mode", default: "nearest")
    switch mode {
    case "nearest": resize.interpolation = .nearest
    case "linear", "bilinear": resize.interpolation = .linear
    case "cubic": resize.interpolation = .cubic
    default: throw CNNError(.malformedFile, "mode is '\(mode)'; expected nearest, linear or cubic")
    }
    let rule = try node.text(
      "coordinate_transformation_mode", default: isOld ? "asymmetric" : CoordinateRule.halfPixel.rawValue)
    guard let coordinates = CoordinateRule(rawValue: rule) else {
      throw CNNError(
        .invalidArgument,
        "coordinate_transformation_mode is '\(rule)'; expected one of "
          + CoordinateRule.allCases.map(\.rawValue).joined(separator: ", "))
    }
    let rounding = try node.text("nearest_mode", default: isOld ? "floor" : "round_prefer_floor")
    guard let nearest = NearestRule(rawValue: rounding) else {
      throw CNNError(
        .malformedFile,
        "nearest_mode is '\(rounding)'; expected one of "
          + NearestRule.allCases.map(\.rawValue).joined(separator: ", "))
    }
    (resize.coordinates, resize.nearest) = (coordinates, nearest)
    resize.cubicCoefficient = try node.number("cubic_coeff_a", default: -0.75)
    resize.excludesOutside = try node.flag("exclude_outside", default: false)
    resize.antialiases = try node.flag("antialias", default: false)
    node.pass("extrapolation_value")  // Of tf_crop_and_resize alone.
    return resize
  }

  /// The sizes that are asked for; nil for axes that stay.
  private func extents(of x: Traced, _ places: [Int], _ sizes: [Size], policy: String) throws(CNNError)
    -> [Resize.Extent?]
  {
    guard sizes.count == places.count else {
      throw CNNError(.malformedFile, "there are \(sizes.count) sizes for \(places.count) axes")
    }
    guard ["", "stretch"].contains(policy) else {
      throw CNNError(.invalidArgument, "keep_aspect_ratio_policy is '\(policy)'; expected stretch")
    }
    let present = self.sizes(x)
    var result: [Resize.Extent?] = []
    for (place, size) in zip(places, sizes) {
      if size == present[place] && size != .varying {
        result.append(nil)
      } else if x.order[place] == 0, let fixedBatch, size == .known(fixedBatch) {
        // A batch that is a number in the file is the batch.
        result.append(nil)
      } else if let known = size.known {
        result.append(.size(known))
      } else {
        throw CNNError(.invalidArgument, "the size of axis \(place) depends on the network's input, which is not fixed")
      }
    }
    return result
  }
}

extension Resize {
  /// The same rules along an axis.
  fileprivate func along(_ axis: Int, to extent: Extent) -> Resize {
    var result = Resize(axis: axis, to: extent)
    (result.interpolation, result.coordinates, result.nearest) = (interpolation, coordinates, nearest)
    (result.cubicCoefficient, result.excludesOutside, result.antialiases) = (
      cubicCoefficient, excludesOutside, antialiases
    )
    return result
  }
}
