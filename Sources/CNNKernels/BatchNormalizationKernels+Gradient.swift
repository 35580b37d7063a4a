import CNNRuntime

extension BatchNormalizationKernels {
  /// The gradients of `trainingForward`, from its `x`, `mean`, `inverseDeviation` and the gradient `dy` of its output.
  ///
  /// With relu fused in the forward pass `y` must be its output, otherwise nil: dy counts only where y > 0.
  /// `dResidual` receives that masked dy where there was a residual; with relu it also saves the second pass a stream.
  /// All outputs are overwritten. `dx` may be `dy`, and so may `dResidual` (but not both).
  public static func trainingBackward(
    _ x: UnsafePointer<Float>, rows: Int, channels: Int, mean: UnsafePointer<Float>,
    inverseDeviation: UnsafePointer<Float>, gamma: UnsafePointer<Float>, dy: UnsafePointer<Float>,
    y: UnsafePointer<Float>? = nil, dx: UnsafeMutablePointer<Float>, dGamma: UnsafeMutablePointer<Float>,
    dBeta: UnsafeMutablePointer<Float>, dResidual: UnsafeMutablePointer<Float>? = nil,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    reduce(x, rows, channels, mean, inverseDeviation, dy, y, dResidual, nil, nil, dGamma, dBeta, workspace, workers)
    // dx = gamma / σ * (dy - Σdy / n - x̂ * Σ(dy x̂) / n) with x̂ = (x - mean) / σ, as scale * dy + slope * x + offset.
    let scale = workspace.assumingMemoryBound(to: Float.self)
    let slope = scale + channels
    let offset = slope + channels
    for c in 0..<channels {
      scale[c] = gamma[c] * inverseDeviation[c]
      slope[c] = Float(-Double(scale[c]) * Double(inverseDeviation[c]) * Double(dGamma[c]) / Double(rows))
      offset[c] = Float(-Double(scale[c]) * Double(dBeta[c]) / Double(rows) - Double(mean[c]) * Double(slope[c]))
    }
    let maskedGradient = dResidual.map { UnsafePointer($0) }
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, _ in
      forEachStrip(of: range, channels: channels) { strip in
        forEachBlock(
          of: 0..<channels,
          InputGradient(
            x: x, rows: strip, channels: channels, scale: scale, slope: slope, offset: offset,
            dy: maskedGradient ?? dy, y: maskedGradient == nil ? y : nil, dx: dx))
      }
    }
  }

  /// The gradients of `inference`, whose statistics are constants: `dx = dy * gamma / √(variance + epsilon)`.
  ///
  /// `y`, `dResidual` and the outputs are as in `trainingBackward`; here `dx` and `dResidual` may each be `dy`, but not
  /// both.
  public static func inferenceBackward(
    _ x: UnsafePointer<Float>, rows: Int, channels: Int, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>,
    epsilon: Float, gamma: UnsafePointer<Float>, dy: UnsafePointer<Float>, y: UnsafePointer<Float>? = nil,
    dx: UnsafeMutablePointer<Float>, dGamma: UnsafeMutablePointer<Float>, dBeta: UnsafeMutablePointer<Float>,
    dResidual: UnsafeMutablePointer<Float>? = nil, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    // dGamma holds 1 / σ until the sums that it is made of are known.
    invert(variance, epsilon, dGamma, channels)
    reduce(x, rows, channels, mean, dGamma, dy, y, dResidual, gamma, dx, dGamma, dBeta, workspace, workers)
  }

  /// `dBeta = Σ dy` and `dGamma = Σ dy * x̂`; on the way the masked dy into `dResidual`, and `dy * gamma / σ` into `dx`.
  private static func reduce(
    _ x: UnsafePointer<Float>, _ rows: Int, _ channels: Int, _ mean: UnsafePointer<Float>,
    _ inverseDeviation: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ y: UnsafePointer<Float>?,
    _ dResidual: UnsafeMutablePointer<Float>?, _ gamma: UnsafePointer<Float>?, _ dx: UnsafeMutablePointer<Float>?,
    _ dGamma: UnsafeMutablePointer<Float>, _ dBeta: UnsafeMutablePointer<Float>,
    _ workspace: UnsafeMutableRawPointer, _ workers: Workers
  ) {
    // For each worker two vectors of doubles, Σ dy and Σ dy * (x - mean), and the same of one chunk in floats.
    let stride = 3 * channels
    let partials = workspace.assumingMemoryBound(to: Double.self)
    partials.update(repeating: 0, count: workers.count * stride)
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, worker in
      let sums = partials + worker * stride
      let chunkSums = UnsafeMutableRawPointer(sums + 2 * channels).assumingMemoryBound(to: Float.self)
      forEachChunk(of: range) { chunk in
        chunkSums.update(repeating: 0, count: 2 * channels)
        forEachStrip(of: chunk, channels: channels, minimum: 2) { strip in
          forEachBlock(
            of: 0..<channels,
            ReduceGradient(
              x: x, rows: strip, channels: channels, mean: mean, inverseDeviation: inverseDeviation, gamma: gamma,
              dy: dy, y: y, dResidual: dResidual, dx: dx, sums: chunkSums))
        }
        for i in 0..<2 * channels { sums[i] += Double(chunkSums[i]) }
      }
    }
    for c in 0..<channels {
      var sum = 0.0
      var sumOfProducts = 0.0
      for worker in 0..<workers.count {
        sum += partials[worker * stride + c]
        sumOfProducts += partials[worker * stride + channels + c]
      }
      dGamma[c] = Float(sumOfProducts * Double(inverseDeviation[c]))
      dBeta[c] = Float(sum)
    }
  }
}

private struct ReduceGradient: BlockKernel {
  let x: UnsafePointer<Float>
  let rows: Range<Int>
  let channels: Int
  let mean: UnsafePointer<Float>
  let inverseDeviation: UnsafePointer<Float>
  let gamma: UnsafePointer<Float>?
  let dy: UnsafePointer<Float>
  let y: UnsafePointer<Float>?
  let dResidual: UnsafeMutablePointer<Float>?
  let dx: UnsafeMutablePointer<Float>?
  /// [2, channels]: Σ dy, Σ dy * (x - mean)
  let sums: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let mean = V.load(self.mean + channel)
    var sum = V.load(sums + channel)
    var sumOfProducts = V.load(sums + channels + channel)
    var offset = rows.lowerBound &* channels &+ channel
    for _ in 0..<rows.count {
      var gradient = V.load(dy + offset)
      if let y { gradient = gradient.kept(wherePositive: V.load(y + offset)) }
      if let dResidual { gradient.store(dResidual + offset) }
      if let gamma, let dx {
        (gradient * (V.load(gamma + channel) * V.load(inverseDeviation + channel))).store(dx + offset)
      }
      sum = sum + gradient
      sumOfProducts = sumOfProducts + gradient * (V.load(x + offset) - mean)
      offset &+= channels
    }
    sum.store(sums + channel)
    sumOfProducts.store(sums + channels + channel)
  }
}

private struct InputGradient: BlockKernel {
  let x: UnsafePointer<Float>
  let rows: Range<Int>
  let channels: Int
  let scale: UnsafePointer<Float>
  let slope: UnsafePointer<Float>
  let offset: UnsafePointer<Float>
  let dy: UnsafePointer<Float>
  let y: UnsafePointer<Float>?
  let dx: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let scale = V.load(self.scale + channel)
    let slope = V.load(self.slope + channel)
    let offset = V.load(self.offset + channel)
    var index = rows.lowerBound &* channels &+ channel
    for _ in 0..<rows.count {
      var gradient = V.load(dy + index)
      if let y { gradient = gradient.kept(wherePositive: V.load(y + index)) }
      (gradient * scale + (V.load(x + index) * slope + offset)).store(dx + index)
      index &+= channels
    }
  }
}
