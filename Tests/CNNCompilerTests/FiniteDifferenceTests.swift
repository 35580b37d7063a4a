import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

@Suite struct FiniteDifferenceTests {
  @Test(arguments: FiniteDifferenceCases.all) func gradientsAreTheDifferences(_ example: OperationCase) throws {
    // Any number of threads must do; a case uses one of three.
    let threads = example.name.utf8.reduce(0) { $0 + Int($1) } % 3 + 1
    let (gradients, upstream) = try example.gradientRunner(threads: threads)
    try gradients.run()
    let forward = try example.runner(example.forwardGraph(), threads: 1)
    var random = PhiloxGenerator(seed: 5, stream: 1)

    func scalar() throws -> Double {
      try forward.run()
      return zip(try forward.output("y"), upstream).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }

    let terms = zip(try gradients.output("y"), upstream).map { Double($0) * Double($1) }
    let sum = try gradients.output("sum")[0]
    #expect(abs(Double(sum) - terms.reduce(0, +)) <= 1e-6 * terms.reduce(1e-3) { $0 + abs($1) })
    for operand in example.operands where operand.hasGradient {
      let gradient = try gradients.output("gradient:\(operand.name)")
      let values = operand.makeValues(example.name)
      #expect(gradient.count == values.count)
      let scale = max(gradient.map(abs).max() ?? 0, 1e-2)
      for _ in 0..<min(8, values.count) {
        let index = Int.random(in: 0..<values.count, using: &random)
        var changed = values
        changed[index] = values[index] + example.step
        let above = changed[index]
        try forward.set(operand.name, changed)
        let upper = try scalar()
        changed[index] = values[index] - example.step
        let below = changed[index]
        try forward.set(operand.name, changed)
        let difference = Float((upper - (try scalar())) / Double(above - below))
        #expect(
          abs(gradient[index] - difference) <= example.tolerance * scale,
          "\(operand.name)[\(index)]: gradient \(gradient[index]), difference \(difference)")
      }
      try forward.set(operand.name, values)
    }
  }

  @Test(arguments: FiniteDifferenceCases.all) func threadsChangeLittle(_ example: OperationCase) throws {
    var first: [Float]?
    for threads in 1...3 {
      let (runner, _) = try example.gradientRunner(threads: threads)
      try runner.run()
      let values = runner.plan.graph.outputs.indices.flatMap { Array(runner.context.output($0)) }
      if let first { expectClose(values, first, 1e-5, "\(threads) threads") } else { first = values }
    }
  }
}
