extension Pooling.Geometry {
  /// Floats of one image of the input.
  var inputCount: Int { input.height * input.width * channels }
  /// Floats of one image of the output.
  var outputCount: Int { output.height * output.width * channels }

  @inline(__always) func rowTaps(_ outputRow: Int) -> Taps {
    Taps(outputRow &* stride.height &- paddingBefore.height, window.height, dilation.height, input.height)
  }

  @inline(__always) func columnTaps(_ outputColumn: Int) -> Taps {
    Taps(outputColumn &* stride.width &- paddingBefore.width, window.width, dilation.width, input.width)
  }

  /// The part of a window that an average covers, and one over the number of elements it is divided by.
  @inline(__always) func averaged(_ row: Int, _ column: Int, _ countsPadding: Bool) -> (Taps, Taps, Float) {
    let top = row &* stride.height &- paddingBefore.height
    let left = column &* stride.width &- paddingBefore.width
    let rows = Taps(top, window.height, 1, input.height)
    let columns = Taps(left, window.width, 1, input.width)
    let area =
      countsPadding
      ? (min(top &+ window.height, input.height &+ paddingAfter.height) &- top)
        &* (min(left &+ window.width, input.width &+ paddingAfter.width) &- left)
      : rows.count &* columns.count
    return (rows, columns, area > 0 ? 1 / Float(area) : 0)
  }
}

/// The positions along one axis where a window meets the input: `first`, `first + step`... , `count` of them.
struct Taps {
  let first: Int
  let step: Int
  let count: Int

  @inline(__always) init(_ start: Int, _ size: Int, _ dilation: Int, _ inputSize: Int) {
    step = dilation
    if start >= 0, start &+ (size &- 1) &* dilation < inputSize {
      first = start
      count = size
      return
    }
    let skipped = start < 0 ? (dilation &- 1 &- start) / dilation : 0
    first = start &+ skipped &* dilation
    count = first < inputSize ? min(size &- skipped, (inputSize &- 1 &- first) / dilation &+ 1) : 0
  }
}

/// One row of one image of the output.
struct OutputRow {
  let image: Int
  let row: Int
  /// Where the row begins, in floats from the output's first.
  let outputOffset: Int

  init(_ item: Int, _ geometry: Pooling.Geometry) {
    image = item / geometry.output.height
    row = item % geometry.output.height
    outputOffset = item * geometry.output.width * geometry.channels
  }
}

struct MaximumForward: BlockKernel {
  let x: UnsafePointer<Float>
  let y: UnsafeMutablePointer<Float>
  let row: OutputRow
  let geometry: Pooling.Geometry

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let channels = geometry.channels
    let rows = geometry.rowTaps(row.row)
    for column in 0..<geometry.output.width {
      let columns = geometry.columnTaps(column)
      var largest = V(repeating: -.infinity)
      for i in 0..<max(0, rows.count) {
        let line = (rows.first &+ i &* rows.step) &* geometry.input.width
        var source = x + ((line &+ columns.first) &* channels &+ channel)
        for _ in 0..<max(0, columns.count) {
          largest = largest.maximum(V.load(source))
          source += columns.step &* channels
        }
      }
      largest.store(y + (column &* channels &+ channel))
    }
  }
}

struct MaximumBackward: BlockKernel {
  let x: UnsafePointer<Float>
  let y: UnsafePointer<Float>
  let dy: UnsafePointer<Float>
  let dx: UnsafeMutablePointer<Float>
  let geometry: Pooling.Geometry

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let channels = geometry.channels
    for row in 0..<geometry.output.height {
      let rows = geometry.rowTaps(row)
      for column in 0..<geometry.output.width {
        let columns = geometry.columnTaps(column)
        let output = (row &* geometry.output.width &+ column) &* channels &+ channel
        let largest = V.load(y + output)
        var gradient = V.load(dy + output)
        for i in 0..<max(0, rows.count) {
          let line = (rows.first &+ i &* rows.step) &* geometry.input.width
          var offset = (line &+ columns.first) &* channels &+ channel
          for _ in 0..<max(0, columns.count) {
            let (hit, rest) = gradient.split(where: V.load(x + offset), attains: largest)
            (V.load(dx + offset) + hit).store(dx + offset)
            gradient = rest
            offset &+= columns.step &* channels
          }
        }
      }
    }
  }
}

struct AverageForward: BlockKernel {
  let x: UnsafePointer<Float>
  let y: UnsafeMutablePointer<Float>
  let row: OutputRow
  let geometry: Pooling.Geometry
  let countsPadding: Bool

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let channels = geometry.channels
    for column in 0..<geometry.output.width {
      let (rows, columns, scale) = geometry.averaged(row.row, column, countsPadding)
      var total = V.zero
      for i in 0..<max(0, rows.count) {
        var source = x + (((rows.first &+ i) &* geometry.input.width &+ columns.first) &* channels &+ channel)
        var line = V.zero
        for _ in 0..<max(0, columns.count) {
          line = line + V.load(source)
          source += channels
        }
        total = total + line
      }
      (total * V(repeating: scale)).store(y + (column &* channels &+ channel))
    }
  }
}

struct AverageBackward: BlockKernel {
  let dy: UnsafePointer<Float>
  let dx: UnsafeMutablePointer<Float>
  let geometry: Pooling.Geometry
  let countsPadding: Bool

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let channels = geometry.channels
    for row in 0..<geometry.output.height {
      for column in 0..<geometry.output.width {
        let (rows, columns, scale) = geometry.averaged(row, column, countsPadding)
        let output = (row &* geometry.output.width &+ column) &* channels &+ channel
        let gradient = V.load(dy + output) * V(repeating: scale)
        for i in 0..<max(0, rows.count) {
          var target = dx + (((rows.first &+ i) &* geometry.input.width &+ columns.first) &* channels &+ channel)
          for _ in 0..<max(0, columns.count) {
            (V.load(target) + gradient).store(target)
            target += channels
          }
        }
      }
    }
  }
}
