import CNNCore
import CNNRuntime

/// What computes the gradient of a filter of some groups, as `BlockedWeightGradient` says.
protocol FilterGradientSchedule: Sendable {
  var workspaceByteCount: Int { get }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers)
}

extension ProductGradientSchedule: FilterGradientSchedule {}
extension TileGradientSchedule: FilterGradientSchedule {}

/// A filter's gradient as products, one for all groups or one for each part of them.
struct ProductWeightGradient<Schedule: FilterGradientSchedule>: BlockedWeightGradient {
  let request: WeightGradientRequest
  let algorithm: String
  private let products: [GroupProduct<Schedule>]

  /// - Parameter schedule: of some groups, their part of the image and of the gradient.
  init(
    _ request: WeightGradientRequest, algorithm: String,
    _ schedule: (_ groups: ChannelGroups, _ input: BlockedTensor, _ output: BlockedTensor) -> Schedule
  ) throws(CNNError) {
    (self.request, self.algorithm) = (request, algorithm)
    products = try ChannelGroups.parts(of: request.geometry, blockChannels: request.blockChannels).map { groups in
      let image = groups.part(request.blockedInput, isInput: true)
      let result = groups.part(request.blockedGradient, isInput: false)
      return GroupProduct(
        groups: groups, schedule: schedule(groups, image.tensor, result.tensor), inputByteOffset: image.byteOffset,
        outputByteOffset: result.byteOffset, filterOffset: groups.weightOffset)
    }
  }

  var workspaceByteCount: Int { products.map(\.schedule.workspaceByteCount).max() ?? 0 }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    for product in products {
      product.schedule.run(
        x + product.inputByteOffset, gradient: dy + product.outputByteOffset,
        into: dWeight + product.filterOffset, workspace: workspace, workers: workers)
    }
  }
}
