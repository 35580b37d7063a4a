/// Places boxes in layers, each below all that it depends on, so that few edges cross and chains are straight (Sugiyama et
/// al. 1981). An edge over several layers runs beside their boxes.
struct LayeredLayout {
  /// The place of an edge in one layer: where it is, and from where to where it runs straight down.
  struct Point {
    let x, top, bottom: Double
  }

  /// The middle of each box, its upper end, and its layer.
  private(set) var centers: [Double] = []
  private(set) var tops: [Double] = []
  let ranks: [Int]
  /// Of each edge, from its source to its target.
  private(set) var routes: [[Point]] = []
  private(set) var width = 0.0, height = 0.0

  /// The room between boxes beside each other, between layers, and that an edge takes beside a box.
  static let gap = 26.0, layerGap = 36.0, edgeWidth = 14.0

  /// - Parameter edges: each from a box to one with a higher index.
  init(sizes: [(width: Double, height: Double)], edges: [(from: Int, to: Int)]) {
    ranks = Self.ranks(count: sizes.count, edges)
    // Boxes first, then a place for each layer that an edge passes.
    var widths = sizes.map(\.width), layerOf = ranks
    var chains: [[Int]] = []
    for edge in edges {
      var chain = [edge.from]
      for rank in ranks[edge.from]..<ranks[edge.to] where rank > ranks[edge.from] {
        chain.append(widths.count)
        widths.append(Self.edgeWidth)
        layerOf.append(rank)
      }
      chains.append(chain + [edge.to])
    }
    var above: [[Int]] = Array(repeating: [], count: widths.count), below = above
    for chain in chains {
      for (upper, lower) in zip(chain, chain.dropFirst()) {
        above[lower].append(upper)
        below[upper].append(lower)
      }
    }
    var layers: [[Int]] = Array(repeating: [], count: (ranks.max() ?? -1) + 1)
    for (item, rank) in layerOf.enumerated() { layers[rank].append(item) }
    Self.order(&layers, above, below, count: widths.count)
    let places = Self.place(layers, above, below, widths, boxes: sizes.count)

    let heights = layers.map { layer in layer.map { $0 < sizes.count ? sizes[$0].height : 0 }.max() ?? 0 }
    var layerTops: [Double] = []
    for layerHeight in heights {
      layerTops.append(height)
      height += layerHeight + Self.layerGap
    }
    height = max(0, height - Self.layerGap)
    let left = places.indices.map { places[$0] - widths[$0] / 2 }.min() ?? 0
    width = (places.indices.map { places[$0] + widths[$0] / 2 }.max() ?? 0) - left
    centers = sizes.indices.map { places[$0] - left }
    tops = sizes.indices.map { layerTops[ranks[$0]] }
    routes = chains.map { chain in
      chain.enumerated().map { position, item in
        let top = layerTops[layerOf[item]]
        // A box's own edge begins at its lower end, and one that arrives ends at its upper one.
        return Point(
          x: places[item] - left, top: position == 0 ? top + sizes[item].height : top,
          bottom: position == chain.count - 1 ? top : top + heights[layerOf[item]])
      }
    }
  }

  /// The layer of each box: one below the lowest that it depends on.
  static func ranks(count: Int, _ edges: [(from: Int, to: Int)]) -> [Int] {
    var sources: [[Int]] = Array(repeating: [], count: count)
    for edge in edges { sources[edge.to].append(edge.from) }
    var ranks: [Int] = []
    for own in sources { ranks.append((own.map { ranks[$0] }.max() ?? -1) + 1) }
    return ranks
  }

  /// Orders each layer by the mean place of what its items are connected with, downwards and upwards in turn.
  private static func order(_ layers: inout [[Int]], _ above: [[Int]], _ below: [[Int]], count: Int) {
    var position = Array(repeating: 0.0, count: count)
    func number(_ layer: [Int]) { for (index, item) in layer.enumerated() { position[item] = Double(index) } }
    layers.forEach(number)
    for sweep in 0..<6 {
      let isDownwards = sweep % 2 == 0
      for index in isDownwards ? Array(layers.indices) : layers.indices.reversed() {
        let keys = layers[index].enumerated().map { place, item in
          let neighbours = (isDownwards ? above : below)[item]
          let mean = neighbours.map { position[$0] }.reduce(0, +) / Double(max(1, neighbours.count))
          return (key: neighbours.isEmpty ? position[item] : mean, place: place, item: item)
        }
        layers[index] = keys.sorted { ($0.key, $0.place) < ($1.key, $1.place) }.map(\.item)
        number(layers[index])
      }
    }
  }

  /// The middle of each item: as near to what it is connected with as the room allows, boxes before edges.
  private static func place(
    _ layers: [[Int]], _ above: [[Int]], _ below: [[Int]], _ widths: [Double], boxes: Int
  ) -> [Double] {
    func weight(_ item: Int) -> Double { item < boxes ? 1000 : 1 }
    var places = Array(repeating: 0.0, count: widths.count)
    for sweep in 0..<9 {
      let isDownwards = sweep % 2 == 0
      for layer in isDownwards ? layers : layers.reversed() where !layer.isEmpty {
        // In the first sweep only what is above has a place.
        let wanted = layer.map { item in
          let neighbours = (isDownwards ? above : below)[item]
          let total = neighbours.map(weight).reduce(0, +)
          return total == 0 ? places[item] : neighbours.map { weight($0) * places[$0] }.reduce(0, +) / total
        }
        var offsets = [0.0]
        for (left, right) in zip(layer, layer.dropFirst()) {
          offsets.append(offsets[offsets.count - 1] + (widths[left] + widths[right]) / 2 + gap)
        }
        let solved = ascending(zip(wanted, offsets).map { $0 - $1 }, weights: layer.map(weight))
        for (index, item) in layer.enumerated() { places[item] = solved[index] + offsets[index] }
      }
    }
    return places
  }

  /// The ascending numbers that are nearest to these in the sum of weighted squares (pool adjacent violators).
  private static func ascending(_ values: [Double], weights: [Double]) -> [Double] {
    var pools: [(value: Double, weight: Double, count: Int)] = []
    for (value, weight) in zip(values, weights) {
      pools.append((value, weight, 1))
      while pools.count > 1, pools[pools.count - 2].value > pools[pools.count - 1].value {
        let last = pools.removeLast(), before = pools.removeLast()
        let weight = last.weight + before.weight
        pools.append(
          ((last.value * last.weight + before.value * before.weight) / weight, weight, last.count + before.count))
      }
    }
    return pools.flatMap { Array(repeating: $0.value, count: $0.count) }
  }
}
