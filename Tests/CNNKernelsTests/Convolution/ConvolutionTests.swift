import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

@Suite struct ConvolutionTests {
  @Test(arguments: ConvolutionCases.named)
  func namedShapeMatchesReference(shape: String) throws {
    try check(ConvolutionCase(shape), seed: 1)
  }

  @Test func randomShapesMatchReference() throws {
    for seed in 1...UInt64(400) { try check(ConvolutionCase(random: seed), seed: seed) }
  }

  @Test func inputGradientIsAdjointOfForward() throws {
    for seed in 1000...UInt64(1100) {
      let test = try ConvolutionCase(random: seed)
      let g = test.geometry, workers = Workers(count: 2)
      let run = try ConvolutionRun(g, workers: workers, seed: seed, hasBias: false)
      func inner(_ a: ConvolutionBuffer, _ b: ConvolutionBuffer) -> (sum: Double, magnitude: Double) {
        (0..<a.count).reduce(into: (0, 0)) {
          $0.0 += Double(a[$1]) * Double(b[$1])
          $0.1 += abs(Double(a[$1]) * Double(b[$1]))
        }
      }
      let forward = inner(run.dy, run.y), backward = inner(run.dx, run.x), kernel = inner(run.dWeight, run.weight)
      let tolerance = 1e-5 * (forward.magnitude + backward.magnitude + kernel.magnitude)
      #expect(abs(forward.sum - backward.sum) <= tolerance, "\(test.line(seed: seed, workers: 2))")
      #expect(abs(forward.sum - kernel.sum) <= tolerance, "\(test.line(seed: seed, workers: 2))")
    }
  }

  /// Compares all three passes with the reference for several numbers of workers, and two runs with each other.
  private func check(_ test: ConvolutionCase, seed: UInt64) throws {
    let g = test.geometry, hasBias = seed % 2 == 1
    let reference = try ConvolutionExpectation(g, seed: seed, hasBias: hasBias)
    for workerCount in [1, 2, 3, 5] {
      let line = test.line(seed: seed, workers: workerCount)
      let run = try ConvolutionRun(g, workers: Workers(count: workerCount), seed: seed, hasBias: hasBias)
      let again = try ConvolutionRun(g, workers: Workers(count: workerCount), seed: seed, hasBias: hasBias)
      #expect(run.isGuardIntact, "written past the end: \(line)")
      expectEqual(run.y, again.y, reference.y, "y \(line)")
      expectEqual(run.dx, again.dx, reference.dx, "dx \(line)")
      expectEqual(run.dWeight, again.dWeight, reference.dWeight, "dWeight \(line)")
    }
  }

  private func expectEqual(
    _ result: ConvolutionBuffer, _ again: ConvolutionBuffer, _ expected: [Double], _ line: String
  ) {
    // Operands lie in [-1, 1), so the largest result is near the root of the number of products summed.
    let tolerance = 1e-5 * expected.reduce(1) { max($0, abs($1)) }
    for i in 0..<result.count {
      if !(abs(Double(result[i]) - expected[i]) <= tolerance) {
        Issue.record("\(line): [\(i)] is \(result[i]), expected \(expected[i])")
        return
      }
      if result[i].bitPattern != again[i].bitPattern {
        Issue.record("\(line): [\(i)] is \(result[i]) and then \(again[i])")
        return
      }
    }
  }

  @Test func badSizesAreErrors() {
    func code(_ line: String) -> CNNError.Code? {
      do {
        _ = try ConvolutionCase(line)
        return nil
      } catch { return (error as? CNNError)?.code }
    }
    for word in ["n0", "h0", "ic-1", "kw0", "sh0", "sw2000", "dh0", "pt-1", "g0", "w999999999999", "kh999999999"] {
      #expect(code("h8 w8 ic4 oc4 \(word)") == .invalidArgument, "\(word)")
    }
    for line in ["h8 w8 ic3 oc4 g2", "h8 w8 ic4 oc3 g2", "h8 w8 kh9", "h8 w8 kw3 dw4"] {
      #expect(code(line) == .shapeMismatch, "\(line)")
    }
    let huge = "16777216"
    #expect(code("n\(huge) h\(huge) w\(huge) ic4") == .outOfMemory)
    #expect(code("h8 w8 ic\(huge) oc\(huge) kh8 kw8 pl\(huge) pr\(huge) pt\(huge)") == .outOfMemory)
  }

  /// Sizes that no machine could hold must still be planned, or refused, without a trap.
  @Test func extremeSizesDoNotTrap() throws {
    let lines = [
      "h2000 w2000 ic1000 oc1000 sh1000 sw1000 dh16777216 dw16777215",
      "h16777216 w16 ic16 oc16 kh3 dh8388607 sh1024 pt1",
      "h9 w9 kh3 kw3 dh4 dw4 sh1024 sw1024 ic1048576 oc1048576",
      "h1 w1 pt16777216 pb16777216 pl16777216 pr16777216 kh1048576 kw1024 sh1024 sw1024",
      "n16777216 h1024 w1024 ic16 oc16 kh3 kw3",
    ]
    for line in lines {
      guard let g = try? ConvolutionCase(line).geometry else { continue }
      for workers in [Workers(count: 1), Workers(count: 7), Workers(count: .max)] {
        _ = try? Convolution.forwardWorkspaceByteCount(g, workers: workers)
        _ = try? Convolution.inputGradientWorkspaceByteCount(g, workers: workers)
        _ = try? Convolution.weightGradientWorkspaceByteCount(g, workers: workers)
      }
    }
  }

  @Test func hugeWorkspaceIsAnError() throws {
    let g = try ConvolutionCase("h4 w4 ic16777216 oc16777216 kh2 kw1").geometry
    let workers = Workers(count: 1 << 40)
    #expect(throws: CNNError.self) { try Convolution.weightGradientWorkspaceByteCount(g, workers: workers) }
  }
}
