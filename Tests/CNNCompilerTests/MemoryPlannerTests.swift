import CNNCore
import Testing

@testable import CNNCompiler

@Suite struct MemoryPlannerTests {
  @Test(arguments: 0..<60, [false, true]) func tensorsInUseNeverOverlap(_ seed: Int, _ isTight: Bool) throws {
    var random = PhiloxGenerator(seed: UInt64(seed), stream: 0)
    let requests = (0..<Int.random(in: 0...80, using: &random)).map { _ in
      let first = Int.random(in: 0...40, using: &random)
      return MemoryPlanner.Request(
        byteCount: Int.random(in: 0...5000, using: &random), firstStep: first,
        lastStep: first + Int.random(in: 0...12, using: &random))
    }
    let plan = try MemoryPlanner(requests, isTight: isTight)
    #expect(plan.offsets.count == requests.count)
    #expect(try plan.byteCount <= MemoryPlanner(requests).byteCount)
    #expect(plan.byteCount <= plan.totalByteCount)
    for (index, request) in requests.enumerated() {
      #expect(plan.offsets[index] % Memory.alignment == 0)
      #expect(plan.offsets[index] >= 0 && plan.offsets[index] + request.byteCount <= plan.byteCount)
      for other in 0..<index where request.byteCount > 0 && requests[other].byteCount > 0 {
        let inTime = requests[other].firstStep <= request.lastStep && request.firstStep <= requests[other].lastStep
        let inSpace =
          plan.offsets[other] < plan.offsets[index] + request.byteCount
          && plan.offsets[index] < plan.offsets[other] + requests[other].byteCount
        #expect(!(inTime && inSpace), "\(other) and \(index) share memory")
      }
    }
    // No plan can do with less than what is needed at one step.
    let needed = (0...52).map { step in
      requests.filter { $0.firstStep <= step && step <= $0.lastStep }.reduce(0) { $0 + $1.byteCount }
    }
    #expect(plan.byteCount >= needed.max() ?? 0)
  }

  @Test func aChainNeedsRoomForTwo() throws {
    let requests = (0..<100).map { MemoryPlanner.Request(byteCount: 640, firstStep: $0, lastStep: $0 + 1) }
    let plan = try MemoryPlanner(requests)
    #expect(plan.byteCount == 1280 && plan.totalByteCount == 64000)
  }

  /// The largest first, what is needed longest comes to lie above all of them.
  @Test func aTightPlanHasNoGaps() throws {
    let requests = [(256, 1, 2), (128, 3, 6), (192, 0, 3), (192, 3, 4)].map {
      MemoryPlanner.Request(byteCount: $0.0, firstStep: $0.1, lastStep: $0.2)
    }
    #expect(try MemoryPlanner(requests).byteCount == 576)
    #expect(try MemoryPlanner(requests, isTight: true).byteCount == 512)
  }

  @Test func nothingNeedsNothing() throws {
    #expect(try MemoryPlanner([]).byteCount == 0)
    #expect(try MemoryPlanner([], isTight: true).byteCount == 0)
  }

  @Test func sizesThatOverflowAreRefused() {
    let huge = MemoryPlanner.Request(byteCount: .max, firstStep: 0, lastStep: 1)
    let error = #expect(throws: CNNError.self) { try MemoryPlanner([huge]) }
    #expect(error?.code == .outOfMemory)
    let half = MemoryPlanner.Request(byteCount: .max / 2, firstStep: 0, lastStep: 1)
    #expect(throws: CNNError.self) { try MemoryPlanner([half, half, half]) }
  }
}
