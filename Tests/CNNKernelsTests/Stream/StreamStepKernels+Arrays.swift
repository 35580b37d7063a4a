import CNNRuntime
import Testing

@testable import CNNKernels

/// What a test gives to a port: the memory itself, which so is there until the step has run.
protocol PortMemory: AnyObject {
  var address: UnsafeRawPointer { get }
}

extension ConvolutionBuffer: PortMemory {
  var address: UnsafeRawPointer { UnsafeRawPointer(base) }
}

extension GuardedFloats: PortMemory {
  var address: UnsafeRawPointer { UnsafeRawPointer(pointer) }
}

extension StreamStepKernels {
  /// Runs with the tensors of the ports in their order, in a working memory that is checked.
  func run(_ ports: [any PortMemory], workers: Workers) throws {
    let workspace = try ConvolutionBuffer(byteCount: workspaceByteCount)
    var given = StreamStep.Ports(ports[0].address)
    for (port, memory) in ports.enumerated() { given[port] = memory.address }
    run(given, workspace: workspace.base, workers: workers)
    #expect(workspace.isGuardIntact)
    withExtendedLifetime(ports) {}
  }
}
