import CNNCore
import CNNGraph
import Glibc

/// A type that is known to be well formed.
func type(_ shape: [Int], _ element: ElementType = .float32) throws -> TensorType { try TensorType(element, shape) }

/// A small network with every kind of parameter, a residual and two results of one value.
func smallNetwork(endingIn last: ActivationFunction? = nil, softmax: Bool = false) throws -> Graph {
  var builder = GraphBuilder()
  let input = try builder.input(shape: [6, 6, 3])
  var x = try builder.convolution(input, "conv", outputChannels: 4, kernel: (3, 3), padding: .same, bias: true)
  x = try builder.batchNormalization(x, "bn")
  x = try builder.activation(.relu, x, "relu")
  let branch = try builder.apply(Dropout(rate: 0.5, stream: 1), x, name: "dropout")
  x = try builder.apply(Add(), branch, x, name: "sum")
  x = try builder.apply(GlobalPooling2D(.average), x, name: "pool")
  x = try builder.dense(x, "fc", units: 5)
  if softmax { x = try builder.apply(Softmax(), x, name: "probabilities") }
  if let last { x = try builder.activation(last, x, "last") }
  try builder.graph.addOutput("scores", x)
  return builder.graph
}

/// The processor time of this thread in seconds: what others do on the machine does not count.
func processorTime(_ body: () throws -> Void) rethrows -> Double {
  func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
  let start = now()
  try body()
  return now() - start
}

/// An operation that is in no table and has no gradient.
struct Riddle: Operation {
  static let name = "riddle"
  init() {}
  init(_ attributes: inout Attributes) throws(CNNError) {}
  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { operands }
}
