import CNNCore
import CNNGraph

extension Graph {
  /// Convolutions read their weights as HWIO, the kernels' layout; parameters stay OIHW.
  ///
  /// The permutation of a parameter depends on nothing else, so a plan runs it once and not at every prediction.
  func layingOutFilters() throws(CNNError) -> Graph {
    var permuted: [Value: Value] = [:]
    return try rewriting { rewriter, node throws(CNNError) in
      func hwio(_ weight: Value) throws(CNNError) -> Value {
        if let done = permuted[weight] { return done }
        let image = try rewriter.image(of: weight)
        let name = rewriter.result.uniqueName("\(name(of: weight)).hwio")
        let result = try rewriter.result.addSingle(Permute(FilterLayout.toHWIO), [image], name: name)
        permuted[weight] = result
        return result
      }
      switch node.operation {
      case var convolution as Convolution2D where convolution.filterLayout == .oihw:
        convolution.filterLayout = .hwio
        var operands = [try rewriter.image(of: node.operands[0]), try hwio(node.operands[1])]
        for bias in node.operands.dropFirst(2) { operands.append(try rewriter.image(of: bias)) }
        let result = try rewriter.result.addSingle(convolution, operands, name: node.name)
        rewriter.map(node.results[0], to: result)
        return true
      case var gradient as Convolution2DInputGradient where gradient.convolution.filterLayout == .oihw:
        gradient.convolution.filterLayout = .hwio
        let operands = [try rewriter.image(of: node.operands[0]), try hwio(node.operands[1])]
        let result = try rewriter.result.addSingle(gradient, operands, name: node.name)
        rewriter.map(node.results[0], to: result)
        return true
      case var transpose as ConvolutionTranspose2D where transpose.convolution.filterLayout == .oihw:
        transpose.convolution.filterLayout = .hwio
        let operands = [try rewriter.image(of: node.operands[0]), try hwio(node.operands[1])]
        let result = try rewriter.result.addSingle(transpose, operands, name: node.name)
        rewriter.map(node.results[0], to: result)
        return true
      case let gradient as Convolution2DWeightGradient where gradient.convolution.filterLayout == .oihw:
        var convolution = gradient.convolution
        convolution.filterLayout = .hwio
        let lowered = Convolution2DWeightGradient(
          convolution, weightShape: FilterLayout.toHWIO.map { gradient.weightShape[$0] })
        let operands = [try rewriter.image(of: node.operands[0]), try rewriter.image(of: node.operands[1])]
        let hwio = try rewriter.result.addSingle(
          lowered, operands, name: rewriter.result.uniqueName("\(node.name).hwio"))
        let result = try rewriter.result.addSingle(Permute(FilterLayout.toOIHW), [hwio], name: node.name)
        rewriter.map(node.results[0], to: result)
        return true
      default:
        return false
      }
    }
  }
}
