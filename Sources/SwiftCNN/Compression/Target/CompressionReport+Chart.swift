import CNNCore
import CNNGraph

extension CompressionReport {
  /// The points as a picture, an SVG document that browsers show: what they take against the share of the samples that they
  /// classify right, with the target and the most that may be lost as dashed lines, those than which none is better in both
  /// joined, and the chosen one in a ring.
  public var chart: String {
    let left = 66.0, top = 74.0, width = 560.0, height = 320.0, right = 190.0
    let costs = points.indices.map { cost($0) }, shares = points.map { 100 * $0.accuracy }
    let most = 1.08 * max(costs.max() ?? 1, target)
    let floor = shares[0] - maximumDrop, lowest = min(shares.min() ?? 0, floor),
      highest = max(shares.max() ?? 100, floor)
    let margin = max(0.1 * (highest - lowest), 0.2), (low, high) = (lowest - margin, highest + margin)
    func x(_ cost: Double) -> Double { left + width * cost / most }
    func y(_ share: Double) -> Double { top + height * (high - share) / (high - low) }
    let grey = "fill=\"#667085\"", dashed = "stroke=\"#98a2b3\" stroke-dasharray=\"4 4\""
    let unit = isOfSize ? "MB" : "ms"
    var body = SVG.text(
      "\(model): \(decimal(costs[0], 3)) -> \(decimal(costs[chosen], 3)) \(unit), \(decimal(heldBackDrop, 2)) points lost on "
        + "\(heldBackSamples) samples held back", left, 22, "fill=\"#101828\" font-size=\"13\"", limit: 110)
    body += SVG.text(
      isReached ? "target \(decimal(target, 3)) \(unit): reached" : "not reached: \(reason)", left, 40, grey, limit: 120
    )
    body += SVG.text("% right of \(decidingSamples) samples that decide", left, top - 10, grey, limit: 60)
    for share in Self.ticks(low, high) {
      body += SVG.line([(left, y(share.value)), (left + width, y(share.value))], "stroke=\"#eaecf0\"")
      body += SVG.text(share.text, left - 6, y(share.value) + 4, grey + " text-anchor=\"end\"")
    }
    for cost in Self.ticks(0, most) {
      body += SVG.text(cost.text, x(cost.value), top + height + 18, grey + " text-anchor=\"middle\"")
    }
    body += SVG.text(
      isOfSize ? "megabytes of the file" : "milliseconds of a prediction of one image", left + width, top + height + 36,
      grey + " text-anchor=\"end\"", limit: 60)
    body += SVG.line([(x(target), top), (x(target), top + height)], dashed)
    body += SVG.text("target", x(target) + 4, top + height - 6, grey)
    body += SVG.line([(left, y(floor)), (left + width, y(floor))], dashed)
    body += SVG.text(
      "\(decimal(maximumDrop, 2)) points lost", left + width - 4, y(floor) - 5, grey + " text-anchor=\"end\"")
    body += SVG.line(front.map { (x(costs[$0]), y(shares[$0])) }, "stroke=\"#d0d5dd\" stroke-width=\"1.5\"")
    for index in points.indices {
      let style = Self.styles[Self.kind(points[index])]
      body += SVG.circle(
        x(costs[index]), y(shares[index]), radius: 4.5, "fill=\"\(style.color)\"", title: Self.title(points[index]))
    }
    body += SVG.circle(
      x(costs[chosen]), y(shares[chosen]), radius: 9, "fill=\"none\" stroke=\"#101828\" stroke-width=\"1.5\"")
    var row = top + 12
    for (kind, style) in Self.styles.enumerated() where points.contains(where: { Self.kind($0) == kind }) {
      body += SVG.circle(left + width + 24, row - 4, radius: 4.5, "fill=\"\(style.color)\"")
      body += SVG.text(style.name, left + width + 36, row, grey)
      row += 20
    }
    body += SVG.circle(
      left + width + 24, row - 4, radius: 7, "fill=\"none\" stroke=\"#101828\" stroke-width=\"1.5\"")
    body += SVG.text("chosen", left + width + 36, row, grey)
    return SVG.document(width: Int(left + width + right), height: Int(top + height + 54), body)
  }

  /// Points than which no other takes less and classifies as well, from the one that takes least on.
  public var front: [Int] {
    var best = -Double.infinity
    return points.indices.sorted { (cost($0), -points[$0].accuracy) < (cost($1), -points[$1].accuracy) }.filter {
      index in
      guard points[index].accuracy > best else { return false }
      best = points[index].accuracy
      return true
    }
  }

  private static let styles: [(name: String, color: String)] = [
    ("the model", "#101828"), ("pruned", "#1f6fb4"), ("int8", "#d9601a"), ("pruned and int8", "#2a9d5c"),
  ]

  private static func kind(_ point: Point) -> Int {
    (point.methods.contains(.prune) ? 1 : 0) + (point.isQuantized ? 2 : 0)
  }

  /// What a browser shows over a point.
  private static func title(_ point: Point) -> String {
    "\(point.name): \(decimal(point.latency, 3)) ms, \(decimal(point.megabytes, 3)) MB, \(decimal(100 * point.accuracy, 2)) %"
  }

  /// Round numbers between two, four to nine of them.
  private static func ticks(_ low: Double, _ high: Double) -> [(value: Double, text: String)] {
    var step = 1e-9, digits = 9
    while step * 40 <= high - low { (step, digits) = (step * 10, max(0, digits - 1)) }
    if step * 20 < high - low { step *= 5 } else if step * 9 < high - low { step *= 2 }
    let first = Int((low / step).rounded(.up)), last = Int((high / step).rounded(.down))
    return first > last ? [] : (first...last).map { (Double($0) * step, decimal(Double($0) * step, digits)) }
  }
}
