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
    var extra = [0, 0]
    if roundsUp && !window.automatic.hasPrefix("SAME") {
      extra = try window.extraPadding(on: Array(graph.shape(of: x.value)[1...2]))
    }
    if kind == .average && countsPadding && extra != [0, 0] && window.padding != [0, 0, 0, 0] {
      // The file's own padding counts, what rounding up adds does not: the first becomes a part of the image.
      x = Traced(value: try add(ZeroPadding2D(window.padding), [x.value]), order: x.order)
      window.padding = [0, 0, 0, 0]
    }
    let counts = countsPadding && extra == [0, 0]
    window.padding[2] += extra[0]
    window.padding[3] += extra[1]
    let operation = try Pooling2D(
      kind, window: window, padding: window.placed(on: Array(graph.shape(of: x.value)[1...2])), countsPadding: counts)
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
  /// The rows and columns at the bottom and right that make a window of which only a part lies in the image a whole one,
  /// as long as it begins in the image or the padding before it.
  fileprivate func extraPadding(on size: [Int?]) throws(CNNError) -> [Int] {
    var result = [0, 0]
    for axis in 0..<2 {
      guard let size = size[axis] else {
        throw CNNError(.invalidArgument, "ceil_mode of an input whose size varies")
      }
      let (before, after) = (padding[axis], padding[axis + 2])
      let reach = try Checked.sum([Checked.product([dilation[axis], kernel[axis] - 1], "window"), 1], "window")
      let room = size + before + after - reach
      guard room >= 0, stride[axis] >= 1 else { continue }  // The operation itself says what is wrong.
      var last = (room + stride[axis] - 1) / stride[axis]
      if last * stride[axis] >= size + before { last -= 1 }
      result[axis] = max(0, last * stride[axis] - room)
    }
    return result
  }
}

extension Pooling2D {
  fileprivate init(_ kind: PoolingKind, window: ImportedWindow, padding: Padding, countsPadding: Bool) throws(CNNError)
  {
    var attributes: Attributes = [
      "kind": .text(kind.rawValue), "kernel": .integers(window.kernel), "stride": .integers(window.stride),
      "dilation": .integers(window.dilation), "count_include_pad": .flag(countsPadding),
    ]
    switch padding {
    case .same: attributes["padding"] = .text("same")
    case .explicit(let top, let left, let bottom, let right):
      attributes["padding"] = .integers([top, left, bottom, right])
    }
    try self.init(&attributes)
  }
}
