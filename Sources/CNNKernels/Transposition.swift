import CNNRuntime

/// A transposition of four axes, reduced to what it does to memory.
///
/// Axes of size 1 are dropped and axes that stay neighbours are joined, so that NCHW to NHWC is a plain transposition
/// of [C, HW] in each image. If the last axis stays last, rows are copied; otherwise the last axis of the source and
/// that of the target span a matrix that is transposed in tiles that fit the first-level cache.
struct Transposition {
  /// The axes of the target, outermost first, with leading 1s: their sizes and their strides in the source.
  private var size = SIMD4<Int>(repeating: 1)
  private var sourceStride = SIMD4<Int>(repeating: 0)
  /// Their strides in the target.
  private var targetStride = SIMD4<Int>(repeating: 0)
  /// The axis of the target, of 0...3, along which the source is contiguous.
  private var contiguousAxis = 3

  /// Axis `k` of the target is axis `order[k]` of the source, whose shape is `shape`.
  init(shape: SIMD4<Int>, order: SIMD4<Int>) {
    var stride = SIMD4<Int>(repeating: 1)
    for axis in (0..<3).reversed() { stride[axis] = stride[axis + 1] * shape[axis + 1] }
    var last = 4
    for axis in (0..<4).reversed() {
      let axisSize = shape[order[axis]]
      let axisStride = stride[order[axis]]
      if axisSize == 1 { continue }
      if last < 4, axisStride == sourceStride[last] * size[last] {
        size[last] *= axisSize
      } else {
        last -= 1
        size[last] = axisSize
        sourceStride[last] = axisStride
      }
    }
    var step = 1
    for axis in (0..<4).reversed() {
      targetStride[axis] = step
      step *= size[axis]
      if sourceStride[axis] == 1 { contiguousAxis = axis }
    }
    // A single element has no axis left.
    if last == 4 { sourceStride[3] = 1 }
  }

  @inline(__always)
  func run<Element: BitwiseCopyable>(
    _ x: UnsafePointer<Element>, _ y: UnsafeMutablePointer<Element>, _ workers: Workers
  ) {
    if size[0] * size[1] * size[2] * size[3] == 0 { return }
    if contiguousAxis == 3 { copyRows(x, y, workers) } else { transposeTiles(x, y, workers) }
  }

  private func copyRows<Element: BitwiseCopyable>(
    _ x: UnsafePointer<Element>, _ y: UnsafeMutablePointer<Element>, _ workers: Workers
  ) {
    let grain = Workers.grainOfRows(channels: size[3])
    // A plain copy has been joined to one row; it is divided too.
    if size[0] * size[1] * size[2] == 1 {
      workers.forEachRange(of: size[3], grain: Workers.grainOfFloats) { range, _ in
        (y + range.lowerBound).update(from: x + range.lowerBound, count: range.count)
      }
      return
    }
    workers.forEachRange(of: size[0] * size[1] * size[2], grain: grain) { range, _ in
      for row in range {
        let source =
          row / (size[1] * size[2]) * sourceStride[0] + row / size[2] % size[1] * sourceStride[1] + row % size[2]
          * sourceStride[2]
        (y + row * size[3]).update(from: x + source, count: size[3])
      }
    }
  }

  private func transposeTiles<Element: BitwiseCopyable>(
    _ x: UnsafePointer<Element>, _ y: UnsafeMutablePointer<Element>, _ workers: Workers
  ) {
    let side = 32
    let across = contiguousAxis
    // The two axes that the tiles do not span.
    let outer = across == 0 ? 1 : 0
    let inner = across == 2 ? 1 : 2
    let strips = (size[across] + side - 1) / side
    let grain = Workers.grainOfRows(channels: size[3] * side)
    workers.forEachRange(of: size[outer] * size[inner] * strips, grain: grain) { range, _ in
      for unit in range {
        let i = unit / strips / size[inner]
        let j = unit / strips % size[inner]
        let source = x + (i * sourceStride[outer] + j * sourceStride[inner])
        let target = y + (i * targetStride[outer] + j * targetStride[inner])
        let first = unit % strips * side
        let end = min(first + side, size[across])
        var column = 0
        while column < size[3] {
          let columnEnd = min(column + side, size[3])
          for a in first..<end {
            var from = source + (a &+ column &* sourceStride[3])
            let to = target + a &* targetStride[across]
            for b in column..<columnEnd {
              to[b] = from.pointee
              from += sourceStride[3]
            }
          }
          column = columnEnd
        }
      }
    }
  }
}
