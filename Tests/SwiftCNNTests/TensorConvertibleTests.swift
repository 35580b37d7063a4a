import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// What can be given where a tensor is asked for.
@Suite struct TensorConvertibleTests {
  private func model(classes: Int = 2) throws -> Model {
    var builder = GraphBuilder()
    let x = try builder.dense(builder.input(shape: [3]), "fc", units: classes)
    try builder.graph.addOutput("y", builder.apply(Softmax(), x))
    return try Model(builder.graph, name: "dense")
  }

  @Test func nestedArraysHaveAnAxisForEachLevel() throws {
    let tensor = try Tensor([[[1, 2], [3, 4], [5, 6]]] as [[[Float]]])
    #expect(tensor.shape == [1, 3, 2] && tensor.values == [1, 2, 3, 4, 5, 6])
    #expect(try Tensor([[0.5, 1]]).values == [0.5, 1])
    let pixels = try [[UInt8(0), 255]].view
    #expect(pixels.element == .uint8 && pixels.shape == [1, 2])
    let labels = try [3, 1, 2].view
    #expect(labels.element == .int32 && labels.shape == [3])
    #expect(
      UnsafeBufferPointer(start: labels.base.assumingMemoryBound(to: Int32.self), count: 3).elementsEqual([3, 1, 2]))
  }

  @Test func whatIsNoTensorIsNamed() throws {
    expectError(.shapeMismatch, "the array at 1 has 1 elements and the first 2") { _ = try Tensor([[1, 2], [3]]) }
    expectError(.invalidArgument, "4294967296 is no int32") { _ = try Tensor([1 << 32]) }
    expectError(.shapeMismatch, "3 values given for the shape [2, 2]") { _ = try Tensor([1.0, 2, 3], shape: [2, 2]) }
    #expect(throws: CNNError.self) { try Tensor([Float]()) }
    #expect(throws: CNNError.self) { try Tensor([[Float]]()) }
    let tensor = try Tensor(zeros: [1, 3])
    expectError(.invalidArgument, "2 tensors are given; expected one") {
      _ = try model().trainOnBatch(tensor, [tensor, tensor])
    }
  }

  @Test func modelsTakeTensorsAndArraysAsTheirViews() throws {
    let model = try model(), rows: [[Float]] = [[1, 2, 3], [-1, 0, 1]]
    let tensor = try Tensor(rows), expected = try model.predict(tensor.view).values
    #expect(try model.predict(tensor).values == expected)
    #expect(try model.predict(rows).values == expected)
    #expect(try model.predict([tensor]).values == expected)
    #expect(try model.predict(["input": rows]).values == expected)
    #expect(try model.predict(tensor).rows == [Array(expected[..<2]), Array(expected[2...])])
    try model.compile(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd(learningRate: 0), metrics: [.accuracy])
    let labels = try Tensor([0, 1], shape: [2])
    #expect(try model.evaluate(rows, [0, 1]) == model.evaluate(tensor.view, labels.view))
    #expect(
      try model.trainOnBatch(rows, [0, 1], sampleWeight: [0.5, 2])
        == model.trainOnBatch(tensor, labels, sampleWeight: Tensor([Float(0.5), 2])))
    #expect(try model.fit(rows, [0, 1], options: FitOptions(epochs: 2)).count == 2)
  }

  @Test func severalInputsAreGivenByPlaceOrByName() throws {
    var builder = GraphBuilder()
    let a = try builder.input("a", shape: [2]), b = try builder.input("b", shape: [2])
    try builder.graph.addOutput("y", builder.apply(Add(), a, b))
    let model = try Model(builder.graph, name: "sum")
    let one = try Tensor([[Float(1), 2]]), two = try Tensor([[Float(3), 4]])
    #expect(try model.predict([one, two]).values == [4, 6])
    #expect(try model.predict(["b": two, "a": one]).values == [4, 6])
    // Rows are one tensor, not one for each input.
    expectError(.invalidArgument, "x is 1 array; the model has 2 inputs") {
      _ = try model.predict([[Float(1), 2], [3, 4]])
    }
  }

  @Test func tensorsDescribeThemselves() throws {
    #expect(try "\(Tensor([[0.5, 1]]))" == "float32[1, 2] 0.5, 1.0")
    #expect(try "\(Tensor(zeros: [3, 4]))".hasSuffix("0.0, ..."))
    #expect(try "\(Tensor([UInt8(1)]))" == "uint8[1]")
  }
}
