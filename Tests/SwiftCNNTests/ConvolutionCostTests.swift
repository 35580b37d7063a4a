import CNNCore
import CNNGraph
import CNNRuntime
import Glibc
import Testing
import X86Assembler

@testable import CNNCompiler
@testable import CNNKernels
@testable import SwiftCNN

/// What algorithms predict that the convolutions of the main models take, beside what they take.
@Suite(.serialized) struct ConvolutionCostTests {
  static let models = ["resnet18", "resnet50", "efficientnet_b0"]

  /// One of a network's convolutions, computed by one algorithm.
  struct Candidate {
    let layer: Int
    let algorithm: String
    let cycles: Double
    let plan: any BlockedConvolution
    /// Its own, so that it comes from where it would in the network: from memory, if all filters together fill the caches.
    let filter: Memory
    var seconds = Double.infinity
  }

  /// The convolutions of networks by the algorithms that accept them.
  struct Measurement {
    var layers: [ConvolutionRequest] = []
    var candidates: [Candidate] = []
    private let image, result, bias, workspace: Memory
    private let workers: Workers

    /// Plans every convolution of these networks once, by all algorithms that accept it or by the one that is chosen.
    init(_ models: [String], batch: Int, onlyChosen: Bool, _ target: CodeTarget, _ workers: Workers) throws {
      self.workers = workers
      var seen: Set<ConvolutionGeometry> = []
      for geometry in try models.flatMap({ try Self.geometries(of: $0, batch: batch) })
      where seen.insert(geometry).inserted {
        layers.append(
          ConvolutionRequest(
            geometry, input: geometry.inputChannels < 8 && geometry.groups == 1 ? .picture(.number) : .blocked,
            epilogue: Epilogue(hasBias: true), workers: workers))
      }
      let library = KernelLibrary(target)
      for (index, request) in layers.enumerated() {
        let best = ConvolutionAlgorithms.best(request, target)?.name
        for algorithm in ConvolutionAlgorithms.all
        where onlyChosen ? algorithm.name == best : algorithm.refusal(request, target) == nil {
          let plan = try algorithm.plan(request, library: library)
          candidates.append(
            Candidate(
              layer: index, algorithm: algorithm.name, cycles: algorithm.cycles(request, target), plan: plan,
              filter: try Self.numbers(plan.filterCount * 4)))
        }
      }
      try #require(library.isUsable(workers: workers))
      let plans = candidates.map(\.plan)
      image = try Self.numbers(plans.map { max($0.input.byteCount, $0.geometry.inputCount * 4) }.max() ?? 0)
      result = try Self.numbers(plans.map(\.output.byteCount).max() ?? 0)
      bias = try Self.numbers(plans.map { $0.biasCount * 4 }.max() ?? 0)
      workspace = try Self.numbers(plans.map(\.workspaceByteCount).max() ?? 0)
    }

    private static func geometries(of model: String, batch: Int) throws -> [ConvolutionGeometry] {
      let network = try ModelRegistry.graph(model, ModelOptions())
      let graph = try Compiler.inferenceGraph(
        network, inputs: [TensorType(.float32, [batch, 224, 224, 3])],
        normalization: Compiler.PixelNormalization(mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25]))
      return try graph.nodes.compactMap { node in
        guard let convolution = node.operation as? Convolution2D else { return nil }
        return try convolution.geometry(
          graph.type(of: node.operands[0]).shape, weight: graph.type(of: node.operands[1]).shape)
      }
    }

    /// Memory that is there, and holds small numbers.
    private static func numbers(_ byteCount: Int) throws -> Memory {
      let memory = try Memory(byteCount: byteCount + 64, for: "convolutions")
      memset(memory.base, 0x3C, byteCount + 64)
      return memory
    }

    /// Runs each candidate once and keeps its shortest time. One candidate of every layer follows another, as in the network,
    /// before it is the next ones' turn.
    mutating func measure(_ clock: clockid_t) {
      var turns: [Int: Int] = [:]
      let turn = candidates.map { candidate in
        defer { turns[candidate.layer, default: 0] += 1 }
        return turns[candidate.layer, default: 0]
      }
      for index in candidates.indices.sorted(by: { (turn[$0], $0) < (turn[$1], $1) }) {
        let plan = candidates[index].plan, filter = candidates[index].filter
        let start = Self.time(clock)
        plan.run(
          image.base, filter: filter.base.assumingMemoryBound(to: Float.self),
          bias: bias.base.assumingMemoryBound(to: Float.self), residual: nil, into: result.base, mean: nil,
          workspace: workspace.base, workers: workers)
        candidates[index].seconds = min(candidates[index].seconds, Self.time(clock) - start)
      }
    }

    private static func time(_ clock: clockid_t) -> Double {
      var time = timespec()
      clock_gettime(clock, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// How well the order of what was predicted is that of what was measured.
    var correlation: Double { ConvolutionCostTests.correlation(candidates.map(\.cycles), candidates.map(\.seconds)) }
  }

  /// Spearman's rank correlation.
  static func correlation(_ a: [Double], _ b: [Double]) -> Double {
    func ranks(_ values: [Double]) -> [Double] {
      values.map { value in
        // Of equals the middle one's.
        let smaller = values.count { $0 < value }, equal = values.count { $0 == value }
        return Double(smaller) + Double(equal - 1) / 2 - Double(values.count - 1) / 2
      }
    }
    func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    let (a, b) = (ranks(a), ranks(b))
    return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
  }

  @Test func correlationIsOfRanks() {
    #expect(Self.correlation([1, 2, 3, 4], [10, 20, 30, 1000]) == 1)
    #expect(Self.correlation([1, 2, 3, 4], [4, 3, 2, 1]) == -1)
    // By hand: ranks 1.5, 1.5, 3 and 1, 2, 3 less their mean of 2: 1.5 / (1.5 * 2)^0.5.
    #expect(abs(Self.correlation([5, 5, 6], [1, 2, 3]) - 1.5 / 3.0.squareRoot()) < 1e-12)
  }

  /// By one thread in its own time, each at its shortest of some turns: whatever else the machine does meanwhile.
  @Test func predictionsRankLayersAsTheirTimesDo() throws {
    guard let target = CodeTarget.host else { return }
    var measurement = try Measurement(Self.models, batch: 1, onlyChosen: true, target, Workers(count: 1))
    for _ in 0..<12 { measurement.measure(CLOCK_THREAD_CPUTIME_ID) }
    #expect(measurement.candidates.count == measurement.layers.count && measurement.layers.count > 60)
    #expect(measurement.correlation >= 0.9)
  }

  /// `make bench-costs`, on an idle machine: how far every algorithm's prediction is right, and whether the cheapest is the
  /// fastest.
  @Test(.enabled(if: getenv("SWIFTCNN_BENCH_COSTS") != nil)) func predictionsBesideTimes() throws {
    let target = try #require(CodeTarget.host), workers = Workers(count: ThreadPool.defaultThreadCount)
    for model in Self.models {
      for batch in [1, 8] {
        var measurement = try Measurement([model], batch: batch, onlyChosen: false, target, workers)
        for _ in 0..<(batch == 1 ? 40 : 10) { measurement.measure(CLOCK_MONOTONIC) }
        Self.report(measurement, "\(model), batch \(batch), \(workers.count) threads, \(target.vectorName)")
      }
    }
  }

  private static func report(_ measurement: Measurement, _ title: String) {
    func padded(_ value: some CustomStringConvertible, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - value.description.count)) + value.description
    }
    func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
    print("\n\(title)\n")
    print("kilocycles  microseconds  per kilocycle  algorithm and layer")
    var chosen: [Candidate] = [], right = 0, contested = 0
    for layer in measurement.layers.indices {
      let candidates = measurement.candidates.filter { $0.layer == layer }
      guard let cheapest = candidates.min(by: { $0.cycles < $1.cycles }),
        let fastest = candidates.map(\.seconds).min()
      else { continue }
      chosen.append(cheapest)
      if candidates.count > 1 {
        contested += 1
        if cheapest.seconds <= 1.03 * fastest { right += 1 }
      }
      for candidate in candidates {
        let micro = candidate.seconds * 1e6, kilo = candidate.cycles / 1e3
        let columns = [
          padded(rounded(kilo), 10), padded(rounded(micro), 13), padded((micro / kilo * 1000).rounded() / 1000, 14), "",
          candidate.algorithm, StepCost(of: candidate.plan.geometry).shape,
          candidate.seconds == fastest ? "(fastest)" : "",
        ]
        print(columns.joined(separator: " "))
      }
    }
    func thousandths(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
    let all = thousandths(measurement.correlation)
    let best = thousandths(correlation(chosen.map(\.cycles), chosen.map(\.seconds)))
    print("\nrank correlation over the \(chosen.count) layers' chosen algorithms: \(best); over all algorithms: \(all)")
    print("the cheapest is the fastest, within 3 %: \(right) of the \(contested) layers with a choice")
  }
}
