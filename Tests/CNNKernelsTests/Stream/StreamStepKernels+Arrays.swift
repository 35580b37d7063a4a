import CNNRuntime
import Testing

@testable import CNNKernels

/// What a test gives to a port.
protocol PortMemory {
  var address: UnsafeRawPointer { get }
}

extension UnsafeMutableRawPointer: PortMemory {
  var address: UnsafeRawPointer { UnsafeRawPointer(self) }
}

extension UnsafeMutablePointer<Float>: PortMemory {
  var address: UnsafeRawPointer { UnsafeRawPointer(self) }
}

extension StreamStepKernels {
  /// Runs with the tensors of the ports in their order, in a working memory that is checked.
  func run(_ ports: [any PortMemory], workers: Workers) throws {
    let workspace = try ConvolutionBuffer(byteCount: workspaceByteCount)
    var given = StreamStep.Ports(ports[0].address)
    for (port, memory) in ports.enumerated() { given[port] = memory.address }
    run(given, workspace: workspace.base, workers: workers)
    #expect(workspace.isGuardIntact)
  }
}
