import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Pooling over windows, and over all of height and width.
  static let pools: [String: ImportedOperation] = [
    "MaxPool": { importer, node throws(CNNError) in try importer.pool(.max, &node) },
    "AveragePool": { importer, node throws(CNNError) in try importer.pool(.average, &node) },
    "GlobalMaxPool": { importer, node throws(CNNError) in try importer.globalPool(.max, &node) },
    "GlobalAveragePool": { importer, node throws(CNNError) in try importer.globalPool(.average, &node) },
  ]
}

extension GraphImporter {
  fileprivate mutating func pool(_ kind: PoolingKind, _ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let tensor = try node.tensor(0)
    var window = try ImportedWindow(&node, axes: rank(tensor) - 2)
    let roundsUp = try node.flag("ceil_mode", default: false)
    let countsPadding = kind == .average ? try node.flag("count_include_pad", default: false) : true
    node.pass("storage_order")
    var x = try image(tensor, "the input")
    let size = Array(graph.shape(of: x.value)[1...2])
    var isRounded = roundsUp ? try window.isChangedByRoundingUp(on: size) : false, counts = countsPadding && !isRounded
    if kind == .average && countsPadding && isRounded && window.padding != [0, 0, 0, 0] {
      // The file's own padding counts, what rounding up adds does not: the first becomes a part of the image.
      x = Traced(value: try add(ZeroPadding2D(window.padding), [x.value]), order: x.order)
      window.padding = try window.paddingOfRoundingUp(on: size)
      (isRounded, counts) = (false, false)
    }
    let operation = try Pooling2D(
      kind, window: window, padding: window.placed(on: Array(graph.shape(of: x.value)[1...2])), countsPadding: counts,
      roundsUp: isRounded)
    let y = Traced(value: try add(operation, [x.value]), order: Traced.image)
    return [.tensor(try row(y, like: tensor))]
  }

  fileprivate mutating func globalPool(_ kind: PoolingKind, _ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let tensor = try node.tensor(0), x = try image(tensor, "the input")
    let y = Traced(value: try add(GlobalPooling2D(kind, keepsAxes: true), [x.value]), order: Traced.image)
    return [.tensor(try row(y, like: tensor))]
  }
}

extension ImportedWindow {
  /// Whether there are more windows on an input of this height and width where those count too of which only a part lies
  /// in it; true where the size varies.
  fileprivate func isChangedByRoundingUp(on size: [Int?]) throws(CNNError) -> Bool {
    if automatic.hasPrefix("SAME") { return false }
    return size.contains(nil) ? true : try paddingOfRoundingUp(on: size) != [0, 0, 0, 0]
  }

  /// The padding that these windows need beside the window's own.
  fileprivate func paddingOfRoundingUp(on size: [Int?]) throws(CNNError) -> [Int] {
    guard let height = size[0], let width = size[1] else {
      throw CNNError(
        .invalidArgument, "ceil_mode with padding that counts (count_include_pad) of an input whose size varies")
    }
    var window = Window(kernel: kernel, stride: stride, dilation: dilation, padding: try placed(on: size))
    let whole = try window.placed(onHeight: height, width: width)
    window.roundsUp = true
    let rounded = try window.placed(onHeight: height, width: width)
    return [0, 0, rounded.bottom - whole.bottom, rounded.right - whole.right]
  }
}

extension Pooling2D {
  fileprivate init(
    _ kind: PoolingKind, window: ImportedWindow, padding: Padding, countsPadding: Bool, roundsUp: Bool
  ) throws(CNNError) {
    var attributes: Attributes = [
      "kind": .text(kind.rawValue), "kernel": .integers(window.kernel), "stride": .integers(window.stride),
      "dilation": .integers(window.dilation), "count_include_pad": .flag(countsPadding),
      "ceil_mode": .flag(roundsUp),
    ]
    switch padding {
    case .same: attributes["padding"] = .text("same")
    case .explicit(let top, let left, let bottom, let right):
      attributes["padding"] = .integers([top, left, bottom, right])
    }
    try self.init(&attributes)
  }
}
