// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CNNGraph
import CSwiftCNN
import SwiftCNN

/// A graph under construction.
///
/// Unchecked because the variables are touched under the lock only.
final class GraphHandle: @unchecked Sendable {
  private let lock = LockSet(of: "the graph")
  private var network = NetworkBuilder()
  private var outputs: [Value] = []

  /// What was built so far, and the further outputs of the models that are made of it.
  func contents() throws(CNNError) -> (network: NetworkBuilder, outputs: [Value]) {
    try lock.reading { () throws(CNNError) in (network, outputs) }
  }

  /// Adds to the network.
  func add(_ body: (inout NetworkBuilder) throws(CNNError) -> Value) throws(CNNError) -> Value {
    try lock.writing { () throws(CNNError) in try body(&network) }
  }

  /// Adds an output.
  func add(output: Value) throws(CNNError) {
    try lock.writing { () throws(CNNError) in outputs.append(output) }
  }
}

private func graph(_ handle: OpaquePointer?) throws(CNNError) -> GraphHandle {
  try Handles.get(handle, "graph", as: GraphHandle.self)
}

@_cdecl("scnn_initial_values") @implementation
public func scnn_initial_values(
  _ initializer: UnsafePointer<CChar>!, _ seed: UInt64, _ shape: UnsafePointer<Int64>!, _ rank: Int32,
  _ values: UnsafeMutablePointer<Float>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let initializer = try InitialValues(json: options(initializer, "initializer"))
    guard values != nil || count > 0 else { return }
    let shape = try required(shape, "shape")
    try initializer.fill(
      floats(values, count, "values"), shape: sizes(rank, "shape") { shape[$0] }, seed: seed)
  }
}

@_cdecl("scnn_graph_create") @implementation
public func scnn_graph_create(_ graph: UnsafeMutablePointer<OpaquePointer?>!) -> scnn_status {
  call { () throws(CNNError) in try required(graph, "graph").pointee = Handles.make(GraphHandle()) }
}

@_cdecl("scnn_graph_free") @implementation
public func scnn_graph_free(_ handle: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(handle, "graph", as: GraphHandle.self) }
}

@_cdecl("scnn_graph_input") @implementation
public func scnn_graph_input(
  _ handle: OpaquePointer!, _ name: UnsafePointer<CChar>!, _ shape: UnsafePointer<Int64>!, _ rank: Int32,
  _ value: UnsafeMutablePointer<scnn_value>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try graph(handle)
    let name = try text(name, "name"), shape = try required(shape, "shape"), out = try required(value, "value")
    // -1 becomes nil: any size.
    let dimensions = try sizes(rank, "shape") { shape[$0] }.map { $0 == -1 ? nil : $0 }
    let added = try handle.add { (network) throws(CNNError) in
      try network.builder.input(name, shape: dimensions)
    }
    out.pointee = scnn_value(added.index)
  }
}

@_cdecl("scnn_graph_layer") @implementation
public func scnn_graph_layer(
  _ handle: OpaquePointer!, _ kind: UnsafePointer<CChar>!, _ name: UnsafePointer<CChar>!,
  _ options: UnsafePointer<CChar>!, _ operands: UnsafePointer<scnn_value>!, _ operandCount: Int,
  _ value: UnsafeMutablePointer<scnn_value>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try graph(handle)
    let kind = try text(kind, "kind"), name = try optionalText(name, "name"), out = try required(value, "value")
    let options = try SwiftCNNABI.options(options, "options"), values = try values(operands, operandCount)
    let added = try handle.add { (network) throws(CNNError) in
      try network.builder.layer(kind, name: name, options: options, operands: values)
    }
    out.pointee = scnn_value(added.index)
  }
}

@_cdecl("scnn_graph_apply") @implementation
public func scnn_graph_apply(
  _ handle: OpaquePointer!, _ model: OpaquePointer!, _ prefix: UnsafePointer<CChar>!,
  _ tensor: UnsafePointer<CChar>!, _ inference: Int32, _ operand: scnn_value, _ value: UnsafeMutablePointer<scnn_value>!
) -> scnn_status {
  withUnsafePointer(to: operand) { scnn_graph_apply_many(handle, model, prefix, tensor, inference, $0, 1, value) }
}

@_cdecl("scnn_graph_apply_many") @implementation
public func scnn_graph_apply_many(
  _ handle: OpaquePointer!, _ model: OpaquePointer!, _ prefix: UnsafePointer<CChar>!,
  _ tensor: UnsafePointer<CChar>!, _ inference: Int32, _ operands: UnsafePointer<scnn_value>!, _ operandCount: Int,
  _ value: UnsafeMutablePointer<scnn_value>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try graph(handle), model = try SwiftCNNABI.model(model)
    let prefix = try optionalText(prefix, "prefix") ?? "", tensor = try optionalText(tensor, "tensor")
    let values = try values(operands, operandCount), out = try required(value, "value")
    let added = try handle.add { (network) throws(CNNError) in
      try network.apply(model, to: values, prefix: prefix, tensor: tensor, inference: inference != 0)
    }
    out.pointee = scnn_value(added.index)
  }
}

/// The operands of a layer.
private func values(_ operands: UnsafePointer<scnn_value>?, _ count: Int) throws(CNNError) -> [Value] {
  let operands = try required(operands, "operands")
  guard (1...4096).contains(count) else {
    throw CNNError(.invalidArgument, "operand_count is \(count); expected 1 to 4096")
  }
  return (0..<count).map { Value(index: Int(operands[$0])) }
}

/// A value of the graph. Throws where the graph has none of that number.
private func known(_ value: scnn_value, _ graph: Graph) throws(CNNError) -> Value {
  guard (0..<graph.valueCount).contains(Int(value)) else {
    throw CNNError(.invalidArgument, "value \(value) is not a value of this graph")
  }
  return Value(index: Int(value))
}

@_cdecl("scnn_graph_shape") @implementation
public func scnn_graph_shape(
  _ handle: OpaquePointer!, _ value: scnn_value, _ shape: UnsafeMutablePointer<Int64>!,
  _ rank: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    let graph = try graph(handle).contents().network.builder.graph
    try write(graph.shape(of: known(value, graph)), to: shape, rank)
  }
}

@_cdecl("scnn_graph_output") @implementation
public func scnn_graph_output(_ handle: OpaquePointer!, _ output: scnn_value) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try graph(handle)
    try handle.add(output: known(output, handle.contents().network.builder.graph))
  }
}

@_cdecl("scnn_graph_model") @implementation
public func scnn_graph_model(
  _ handle: OpaquePointer!, _ output: scnn_value, _ options: UnsafePointer<CChar>!,
  _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let (network, others) = try graph(handle).contents()
    let output = try known(output, network.builder.graph)
    let settings = try CustomModelOptions(json: SwiftCNNABI.options(options, "options"))
    try give(model, "model") { () throws(CNNError) in
      try Model(network, output: output, others: others, options: settings)
    }
  }
}
