import CNNCore
import CNNRuntime

/// A product of matrices whose left side is read where it lies: pointwise convolutions without a border, and all others
/// from a copy of the image with its border. Of images of bfloat16, products of pairs of it are summed in float32, and the
/// filter is rounded.
struct DirectAlgorithm: ConvolutionAlgorithm {
  let name = "direct"

  var writesBFloat16: Bool { true }

  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    let g = request.geometry
    if let refusal = ProductKernel.refusal(request.inputElement, request.outputElement, target) { return refusal }
    if let refusal = g.productRefusal { return refusal }
    if request.accumulatesSum { return "products do not sum their results over the pixels" }
    if g.groups > 1, request.filterOrder != nil { return "the filter of groups is in an order of its own" }
    switch request.input {
    case .blocked, .padded: return request.input.borderRefusal(g)
    case .picture: return g.groups > 1 ? "the channels of a picture are in \(g.groups) groups" : nil
    }
  }

  /// The products, or reading the filter, whichever takes longer.
  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double {
    let g = request.geometry, workers = Double(request.workers.count)
    let rate = request.inputElement == .bfloat16 ? target.bfloat16Rate : 1
    let perTap = max(Double(g.outputPixels) / rate, ConvolutionCost.filterReading * workers)
    let products = ConvolutionCost.products(g, request.inputElement, blockChannels: request.productBlockChannels)
    return Double(g.taps) * perTap * (products / workers)
  }

  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution {
    try check(request, library.target)
    return try DirectConvolution(request, library: library)
  }
}

/// A convolution as products, one for all groups or one for each part of them.
struct DirectConvolution: BlockedConvolution {
  let request: ConvolutionRequest
  let algorithm = DirectAlgorithm().name
  private let products: [Product]
  private let picture: ImageInput?

  /// The product of some groups, and where what they read and write begins.
  private typealias Product = GroupProduct<ProductSchedule>

  init(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) {
    let g = request.geometry, places = request.outputGrid
    self.request = request
    picture = request.input.picture(g)
    var products: [Product] = [], filterEnd = 0
    for groups in try ChannelGroups.parts(of: g, blockChannels: request.productBlockChannels) {
      let image = groups.part(request.blockedInput.with(border: request.input.border ?? g.border), isInput: true)
      let source =
        picture == nil
        ? ProductInput(image.tensor)
        : ProductInput(
          images: g.batch, height: image.tensor.paddedHeight, width: image.tensor.paddedWidth,
          channels: g.inputChannels)
      let result = groups.part(places.tensor, isInput: false)
      var grid = places
      grid.tensor = result.tensor
      let schedule = ProductSchedule(
        source, groups: groups.count, kernel: [g.kernelHeight, g.kernelWidth],
        stride: [g.strideHeight, g.strideWidth], dilation: [g.dilationHeight, g.dilationWidth], output: grid,
        filterOrder: request.filterOrder, epilogue: request.epilogue, workers: request.workers, library: library)
      products.append(
        Product(
          groups: groups, schedule: schedule, inputByteOffset: image.byteOffset,
          outputByteOffset: result.byteOffset, filterOffset: filterEnd))
      filterEnd += schedule.packing.count
    }
    self.products = products
    filterCount = filterEnd
  }

  let filterCount: Int

  var packing: FilterPacking? {
    products.count == 1 && !products[0].groups.isMerged ? products[0].schedule.packing : nil
  }

  /// The bytes of the copy that is read instead of the image: with its border, or of numbers instead of pixels.
  var workspaceByteCount: Int {
    let border = geometry.border
    if request.input.border != nil { return 0 }
    if let picture { return border == .none && picture.isReadInPlace ? 0 : picture.paddedCount(border) * 4 }
    return border == .none ? 0 : input.with(border: border).byteCount
  }

  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    for product in products {
      let groups = product.groups, packing = product.schedule.packing
      let scale = scale.map { $0 + groups.firstOutput }, packed = packed + product.filterOffset
      groups.forEachFilter(of: weight, panels: packing.filter.panels.count) { filter, panels in
        packing.pack(filter, scale: scale, panels: panels, into: packed, workers: workers)
      }
    }
  }

  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    let source = image(x, workspace: workspace, workers: workers)
    for product in products {
      product.schedule.run(
        source + product.inputByteOffset, filter: filter + product.filterOffset,
        bias: bias.map { $0 + product.groups.firstOutput }, residual: residual.map { $0 + product.outputByteOffset },
        into: y + product.outputByteOffset, workers: workers)
    }
  }

  /// Where the first window begins: in the image, or in a copy of it.
  private func image(
    _ x: UnsafeRawPointer, workspace: UnsafeMutableRawPointer, workers: Workers
  ) -> UnsafeRawPointer {
    let border = geometry.border
    if let whole = request.input.border {
      return x + (whole.top - border.top) * input.with(border: whole).rowByteCount
        + (whole.left - border.left) * BlockedTensor.pixelByteCount
    }
    if workspaceByteCount == 0 { return x }
    if let picture {
      picture.pad(x, border, into: workspace.assumingMemoryBound(to: Float.self), workers: workers)
    } else {
      BlockedCopies.copy(x, input, into: workspace, input.with(border: border), workers: workers)
    }
    return UnsafeRawPointer(workspace)
  }
}
