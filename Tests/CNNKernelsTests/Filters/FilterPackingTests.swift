import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Filters packed by generated code against their definition, on random awkward shapes.
struct FilterPackingTests {
  /// Sizes, panels and an order: forward, or exchanged with some taps.
  struct Case {
    var outputs = 1, inputs = 1, taps = 1, blockDepth = 16
    var panels: [[Int]] = []
    var chosen: [Int]?
    var seed: UInt64 = 0

    var order: FilterOrder {
      chosen.map { .exchanged(inputs: outputs, taps: taps, chosen: $0) } ?? .forward(inputs: inputs, taps: taps)
    }

    init(_ generator: inout PhiloxGenerator, _ target: CodeTarget, taps: Int? = nil) {
      seed = generator.next()
      outputs = Int.random(in: 1...70, using: &generator)
      inputs = Int.random(in: 1...40, using: &generator)
      self.taps = taps ?? [1, 1, 2, 3, 4, 6, 9, 25].randomElement(using: &generator) ?? 1
      if Bool.random(using: &generator) { outputs = (outputs + 7) / 8 * 8 }
      if Bool.random(using: &generator) {
        let all = Array(0..<self.taps).shuffled(using: &generator)
        chosen = taps == nil ? Array(all.prefix(Int.random(in: 1...self.taps, using: &generator))) : all
      } else if taps == nil, Bool.random(using: &generator) {
        blockDepth = inputs
      }
      panels =
        Tiling.best(
          linePixels: Int.random(in: 1...60, using: &generator), channels: outputs, depth: inputs, temporaries: 0,
          wholeBlocks: taps != nil, target
        ).panels
    }
  }

  /// The same of bfloat16, two input channels to a word.
  @Test(.enabled(if: BFloat16ProductTests.hasVectors))
  func everyRoundedNumberIsAtItsPlace() throws {
    let target = CodeTarget(.avx512BF16)
    var generator = PhiloxGenerator(seed: 32, stream: 1), withCode = 0
    for index in 0..<250 {
      var shape = Case(&generator, target)
      if shape.blockDepth == 16 { shape.blockDepth = 32 }
      let order = shape.order, count = order.tapOffsets.count
      let filter = PackedFilter(
        outputChannels: shape.outputs, inputChannels: shape.inputs, height: count, width: 1,
        blockDepth: shape.blockDepth, panels: shape.panels, element: .bfloat16)
      let library = KernelLibrary(target)
      let packing = FilterPacking(filter, order: order, library: library)
      if try !library.code().isEmpty { withCode += 1 }
      try library.finish()
      let weight = try GuardedFloats(randomFloats(shape.outputs * shape.inputs * shape.taps, seed: shape.seed))
      let scale = index % 2 == 0 ? randomFloats(shape.outputs, seed: 5) : nil
      let packed = try GuardedFloats(packing.count)
      packing.pack(weight.pointer, scale: scale, into: packed.pointer, workers: Workers(count: 1 + index % 3))
      func bits(_ lane: Int, _ input: Int, _ offset: Int) -> UInt32 {
        guard lane < shape.outputs, input < shape.inputs else { return 0 }
        let number = weight.pointer[lane * order.laneStride + input * order.depthStride + offset]
        return UInt32(BFloat16(number * (scale?[lane] ?? 1)).bitPattern)
      }
      var expected: [UInt32] = []
      for panel in filter.panels.indices {
        for first in stride(from: 0, to: shape.inputs, by: shape.blockDepth) {
          for offset in order.tapOffsets {
            for input in stride(from: first, to: min(first + shape.blockDepth, shape.inputs), by: 2) {
              for lane in filter.firstLane(of: panel)..<filter.firstLane(of: panel) + filter.lanes(of: panel) {
                expected.append(bits(lane, input, offset) | bits(lane, input + 1, offset) << 16)
              }
            }
          }
        }
      }
      #expect(packed.isIntact && packed.bits == expected, "\(shape)")
    }
    #expect(withCode > 100)
  }

  @Test(arguments: BlockedConvolutionTests.targets)
  func everyNumberIsAtItsPlace(_ target: CodeTarget) throws {
    var generator = PhiloxGenerator(seed: 31, stream: 1)
    for index in 0..<150 {
      let shape = Case(&generator, target), order = shape.order, count = order.tapOffsets.count
      let filter = PackedFilter(
        outputChannels: shape.outputs, inputChannels: shape.inputs, height: count, width: 1,
        blockDepth: shape.blockDepth, panels: shape.panels)
      let factors = index % 3 == 0 ? (0..<count).map { 0.5 + Float($0) } : nil
      let library = KernelLibrary(target)
      let packing = FilterPacking(filter, order: order, tapFactors: factors, library: library)
      try library.finish()
      let weight = try GuardedFloats(
        randomFloats(shape.outputs * shape.inputs * shape.taps, seed: shape.seed))
      let scale = randomFloats(shape.outputs, seed: 5)
      let packed = try GuardedFloats(packing.count)
      packing.pack(
        weight.pointer, scale: index % 2 == 0 ? scale : nil, into: packed.pointer,
        workers: Workers(count: 1 + index % 3))
      var expected: [Float] = []
      for panel in filter.panels.indices {
        for first in stride(from: 0, to: shape.inputs, by: shape.blockDepth) {
          for (tap, offset) in order.tapOffsets.enumerated() {
            for input in first..<min(first + shape.blockDepth, shape.inputs) {
              for lane in filter.firstLane(of: panel)..<filter.firstLane(of: panel) + filter.lanes(of: panel) {
                guard lane < shape.outputs else {
                  expected.append(0)
                  continue
                }
                let number = weight.pointer[lane * order.laneStride + input * order.depthStride + offset]
                expected.append(number * ((factors?[tap] ?? 1) * (index % 2 == 0 ? scale[lane] : 1)))
              }
            }
          }
        }
      }
      #expect(packed.isIntact && packed.values == expected, "\(shape), \(target.instructionSet)")
    }
  }

  @Test(arguments: BlockedConvolutionTests.targets, [WinogradTransform.f2, .f4, .f3WithFourTaps])
  func transformedFiltersEqualTheirDefinition(_ target: CodeTarget, _ transform: WinogradTransform) throws {
    var generator = PhiloxGenerator(seed: 32, stream: 1)
    let taps = transform.taps, side = transform.inputs
    for index in 0..<30 {
      let shape = Case(&generator, target, taps: taps * taps), order = shape.order
      let filter = PackedFilter(
        outputChannels: shape.outputs, inputChannels: shape.inputs, height: 1, width: 1, blockDepth: 16,
        panels: shape.panels)
      let library = KernelLibrary(target)
      let packing = FilterPacking(filter, order: order, transform: transform, library: library)
      try library.finish()
      let weight = try GuardedFloats(
        randomFloats(shape.outputs * shape.inputs * shape.taps, seed: shape.seed))
      let packed = try GuardedFloats(packing.count)
      packing.pack(weight.pointer, scale: nil, into: packed.pointer, workers: Workers(count: 1 + index % 3))
      var expected: [Double] = []
      for panel in filter.panels.indices {
        for position in 0..<transform.positions {
          let row = transform.filterRow(position / side), column = transform.filterRow(position % side)
          for input in 0..<shape.inputs {
            for lane in filter.firstLane(of: panel)..<filter.firstLane(of: panel) + filter.lanes(of: panel) {
              var sum = 0.0
              for tap in 0..<taps * taps where lane < shape.outputs {
                let number = weight.pointer[
                  lane * order.laneStride + input * order.depthStride + order.tapOffsets[tap]]
                sum += row[tap / taps] * column[tap % taps] * Double(number)
              }
              expected.append(sum)
            }
          }
        }
      }
      #expect(packed.distance(expected) < 2e-5, "\(shape), \(target.instructionSet)")
    }
  }

  /// Results past the caches are those that stay in them.
  @Test(arguments: BlockedConvolutionTests.targets)
  func streamedResultsAreTheSame(_ target: CodeTarget) throws {
    for transform in [nil, WinogradTransform.f4] {
      var kernel = FilterPackingKernel(
        target: target, lanes: 16, usedLanes: 13, laneStride: 9 * 5 * 4, span: 36,
        columns: (0..<9).map { .init(source: $0 * 4, place: $0 * 5 * 64) }, sourceStep: 36, placeStep: 64,
        transform: transform.map { .init(transform: $0, positionStride: 5 * 64) })
      let count = (transform?.positions ?? 9) * 5 * 16
      let weight = try GuardedFloats(randomFloats(13 * 9 * 5, seed: 3))
      let packed = try (0..<2).map { _ in try ConvolutionBuffer(count: count) }
      for (index, result) in packed.enumerated() {
        kernel.isStreamed = index == 1
        let (library, chosen) = (KernelLibrary(target), kernel)
        let code = library.kernel(chosen, name: chosen.name) { chosen.code() }
        try library.finish()
        var arguments = FilterPackingArguments(
          scale: SIMD16(repeating: 1), source: weight.pointer, place: result.base, rounds: 5)
        code(&arguments)
      }
      #expect((0..<count).allSatisfy { packed[0][$0] == packed[1][$0] })
      let isIntact = packed.allSatisfy(\.isGuardIntact)
      #expect(isIntact)
    }
  }
}
