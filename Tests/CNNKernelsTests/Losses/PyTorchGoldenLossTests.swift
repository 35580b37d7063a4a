import Testing

@testable import CNNKernels

// PyTorch 2.13.0:
//   x = torch.tensor([[1.5, -0.5, 3.0], [-2.0, 0.25, 0.75]], requires_grad=True)
//   l = F.cross_entropy(x, torch.tensor([0, 2]), reduction="none", label_smoothing=s)
//   g, = torch.autograd.grad((l * torch.tensor([0.25, 0.5])).sum(), x)
//   b = F.binary_cross_entropy_with_logits(x, torch.tensor([[1., 0, 1], [0, 0.5, 1]]), reduction="none").mean(1)
private let x: [Float] = [1.5, -0.5, 3, -2, 0.25, 0.75]

private let crossEntropies: [(smoothing: Float, loss: [Double], gradient: [Double])] = [
  (
    0, [1.7258020639419556, 0.5130981802940369],
    [
      -0.20549245178699493, 0.006023441441357136, 0.19946900010108948, 0.019134823232889175, 0.181546151638031,
      -0.20068100094795227,
    ]
  ),
  (
    0.1, [1.7424687147140503, 0.6214315295219421],
    [
      -0.188825786113739, -0.002309892326593399, 0.19113565981388092, 0.0024681556969881058, 0.16487948596477509,
      -0.16734766960144043,
    ]
  ),
]

@Test func sparseCategoricalCrossEntropyGivesPyTorchsNumbers() {
  for golden in crossEntropies {
    let loss = KernelChecks.floats(2) { loss, workers in
      SparseCategoricalCrossEntropy.forward(
        prediction: x, kind: .logits, labels: [0, 2], labelSmoothing: golden.smoothing, perSample: loss, rows: 2,
        classes: 3, workers: workers)
    }
    let gradient = KernelChecks.floats(6) { gradient, workers in
      SparseCategoricalCrossEntropy.backward(
        prediction: x, kind: .logits, labels: [0, 2], labelSmoothing: golden.smoothing, coefficient: [0.25, 0.5],
        dPrediction: gradient, rows: 2, classes: 3, workers: workers)
    }
    KernelChecks.expectClose(loss, golden.loss, tolerance: 3e-7)
    KernelChecks.expectClose(gradient, golden.gradient, tolerance: 1e-7)
  }
}

@Test func binaryCrossEntropyGivesPyTorchsNumbers() {
  let loss = KernelChecks.floats(2) { loss, workers in
    BinaryCrossEntropy.forward(
      prediction: x, kind: .logits, targets: [1, 0, 1, 0, 0.5, 1], perSample: loss, rows: 2, classes: 3,
      workers: workers)
  }
  KernelChecks.expectClose(loss, [0.2413591891527176, 0.4049128293991089], tolerance: 2e-7)
}
