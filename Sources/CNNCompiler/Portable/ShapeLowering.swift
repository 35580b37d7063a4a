import CNNCore
import CNNGraph
import CNNKernels

extension Reshape: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation { LoweredOperation(aliasedOperand: 0) }
}

extension Permute: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    guard order.count <= Self.largestRankOfBytes else {
      guard types.operands[0].element.byteCount == 4 else {
        throw CNNError(
          .invalidArgument,
          "bytes of \(order.count) axes are not permuted; at most \(Self.largestRankOfBytes) are possible")
      }
      let reordering = Rearrangement.Reordering(shape: types.operands[0].shape, order: order)
      return LoweredOperation(kernel: {
        Rearrangement.permute($0.operand(0), reordering, into: $0.result(), workers: $0.workers)
      })
    }
    // Axes of size 1 in front make every permutation one of four axes.
    let missing = 4 - order.count
    let shape = SIMD4(Array(repeating: 1, count: missing) + types.operands[0].shape)
    let order = SIMD4(Array(0..<missing) + order.map { $0 + missing })
    switch types.operands[0].element {
    case .uint8, .int8:
      return LoweredOperation(kernel: { arguments in
        Rearrangement.permute(
          arguments.bytes(0), shape: shape, order: order,
          into: UnsafeMutableRawPointer(arguments.result()).assumingMemoryBound(to: UInt8.self),
          workers: arguments.workers)
      })
    case .float32, .int32:  // The bits are moved, not looked at.
      return LoweredOperation(kernel: {
        Rearrangement.permute($0.operand(0), shape: shape, order: order, into: $0.result(), workers: $0.workers)
      })
    case .bfloat16, .int16:
      throw CNNError(.invalidArgument, "numbers of 16 bits are not permuted")
    }
  }
}

/// A tensor cut at one axis: the axes before it are rows, the axis and those after it are one row.
struct AxisSplit {
  let rows, rowLength, stepLength: Int
  /// The size of the axis.
  let length: Int

  init(_ type: TensorType, axis: Int) {
    let axis = axis < 0 ? axis + type.rank : axis
    stepLength = type.shape[(axis + 1)...].reduce(1, *)
    length = type.shape[axis]
    rowLength = length * stepLength
    rows = type.count / rowLength
  }
}

extension Concatenate: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let result = AxisSplit(types.results[0], axis: axis)
    let parts = types.operands.map { AxisSplit($0, axis: axis).rowLength }
    return LoweredOperation(kernel: { arguments in
      var offset = 0
      for (index, length) in parts.enumerated() {
        Rearrangement.copyChannels(
          arguments.operand(index), sourceChannels: length, sourceOffset: 0, into: arguments.result(),
          channels: result.rowLength, offset: offset, count: length, rows: result.rows, workers: arguments.workers)
        offset += length
      }
    })
  }
}

extension Slice: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let source = AxisSplit(types.operands[0], axis: axis), result = AxisSplit(types.results[0], axis: axis)
    let offset = start * source.stepLength
    return LoweredOperation(kernel: {
      Rearrangement.copyChannels(
        $0.operand(0), sourceChannels: source.rowLength, sourceOffset: offset, into: $0.result(),
        channels: result.rowLength, offset: 0, count: result.rowLength, rows: result.rows, workers: $0.workers)
    })
  }
}

extension Gather: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let source = AxisSplit(types.operands[0], axis: axis), indices = indices
    return LoweredOperation(kernel: {
      Rearrangement.gather(
        $0.operand(0), indices: indices, rows: source.rows, length: source.length,
        step: source.stepLength, into: $0.result(), workers: $0.workers)
    })
  }
}

extension GatherGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let result = AxisSplit(types.results[0], axis: gather.axis), indices = gather.indices
    return LoweredOperation(kernel: {
      Rearrangement.gatherBackward(
        $0.operand(0), indices: indices, rows: result.rows, length: result.length,
        step: result.stepLength, into: $0.result(), workers: $0.workers)
    })
  }
}

extension ArgMax: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let source = AxisSplit(types.operands[0], axis: axis), choosesLast = choosesLast
    return LoweredOperation(kernel: {
      Selection.positionOfMaximum(
        $0.operand(0), rows: source.rows, length: source.length, step: source.stepLength, choosesLast: choosesLast,
        into: $0.result(), workers: $0.workers)
    })
  }
}

extension Resize: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let source = AxisSplit(types.operands[0], axis: axis)
    return lowerTaps(try ResizeTaps(self, length: source.length), source)
  }
}

extension ResizeGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let taps = try ResizeTaps(resize, length: length).transposed(count: length)
    return lowerTaps(taps, AxisSplit(types.operands[0], axis: resize.axis))
  }
}

private func lowerTaps(_ taps: ResizeTaps, _ source: AxisSplit) -> LoweredOperation {
  let (offsets, indices, weights) = (taps.offsets, taps.indices, taps.weights)
  return LoweredOperation(kernel: {
    Resizing.apply(
      $0.operand(0), offsets: offsets, indices: indices, weights: weights, rows: source.rows, length: source.length,
      step: source.stepLength, into: $0.result(), workers: $0.workers)
  })
}

extension ZeroPadding2D: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = types.operands[0].shape
    let border = Rearrangement.Border(top: padding[0], bottom: padding[2], left: padding[1], right: padding[3])
    return LoweredOperation(kernel: {
      Rearrangement.pad(
        $0.operand(0), images: shape[0], height: shape[1], width: shape[2], channels: shape[3], border: border,
        into: $0.result(), workers: $0.workers)
    })
  }
}

extension Crop2D: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = types.results[0].shape
    let border = Rearrangement.Border(top: cropping[0], bottom: cropping[2], left: cropping[1], right: cropping[3])
    return LoweredOperation(kernel: {
      Rearrangement.crop(
        $0.operand(0), images: shape[0], height: shape[1], width: shape[2], channels: shape[3], border: border,
        into: $0.result(), workers: $0.workers)
    })
  }
}
