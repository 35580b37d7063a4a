import CNNCore

/// What a drawing of a network shows beside its operations.
public struct DrawingOptions: Sendable {
  /// The shapes of the results, without the batch.
  public var showsShapes: Bool
  /// The names of the layers.
  public var showsNames: Bool

  /// A choice.
  public init(showsShapes: Bool = true, showsNames: Bool = true) {
    (self.showsShapes, self.showsNames) = (showsShapes, showsNames)
  }
}

extension Graph {
  /// The network as a picture, an SVG document: boxes of operations from the inputs down to the outputs, with a frame
  /// round each block of layers. A long one goes on in further columns.
  /// - Throws: `.invalidArgument` where the network is too large to be drawn.
  public func svg(_ options: DrawingOptions = DrawingOptions()) throws(CNNError) -> String {
    try GraphDrawing(self, options).document
  }
}

/// The places of a network's boxes, and the document that shows them.
private struct GraphDrawing {
  /// A part of the network that is drawn from top to bottom: the boxes that lie in some consecutive layers, after a point
  /// for the box outside that they all go on from.
  private struct Column {
    var units: [Int]
    var source: Int?
  }

  private static let rowHeight = 19.0, margin = 24.0, padding = 10.0, columnGap = 64.0
  private static let tallest = 1100.0
  private static let mostBoxes = 1 << 12, mostCrossings = 1 << 18

  private let units: [DrawnUnits.Unit]
  private let options: DrawingOptions
  private let groupSizes: [String: Int]

  init(_ graph: Graph, _ options: DrawingOptions) throws(CNNError) {
    units = DrawnUnits(graph).units
    self.options = options
    groupSizes = Dictionary(units.compactMap(\.group).map { ($0, 1) }, uniquingKeysWith: +)
    let ranks = LayeredLayout.ranks(count: units.count, Self.edges(units))
    let crossings = Self.edges(units).reduce(0) { $0 + ranks[$1.to] - ranks[$1.from] }
    guard units.count <= Self.mostBoxes, crossings <= Self.mostCrossings else {
      throw CNNError(
        .invalidArgument,
        "the network has \(units.count) boxes to draw; expected \(Self.mostBoxes) at most, with few long connections")
    }
  }

  private static func edges(_ units: [DrawnUnits.Unit]) -> [(from: Int, to: Int)] {
    units.enumerated().flatMap { index, unit in unit.sources.map { (from: $0, to: index) } }
  }

  // --------------------------------------------------------------------------------------------------------- columns

  private func cells(_ row: DrawnUnits.Row) -> [String] {
    [row.text] + (options.showsNames ? [row.name] : []) + (options.showsShapes ? [row.shape] : [])
  }

  private func size(_ unit: DrawnUnits.Unit) -> (width: Double, height: Double) {
    let columns = unit.rows.map(cells)
    let widths = columns[0].indices.map { column in
      columns.map { Double(min(40, $0[column].unicodeScalars.count)) * SVG.characterWidth }.max() ?? 0
    }
    let width = widths.reduce(0, +) + Double(widths.count - 1) * 14 + 2 * Self.padding
    return (max(60, width), Double(unit.rows.count) * Self.rowHeight)
  }

  /// The network in columns of about one height. They end where all goes through one box, and in no block.
  private var columns: [Column] {
    let ranks = LayeredLayout.ranks(count: units.count, Self.edges(units))
    let count = (ranks.max() ?? -1) + 1
    var layers: [[Int]] = Array(repeating: [], count: count), heights = Array(repeating: 0.0, count: count)
    var reach = Array(repeating: 0, count: units.count)
    for (index, unit) in units.enumerated() {
      layers[ranks[index]].append(index)
      heights[ranks[index]] = max(heights[ranks[index]], size(unit).height + LayeredLayout.layerGap)
      for source in unit.sources { reach[source] = max(reach[source], ranks[index]) }
    }
    let whole = heights.reduce(0, +)
    let wanted = max(Self.tallest, (whole * 420 / 1.5).squareRoot())
    let parts = max(1, (whole / wanted).rounded(.up)), target = whole / parts
    var groups: [String: Int] = [:]
    for (index, unit) in units.enumerated() {
      if let group = unit.group { groups[group] = max(groups[group] ?? 0, ranks[index]) }
    }
    var result = [Column(units: [], source: nil)], used = 0.0, left = whole
    // Those that something further down goes on from, and how far down the blocks go that have begun.
    var open: Set<Int> = [], groupEnd = 0
    for (rank, layer) in layers.enumerated() {
      result[result.count - 1].units += layer
      used += heights[rank]
      left -= heights[rank]
      open.formUnion(layer)
      open = open.filter { reach[$0] > rank }
      for index in layer { groupEnd = max(groupEnd, units[index].group.flatMap { groups[$0] } ?? 0) }
      if used >= target * 0.92, left > target * 0.2, open.count == 1, groupEnd <= rank,
        layer.count == 1, open.first == layer[0]
      {
        result.append(Column(units: [], source: open.first))
        used = 0
      }
    }
    return result
  }

  // -------------------------------------------------------------------------------------------------------- document

  var document: String {
    var boxes = "", frames = "", lines = "", x = Self.margin, height = 0.0
    var end: (x: Double, y: Double)?
    for column in columns {
      // The point that it goes on from is its first box.
      let first = column.source.map { [$0] } ?? [], members = first + column.units
      let places = Dictionary(zip(members, members.indices), uniquingKeysWith: { first, _ in first })
      let sizes = members.map { $0 == column.source ? (width: 2, height: 2) : size(units[$0]) }
      var edges: [(from: Int, to: Int)] = []
      for unit in column.units {
        for source in units[unit].sources { if let from = places[source] { edges.append((from, places[unit] ?? 0)) } }
      }
      let layout = LayeredLayout(sizes: sizes, edges: edges)
      let top = Self.margin + Self.rowHeight
      for (position, member) in members.enumerated() where member != column.source {
        boxes += box(
          units[member], x: x + layout.centers[position] - sizes[position].width / 2, y: top + layout.tops[position],
          sizes[position])
      }
      for route in layout.routes { lines += line(route.map { ($0.x + x, $0.top + top, $0.bottom + top) }) }
      if let end, column.source != nil {
        lines += connection(from: end, to: (x + layout.centers[0], top + 2), by: x - Self.columnGap / 2)
      }
      frames += self.frames(members, layout, sizes, edges, x, top, skipping: column.source)
      if let last = members.indices.last {
        end = (x + layout.centers[last], top + layout.tops[last] + sizes[last].height)
      }
      x += layout.width + Self.columnGap
      height = max(height, layout.height)
    }
    let width = Int(x - Self.columnGap + Self.margin) + 1
    let total = Int(height + 2 * Self.margin + 2 * Self.rowHeight) + 1
    return SVG.document(
      width: width, height: total,
      """
      <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
      <path d="M0,0.5 L8,4 L0,7.5 Z" fill="#667085"/></marker></defs>
      \(frames)<g fill="none" stroke="#667085" stroke-width="1.2">
      \(lines)</g>
      \(boxes)
      """)
  }

  private func box(
    _ unit: DrawnUnits.Unit, x: Double, y: Double, _ size: (width: Double, height: Double)
  ) -> String {
    let isEnd = unit.rows[0].kind == .end
    var result = ""
    for (index, row) in unit.rows.enumerated() {
      let top = y + Double(index) * Self.rowHeight
      result += SVG.rectangle(x, top, size.width, Self.rowHeight, "fill=\"\(Self.color(row.kind))\"", isEnd ? 9 : 0)
      let cells = cells(row), baseline = top + 13.5
      result += SVG.text(cells[0], x + Self.padding, baseline, "fill=\"#101828\"")
      let inner = x + Self.padding + widest(unit, 0) + 14
      if options.showsNames { result += SVG.text(cells[1], inner, baseline, "fill=\"#667085\"") }
      if options.showsShapes {
        result += SVG.text(
          cells[cells.count - 1], x + size.width - Self.padding, baseline, "fill=\"#344054\" text-anchor=\"end\"")
      }
    }
    return result + SVG.rectangle(x, y, size.width, size.height, "fill=\"none\" stroke=\"#98a2b3\"", isEnd ? 9 : 3)
  }

  private func widest(_ unit: DrawnUnits.Unit, _ column: Int) -> Double {
    unit.rows.map { Double(min(40, cells($0)[column].unicodeScalars.count)) * SVG.characterWidth }.max() ?? 0
  }

  /// Frames round the blocks of a column; none round one that something else lies in.
  private func frames(
    _ members: [Int], _ layout: LayeredLayout, _ sizes: [(width: Double, height: Double)],
    _ edges: [(from: Int, to: Int)], _ x: Double, _ y: Double, skipping source: Int?
  ) -> String {
    typealias Area = (left: Double, top: Double, right: Double, bottom: Double)
    func area(_ position: Int) -> Area {
      let half = sizes[position].width / 2, top = layout.tops[position]
      return (layout.centers[position] - half, top, layout.centers[position] + half, top + sizes[position].height)
    }
    func group(_ position: Int) -> String? { members[position] == source ? nil : units[members[position]].group }
    var areas: [String: Area] = [:], names: [String] = []
    func include(_ name: String, _ new: Area) {
      guard let old = areas[name] else {
        names.append(name)
        areas[name] = new
        return
      }
      areas[name] = (
        min(old.left, new.left), min(old.top, new.top), max(old.right, new.right), max(old.bottom, new.bottom)
      )
    }
    for position in members.indices { if let name = group(position) { include(name, area(position)) } }
    for (edge, route) in zip(edges, layout.routes) {
      guard let name = group(edge.to) else { continue }
      let half = LayeredLayout.edgeWidth / 2
      for point in route.dropFirst().dropLast() {
        include(name, (point.x - half, point.top, point.x + half, point.bottom))
      }
    }
    var result = ""
    for name in names {
      guard let inner = areas[name], groupSizes[name] ?? 0 > 1 || inner.bottom - inner.top > 2 * Self.rowHeight else {
        continue
      }
      let frame: Area = (inner.left - 8, inner.top - 16, inner.right + 8, inner.bottom + 7)
      let isAlone = members.indices.allSatisfy { position in
        let other = area(position)
        return group(position) == name || other.right <= frame.left || other.left >= frame.right
          || other.bottom <= frame.top || other.top >= frame.bottom
      }
      guard isAlone else { continue }
      result += SVG.rectangle(
        x + frame.left, y + frame.top, frame.right - frame.left, frame.bottom - frame.top,
        "fill=\"#f5f7fa\" stroke=\"#d0d5dd\"", 6)
      result += SVG.text(name, x + frame.left + 6, y + frame.top + 11, "fill=\"#667085\" font-size=\"10\"")
    }
    return result
  }

  /// An edge: straight beside boxes, and curved from layer to layer.
  private func line(_ points: [(x: Double, top: Double, bottom: Double)]) -> String {
    var path = "M\(SVG.number(points[0].x)),\(SVG.number(points[0].top)) V\(SVG.number(points[0].bottom))"
    for (from, to) in zip(points, points.dropFirst()) {
      let middle = SVG.number((from.bottom + to.top) / 2)
      path +=
        from.x == to.x
        ? " V\(SVG.number(to.top))"
        : " C\(SVG.number(from.x)),\(middle) \(SVG.number(to.x)),\(middle) \(SVG.number(to.x)),\(SVG.number(to.top))"
      if to.bottom > to.top { path += " V\(SVG.number(to.bottom))" }
    }
    return "<path d=\"\(path)\" marker-end=\"url(#arrow)\"/>\n"
  }

  /// From the end of a column to the start of the next one.
  private func connection(from: (x: Double, y: Double), to: (x: Double, y: Double), by x: Double) -> String {
    let low = SVG.number(from.y + 14), high = SVG.number(to.y - 12)
    return "<path d=\"M\(SVG.number(from.x)),\(SVG.number(from.y)) V\(low) H\(SVG.number(x)) V\(high) "
      + "H\(SVG.number(to.x)) V\(SVG.number(to.y))\"/>\n"
  }

  private static func color(_ kind: DrawnUnits.Kind) -> String {
    switch kind {
    case .end: "#ffffff"
    case .convolution: "#d6e4ff"
    case .dense: "#e4dcff"
    case .normalization: "#eef1f5"
    case .activation: "#d8f3e2"
    case .pooling: "#ffe7c7"
    case .merge: "#fff3b8"
    case .other: "#f1e9e4"
    }
  }
}
