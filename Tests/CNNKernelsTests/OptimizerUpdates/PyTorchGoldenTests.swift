import CNNRuntime
import Testing

@testable import CNNKernels

// Three steps of PyTorch 2.13.0's optimizers, the last at another learning rate:
//
//   def run(make, rates=[0.1, 0.1, 0.02]):
//       p = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 1e-3]))
//       o = make([p])
//       for step, rate in enumerate(rates):
//           for g in o.param_groups: g["lr"] = rate
//           p.grad = torch.tensor([0.1, -0.2, 0.3, 4.0]) * (step - 0.5)
//           o.step()
//       return p.tolist()

private func parameterAfterThreeSteps(
  sourceLocation: SourceLocation = #_sourceLocation,
  _ update: (
    _ p: UnsafeMutablePointer<Float>, _ g: UnsafePointer<Float>, _ slots: [UnsafeMutablePointer<Float>], _ rate: Double,
    _ step: Int, _ workers: Workers
  ) -> Void
) -> [Float] {
  let all = KernelChecks.floats(16, sourceLocation: sourceLocation) { all, workers in
    all.update(from: [0.5, -1, 2, 1e-3], count: 4)
    (all + 4).update(repeating: 0, count: 12)
    for (step, rate) in [0.1, 0.1, 0.02].enumerated() {
      let g = [0.1, -0.2, 0.3, 4].map { Float($0) * (Float(step) - 0.5) }
      g.withUnsafeBufferPointer {
        if let g = $0.baseAddress { update(all, g, [all + 4, all + 8, all + 12], rate, step + 1, workers) }
      }
    }
  }
  return Array(all[..<4])
}

@Test func stochasticGradientDescentGivesPyTorchsNumbers() {
  func run(momentum: Double, nesterov: Bool) -> [Float] {
    parameterAfterThreeSteps { p, g, slots, rate, _, workers in
      OptimizerUpdates.stochasticGradientDescent(
        [.init(p, g, 4, decay: .l2(strength: 0.01), velocity: slots[0])],
        settings: .init(learningRate: rate, momentum: momentum, nesterov: nesterov), workers: workers)
    }
  }
  // torch.optim.SGD(p, 0.1, weight_decay=0.01), then momentum=0.9, then nesterov=True
  KernelChecks.expectClose(
    run(momentum: 0, nesterov: false), [0.495895684, -0.991791368, 1.98658788, -0.119202167], tolerance: 3e-7)
  KernelChecks.expectClose(
    run(momentum: 0.9, nesterov: false), [0.499683082, -0.999366164, 1.99732924, 0.0571245849], tolerance: 3e-7)
  KernelChecks.expectClose(
    run(momentum: 0.9, nesterov: true), [0.495601773, -0.991203547, 1.98415923, -0.0690901279], tolerance: 3e-7)
}

@Test func adamAndAdamWGivePyTorchsNumbers() {
  func run(_ weightDecay: OptimizerUpdates.WeightDecay) -> [Float] {
    parameterAfterThreeSteps { p, g, slots, rate, step, workers in
      OptimizerUpdates.adam(
        [.init(p, g, 4, decay: weightDecay, mean: slots[0], meanSquare: slots[1])], step: step,
        settings: .init(learningRate: rate), workers: workers)
    }
  }
  // torch.optim.Adam(p, 0.1, weight_decay=0.01), torch.optim.AdamW(p, 0.1, weight_decay=0.01)
  KernelChecks.expectClose(
    run(.l2(strength: 0.01)), [0.571298659, -1.07175672, 2.06846452, 0.0838049352], tolerance: 3e-7)
  KernelChecks.expectClose(
    run(.decoupled(strength: 0.01)), [0.581613719, -1.08051443, 2.07831573, 0.083710812], tolerance: 3e-7)
}

@Test func rmspropGivesPyTorchsNumbers() {
  let p = parameterAfterThreeSteps { p, g, slots, rate, _, workers in
    OptimizerUpdates.rmsprop(
      [.init(p, g, 4, decay: .l2(strength: 0.01), velocity: slots[2], mean: slots[1], meanSquare: slots[0])],
      settings: .init(learningRate: rate, momentum: 0.9, centered: true), workers: workers)
  }
  // torch.optim.RMSprop(p, 0.1, momentum=0.9, centered=True, weight_decay=0.01)
  KernelChecks.expectClose(p, [1.41837275, -1.94402289, 2.93107462, 1.05292928], tolerance: 1e-6)
}
